package main

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// sample is one look of perf at the processor.
type sample struct {
	command string
	at      float64  // seconds
	stack   []string // symbols, the innermost first
}

// has reports whether the processor was in one of these functions, or in what they called.
func (s *sample) has(names ...string) bool {
	for _, symbol := range s.stack {
		for _, name := range names {
			if symbol == name {
				return true
			}
		}
	}
	return false
}

// readSamples reads what `perf script -F comm,tid,time,ip,sym` writes:
//
//	c_batch  1234  5678.901234:
//		ffffffff81611c89 nfqnl_reinject
//		    7fdcefe118a8 __send
//
// and an empty line.
func readSamples(r io.Reader) (list []sample, err error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		switch {
		case strings.TrimSpace(line) == "":
		case line[0] != '\t':
			s, err := head(line)
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", n, err)
			}
			list = append(list, s)
		case len(list) == 0:
			return nil, fmt.Errorf("line %d: a symbol of no sample", n)
		default:
			_, symbol, _ := strings.Cut(strings.TrimSpace(line), " ")
			last := &list[len(list)-1]
			last.stack = append(last.stack, symbol)
		}
	}
	return list, lines.Err()
}

// head reads the first line of a sample. A command may have blanks.
func head(line string) (s sample, err error) {
	f := strings.Fields(line)
	if len(f) < 3 {
		return s, fmt.Errorf("%q: want command, thread and time", line)
	}
	if s.at, err = strconv.ParseFloat(strings.TrimSuffix(f[len(f)-1], ":"), 64); err != nil {
		return s, fmt.Errorf("time: %w", err)
	}
	s.command = strings.Join(f[:len(f)-2], " ")
	return s, nil
}

// during keeps the samples of a command from its first packet to its last: what was before
// is its start.
func during(list []sample, command string) (kept []sample) {
	last := 0
	for _, s := range list {
		if s.command != command {
			continue
		}
		packet := s.has("nfqnl_reinject")
		if !packet && kept == nil {
			continue
		}
		if kept = append(kept, s); packet {
			last = len(kept)
		}
	}
	return kept[:last]
}
