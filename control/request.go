package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ContextID is the tenant's ID of a frame. JSON numbers lose bits of it in many
// readers, so that it is written as a string, "0x64"; a number is read too.
type ContextID uint64

// String returns the ID in hex.
func (c ContextID) String() string { return fmt.Sprintf("0x%x", uint64(c)) }

// MarshalJSON writes a string.
func (c ContextID) MarshalJSON() ([]byte, error) { return []byte(`"` + c.String() + `"`), nil }

// UnmarshalJSON reads a number, or a string with one in decimal or with 0x.
func (c *ContextID) UnmarshalJSON(text []byte) error {
	s := string(text)
	if len(text) > 0 && text[0] == '"' {
		if err := json.Unmarshal(text, &s); err != nil {
			return err
		}
	}
	n, err := ParseContextID(s)
	if err == nil {
		*c = n
	}
	return err
}

// ParseContextID reads what an operator writes, as rules files do: decimal or 0x,
// never octal.
func ParseContextID(s string) (ContextID, error) {
	digits, base := s, 10
	if hex, ok := strings.CutPrefix(s, "0x"); ok {
		digits, base = hex, 16
	}
	n, err := strconv.ParseUint(digits, base, 64)
	if err != nil {
		return 0, fmt.Errorf("context ID %.40q: want a number of 64 bits, such as 100 or 0x64", s)
	}
	return ContextID(n), nil
}

// decode reads the body of a request, and nothing that it does not know.
func decode(body io.Reader, into any) error {
	d := json.NewDecoder(body)
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil {
		var more json.RawMessage
		if err = d.Decode(&more); errors.Is(err, io.EOF) {
			return nil
		} else if err == nil {
			err = errors.New("there is more behind it")
		}
	}
	var tooLong *http.MaxBytesError
	if errors.As(err, &tooLong) {
		return err
	}
	if errors.Is(err, io.EOF) {
		err = errors.New("it is empty")
	}
	return refuse(http.StatusBadRequest, "the body of the request: %s", strings.TrimPrefix(err.Error(), "json: "))
}

// onlyQuery refuses parameters other than those.
func onlyQuery(r *http.Request, known ...string) error {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return refuse(http.StatusBadRequest, "the parameters: %v", err)
	}
	for name, given := range values {
		if !slices.Contains(known, name) {
			return refuse(http.StatusBadRequest, "%s knows no parameter %.40q: %s", r.URL.Path, name, orNone(known))
		}
		if len(given) > 1 {
			return refuse(http.StatusBadRequest, "the parameter %s is given twice", name)
		}
	}
	return nil
}

func orNone(known []string) string {
	if len(known) == 0 {
		return "it takes none"
	}
	return "it takes " + strings.Join(known, ", ")
}

// wall returns a function that brings times of the firewall's clock to the wall
// clock. A time is shown as the same one again, until the wall clock is set.
func (s *Server) wall() func(int64) time.Time {
	exact := s.wallClock()
	return func(t int64) time.Time { return exact(t).Round(time.Millisecond) }
}

// wallClock is wall, to the microsecond.
func (s *Server) wallClock() func(int64) time.Time {
	behind := time.Now().UnixNano() - s.config.Firewall.Now()
	if was := s.behind.Load(); (time.Duration(behind) - time.Duration(was)).Abs() > clockSlack {
		s.behind.Store(behind)
	} else {
		behind = was
	}
	return func(t int64) time.Time { return time.Unix(0, t+behind).Round(time.Microsecond).UTC() }
}

// clockSlack is how far the two clocks may be apart before it is noticed.
const clockSlack = 100 * time.Millisecond
