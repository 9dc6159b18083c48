package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestNothingButTextReachesATerminal(t *testing.T) {
	const hostile = "a\x1b[2J\u009bm\u202eb\u2028c\x7fd\xffe\rf\x00 日本 é"
	const plain = "a�[2J�m�b�c�d�e�f� 日本 é"
	if got := clean(hostile + "\n\t"); got != plain+"��" {
		t.Errorf("on one line: %q", got)
	}
	if got := cleanLines(hostile + "\n\tx\xe6"); got != plain+"\n\tx�" {
		t.Errorf("on several: %q", got)
	}
	for size := 1; size < 6; size++ { // whatever the pieces
		var out bytes.Buffer
		w := &plainWriter{w: &out}
		for text := []byte(hostile); len(text) > 0; {
			n, err := w.Write(text[:min(size, len(text))])
			if err != nil || n == 0 {
				t.Fatal(n, err)
			}
			text = text[n:]
		}
		if got := out.String(); got != plain {
			t.Errorf("in pieces of %d: %q", size, got)
		}
	}
	var out bytes.Buffer
	s := streams{out: &out}.plain()
	const valid = "a\x1b[2J\u009bm\u202eb\u2028c\x7fd\rf\x00 日本 é"
	if err := newLines(s.out).Encode(valid); err != nil {
		t.Fatal(err)
	}
	var back string
	if err := json.Unmarshal(out.Bytes(), &back); err != nil || back != valid || cleanLines(out.String()) != out.String() {
		t.Errorf("as JSON: %q, %v", &out, err)
	}
	if terminal(s.out) || unwrap(s.out) != &out {
		t.Error("a buffer is taken for a terminal, or not found")
	}
	broken := errors.New("broken")
	if n, err := (&plainWriter{w: failing{broken}}).Write([]byte("x")); n != 0 || err != broken {
		t.Errorf("%d, %v", n, err)
	}
	status, _, stderr := sttwall("flows", "--control", "/nowhere/\x1b[2J")
	if status != statusRefused || strings.Contains(stderr, "\x1b") || !strings.Contains(stderr, "/nowhere/�[2J") {
		t.Errorf("an error: %d %q", status, stderr)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }
