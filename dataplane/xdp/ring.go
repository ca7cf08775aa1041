package xdp

import "github.com/xvip-lb/xvip/dataplane"

// maxRing bounds the slots of one service's ring. Weights whose sum is larger,
// after their common divisor, are scaled down to it.
const maxRing = 4096

// ring gives the order in which servers take new connections, as indexes of
// servers: for rr each one once in the order of the configuration, for wrr each
// as often as its weight, evenly spread. A weight of 0 takes none.
func ring(s dataplane.Scheduler, servers []dataplane.RealServer) []int {
	weights := make([]int, len(servers))
	total := 0
	for i, r := range servers {
		switch {
		case r.Weight == 0:
		case s == "wrr":
			weights[i] = int(min(r.Weight, 1<<20))
		default:
			weights[i] = 1
		}
		total += weights[i]
	}
	total = reduce(weights, total)
	return spread(weights, total)
}

// reduce divides the weights by their greatest common divisor, scales them down
// if they are still too many, and gives the new sum.
func reduce(weights []int, total int) int {
	d := 0
	for _, w := range weights {
		d = gcd(d, w)
	}
	if d == 0 {
		return 0
	}
	total /= d
	sum := 0
	for i, w := range weights {
		w /= d
		if total > maxRing && w > 0 {
			w = max(1, w*maxRing/total)
		}
		weights[i] = w
		sum += w
	}
	return sum
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// spread is smooth weighted round robin: in each of total turns everyone's
// credit grows by the weight, and who has most takes the turn and pays total.
func spread(weights []int, total int) []int {
	credit := make([]int, len(weights))
	out := make([]int, 0, total)
	for range total {
		best := -1
		for i, w := range weights {
			credit[i] += w
			if w > 0 && (best < 0 || credit[i] > credit[best]) {
				best = i
			}
		}
		credit[best] -= total
		out = append(out, best)
	}
	return out
}
