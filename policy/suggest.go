package policy

import (
	"fmt"
	"strings"

	"sttwall/internal/nearest"
)

// didYouMean returns a sentence, with a space in front, that names the one of
// candidates that is most like given; "" if none is.
func didYouMean(given string, candidates []string) string {
	if near := nearest.Of(given, candidates); near != "" {
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
