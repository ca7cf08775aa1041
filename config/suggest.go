package config

import "strings"

// hint proposes what a word was meant to be: a keyword of this block that is
// spelt nearly the same, or the block in which the word is a keyword.
func (b *binder) hint(sec *section, word string) string {
	if s := nearest(word, sec); s != "" {
		return "; did you mean " + s + "?"
	}
	up, n := b.outer(word)
	switch {
	case n == 0:
		return ""
	case up.path == "":
		return "; it belongs to the top level"
	}
	return "; it belongs to " + up.path
}

// nearest is the keyword with the smallest edit distance, if it is small
// enough for the length of the word.
func nearest(word string, sec *section) string {
	if len(word) < 3 || len(word) > 40 {
		return ""
	}
	best, limit := "", len(word)/4+1
	for _, r := range sec.order {
		if strings.EqualFold(r.word, word) {
			return r.word
		}
		if d := distance(word, r.word, limit); d <= limit {
			if d < limit || best == "" {
				best = r.word
			}
			limit = d
		}
	}
	return best
}

// distance is the Damerau-Levenshtein distance (adjacent letters may be
// swapped) up to limit; beyond it any larger number.
func distance(a, b string, limit int) int {
	if d := len(a) - len(b); d > limit || -d > limit {
		return limit + 1
	}
	var rows [3][]int
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
	}
	for j := range rows[1] {
		rows[1][j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, prev, cur := rows[0], rows[1], rows[2]
		cur[0] = i
		least := i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], before[j-2]+1)
			}
			least = min(least, cur[j])
		}
		if least > limit {
			return limit + 1
		}
		rows[0], rows[1], rows[2] = prev, cur, before
	}
	return rows[1][len(b)]
}
