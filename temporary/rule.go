package temporary

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"sttwall/describe"
	"sttwall/policy"
)

// Bounds of a rule.
const (
	// MinFor and MaxFor bound how long a rule holds. What is to stay longer
	// belongs into the rules file.
	MinFor, MaxFor = time.Second, 30 * 24 * time.Hour
	// MaxComment is in bytes.
	MaxComment = 200
)

// Request is a rule that somebody wants.
type Request struct {
	Action  policy.Action
	Pattern string // docs/packets.md
	For     time.Duration
	Name    string // "": one is made
	Comment string // one line
	UID     int    // who asks
}

// Rule is a temporary rule.
type Rule struct {
	Name    string
	Action  policy.Action
	Pattern string
	For     time.Duration // as it was asked for
	Set     time.Time     // when, by the wall clock
	UID     int           // by whom
	Comment string
}

// Status is a rule as it stands.
type Status struct {
	Rule
	Left    time.Duration // until it expires; more than 0
	Expires time.Time     // by the wall clock as it goes now
	// Inactive says why the rule is not in force, though it has not expired: it
	// names something that the rules file has no more. "" if it is.
	Inactive string
}

// RequestError is a mistake of who asks.
type RequestError struct{ Message string }

func (e *RequestError) Error() string { return e.Message }

func refuse(format string, args ...any) error {
	return &RequestError{fmt.Sprintf(format, args...)}
}

// ErrUnknown is the error of [List.Remove] for a rule that is not there.
var ErrUnknown = errors.New("no such temporary rule")

// check says what is wrong with a rule by itself, and takes surplus spaces out of
// its pattern.
func (r *Rule) check() error {
	switch {
	case r.Action > policy.Reject:
		return refuse("expected accept, drop or reject")
	case r.For < MinFor || r.For > MaxFor:
		return refuse("expected a time from %v to %d days; this is %v", MinFor, MaxFor/(24*time.Hour), r.For)
	case !policy.ValidName(r.Name):
		return refuse("expected a name of 1 to 64 letters (a-z, A-Z), digits, \"_\" and \"-\" that begins with a letter or \"_\"")
	case len(r.Comment) > MaxComment:
		return refuse("expected a comment of at most %d bytes; this one has %d", MaxComment, len(r.Comment))
	case !utf8.ValidString(r.Comment) || strings.ContainsFunc(r.Comment, unprintable):
		return refuse("expected a comment of one line of printable characters")
	}
	pattern, err := describe.ParsePattern(r.Pattern)
	if err != nil {
		return refuse("pattern: %v", err)
	}
	r.Pattern = pattern.Text
	return nil
}

// unprintable keeps out what could write to a terminal, or turn its text around.
func unprintable(r rune) bool { return !unicode.IsPrint(r) || unicode.Is(unicode.Bidi_Control, r) }
