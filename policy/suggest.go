package policy

import (
	"fmt"
	"strings"
)

// didYouMean returns a sentence, with a space in front, that names the one of
// candidates that is most like given; "" if none is.
func didYouMean(given string, candidates []string) string {
	if near := nearest(given, candidates); near != "" {
		return fmt.Sprintf(" Did you mean %q?", near)
	}
	return ""
}

// didYouMeanName is didYouMean for names that the file makes up, of which there may
// be many thousands: only the first mistakes are worth the search.
func didYouMeanName[V any](l *loader, given string, table map[string]V) string {
	if l.errors >= maxDiagnostics {
		return ""
	}
	return didYouMean(given, names(table))
}

// nearest returns the candidate with the fewest edits from given, case aside,
// or "" if all are too far to be a slip of the keyboard.
func nearest(given string, candidates []string) string {
	const longest = 64 // of any name in the language
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

// oneOf writes alternatives as a person would: "a", "b" or "c".
func oneOf(names []string) string {
	var b strings.Builder
	for i, n := range names {
		switch {
		case i == 0:
		case i == len(names)-1:
			b.WriteString(" or ")
		default:
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%q", n)
	}
	return b.String()
}
