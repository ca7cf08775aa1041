package xdp

import (
	"hash/fnv"
	"slices"

	"github.com/xvip-lb/xvip/dataplane"
)

// maxRing bounds the slots of a rotation. Weights whose sum is larger, after
// their common divisor, are scaled down to it.
const maxRing = 4096

// hashRing is the table of sh and dh in IPVS (IP_VS_SH_TAB_SIZE, ip_vs_sh.c).
const hashRing = 256

// maglevRing is a prime. IPVS has 4093 places by default; with so many, taking one
// of 100 servers out moves 3.6 % of the places of the others, with these 0.9 %.
const maglevRing = 32749

// maxCompared is MAX_COMPARED of bpf/sched.h.
const maxCompared = 1024

// nobody is a place of a ring that no server has.
const nobody = -1

// discipline says how the program uses the ring of a scheduler.
type discipline struct {
	schedule bpfSchedule
	hashed   bool // the packet alone says which slot
	ring     func(servers []dataplane.RealServer, fallback bool) []int
}

// disciplines are the schedulers that the program has.
var disciplines = map[dataplane.Scheduler]discipline{
	"rr":  {schedule: bpfScheduleSCHEDULE_ROTATE, ring: rotation(false)},
	"wrr": {schedule: bpfScheduleSCHEDULE_ROTATE, ring: rotation(true)},
	"fo":  {schedule: bpfScheduleSCHEDULE_ROTATE, ring: failover},
	"lc":  {schedule: bpfScheduleSCHEDULE_LC, ring: rotation(false)},
	"wlc": {schedule: bpfScheduleSCHEDULE_WLC, ring: rotation(false)},
	"sed": {schedule: bpfScheduleSCHEDULE_SED, ring: rotation(false)},
	"nq":  {schedule: bpfScheduleSCHEDULE_NQ, ring: rotation(false)},
	"ovf": {schedule: bpfScheduleSCHEDULE_OVF, ring: rotation(false)},
	"sh":  {schedule: bpfScheduleSCHEDULE_SOURCE, hashed: true, ring: sourceHash},
	"dh":  {schedule: bpfScheduleSCHEDULE_TARGET, hashed: true, ring: targetHash},
	"mh":  {schedule: bpfScheduleSCHEDULE_MAGLEV, hashed: true, ring: maglev},
}

// compares says that the program looks at every server for a new connection.
func (d discipline) compares() bool { return d.schedule >= bpfScheduleSCHEDULE_LC }

// rotation gives the order in which servers take new connections, as indexes of
// servers: each one once in the order of the configuration, or as often as its
// weight, evenly spread. A weight of 0 takes none.
func rotation(weighted bool) func([]dataplane.RealServer, bool) []int {
	return func(servers []dataplane.RealServer, _ bool) []int {
		weights := make([]int, len(servers))
		total := 0
		for i, r := range servers {
			switch {
			case r.Weight == 0:
			case weighted:
				weights[i] = int(min(r.Weight, 1<<20))
			default:
				weights[i] = 1
			}
			total += weights[i]
		}
		total = reduce(weights, total)
		return spread(weights, total)
	}
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

// failover is fo (ip_vs_fo.c): the server of the highest weight takes all, the
// first one of equals.
func failover(servers []dataplane.RealServer, _ bool) []int {
	best := nobody
	for i, r := range servers {
		if r.Weight > 0 && (best == nobody || r.Weight > servers[best].Weight) {
			best = i
		}
	}
	if best == nobody {
		return nil
	}
	return []int{best}
}

// sourceHash fills the table of sh as ip_vs_sh_reassign does: servers in turn,
// each for as many places in a row as its weight. A server of weight 0 keeps one
// place that nobody serves; with sh-fallback another place is tried instead.
func sourceHash(servers []dataplane.RealServer, fallback bool) []int {
	if len(servers) == 0 {
		return nil
	}
	table := make([]int, hashRing)
	at, turn := 0, uint32(0)
	for i := range table {
		table[i] = at
		if turn++; turn >= servers[at].Weight {
			at, turn = (at+1)%len(servers), 0
		}
	}
	out := slices.Clone(table)
	for i, s := range table {
		if servers[s].Weight > 0 {
			continue
		}
		out[i] = nobody
		// ip_vs_sh_get_fallback: the place itself is added twice.
		for offset := 0; fallback && offset < hashRing; offset++ {
			if other := table[(2*i+offset)%hashRing]; servers[other].Weight > 0 {
				out[i] = other
				break
			}
		}
	}
	return out
}

// targetHash fills the table of dh as ip_vs_dh_reassign does: servers in turn,
// whatever their weight, and nobody where it is 0.
func targetHash(servers []dataplane.RealServer, _ bool) []int {
	if len(servers) == 0 {
		return nil
	}
	out := make([]int, hashRing)
	for i := range out {
		out[i] = i % len(servers)
		if servers[out[i]].Weight == 0 {
			out[i] = nobody
		}
	}
	return out
}

// maglev fills a table by Eisenbud et al., "Maglev: A Fast and Reliable Software
// Network Load Balancer" (NSDI 2016), section 3.4, with as many turns a round as
// the weight. Two directors with the same servers have the same table.
func maglev(servers []dataplane.RealServer, _ bool) []int {
	weights := make([]int, len(servers))
	total := 0
	for i, r := range servers {
		weights[i] = int(min(r.Weight, 1<<16))
		total += weights[i]
	}
	if total == 0 {
		return nil
	}
	reduce(weights, total)
	offset, skip := make([]int, len(servers)), make([]int, len(servers))
	for i, r := range servers {
		h := fnv.New64a()
		h.Write([]byte(r.Key().String()))
		sum := mix(h.Sum64())
		offset[i], skip[i] = int(sum>>32)%maglevRing, int(uint32(sum))%(maglevRing-1)+1
	}
	out := slices.Repeat([]int{nobody}, maglevRing)
	for filled := 0; ; {
		for i, w := range weights {
			for range w {
				for out[offset[i]] != nobody {
					offset[i] = (offset[i] + skip[i]) % maglevRing
				}
				out[offset[i]] = i
				if filled++; filled == maglevRing {
					return out
				}
			}
		}
	}
}

// mix spreads the bits of x; the constant is that of bpf/conn.h.
func mix(x uint64) uint64 {
	const k = 0xd6e8feb86659fd93
	for range 2 {
		x ^= x >> 32
		x *= k
	}
	return x ^ x>>32
}
