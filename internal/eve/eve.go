// Package eve reads event logs in tests: each line is checked against
// docs/eve.schema.json, in which a field that the schema does not know is a mistake.
//
//	file ──Schema.Lines──▶ Line, ... or which line is wrong, and how
//
// What is not here: writing them (package eventlog).
//
// A [Schema] may be used from any goroutine.
package eve

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Schema is the schema of a line.
type Schema struct{ compiled *jsonschema.Schema }

// Load compiles the schema in a file. Formats are checked too.
func Load(path string) (*Schema, error) {
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	compiled, err := c.Compile(path)
	if err != nil {
		return nil, err
	}
	return &Schema{compiled}, nil
}

// Line is a line of an event log.
type Line map[string]any

// Type returns its event_type.
func (l Line) Type() string { return l.Text("event_type") }

// Text returns the value at a path of names with dots between, as text; "" if there
// is none.
func (l Line) Text(path string) string {
	var v any = map[string]any(l)
	for name := range strings.SplitSeq(path, ".") {
		of, ok := v.(map[string]any)
		if !ok {
			return ""
		}
		if v = of[name]; v == nil {
			return ""
		}
	}
	return fmt.Sprint(v)
}

// Lines reads whole lines, each of which must be valid.
func (s *Schema) Lines(text []byte) (lines []Line, err error) {
	if len(text) > 0 && text[len(text)-1] != '\n' {
		return nil, fmt.Errorf("the last line has no end: %q", text[bytes.LastIndexByte(text, '\n')+1:])
	}
	for i, raw := range bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n")) {
		if len(text) == 0 {
			break
		}
		l, err := s.Line(raw)
		if err != nil {
			return lines, fmt.Errorf("line %d: %w", i+1, err)
		}
		lines = append(lines, l)
	}
	return lines, nil
}

// Line reads one line.
func (s *Schema) Line(raw []byte) (Line, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v map[string]any
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("%w: %q", err, raw)
	}
	if d.More() {
		return nil, fmt.Errorf("there is more behind it: %q", raw)
	}
	if err := s.compiled.Validate(v); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, raw)
	}
	return v, nil
}
