// Package nearest finds what somebody meant to write among the words that there
// are. Its functions have no state.
package nearest

import "strings"

// Of returns the candidate with the fewest edits from given, case aside,
// or "" if all are too far to be a slip of the keyboard.
func Of(given string, candidates []string) string {
	const longest = 64 // of any name in the rules language
	if len(given) > longest {
		return ""
	}
	given = strings.ToLower(given)
	best, name := 1+max(1, len(given)/3), ""
	for _, c := range candidates {
		if apart := len(c) - len(given); max(apart, -apart) >= best {
			continue // each byte that one has more is an edit
		}
		if d := edits(given, strings.ToLower(c)); d < best {
			best, name = d, c
		}
	}
	return name
}

// edits counts the bytes to insert, delete or change, and the neighbours to
// swap, that make b of a (optimal string alignment).
func edits(a, b string) int {
	older, old, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		older, old, row = old, row, older
		row[0] = i + 1
		for j := range len(b) {
			cost := old[j]
			if a[i] != b[j] {
				cost++
			}
			row[j+1] = min(cost, old[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], older[j-1]+1)
			}
		}
	}
	return row[len(b)]
}
