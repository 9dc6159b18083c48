// Package page renews parts of a page of documentation: what is between two marks, each a
// line of its own.
//
// It keeps no state.
package page

import (
	"bytes"
	"fmt"
	"os"
)

// Marks are the lines around a part. Both end in a newline.
type Marks struct{ Begin, End string }

// Between returns the page with text in place of what is between the marks, which stay.
// It is an error if one is not there.
func (m Marks) Between(page, text []byte) ([]byte, error) {
	before, rest, ok := bytes.Cut(page, []byte(m.Begin))
	if !ok {
		return nil, fmt.Errorf("has no line %q", m.Begin)
	}
	_, after, ok := bytes.Cut(rest, []byte(m.End))
	if !ok {
		return nil, fmt.Errorf("has no line %q after %q", m.End, m.Begin)
	}
	return bytes.Join([][]byte{before, []byte(m.Begin), text, []byte(m.End), after}, nil), nil
}

// Renew does so with a file.
func (m Marks) Renew(file string, text []byte) error {
	old, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	page, err := m.Between(old, text)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return os.WriteFile(file, page, 0o644)
}
