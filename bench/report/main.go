// Command report makes the pages of a run of the benchmark: the tables between two marks
// of docs/performance.md, and the pictures that stand beside them.
//
//	cd bench && go run . --json >rows.json && go run ./report rows.json
//
//	rows ──▶ figures ──┬─▶ tables ──▶ docs/performance.md, between the marks
//	                   └─▶ charts ──▶ docs/pictures/*.svg
//
// The same rows make the same bytes. It measures nothing.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"sttwall/bench/rows"
)

func main() {
	docs := flag.String("docs", "../docs", "the `folder` of performance.md and pictures")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: go run ./report [--docs FOLDER] ROWS\nROWS is what `go run . --json` wrote.")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(flag.Arg(0), *docs); err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(1)
	}
}

// The marks, each on a line of its own.
const (
	beginMark = "<!-- figures: `go run ./report` in bench/ writes what is from here on -->\n"
	endMark   = "<!-- figures: up to here -->\n"
)

func run(file, docs string) error {
	in, err := os.Open(file)
	if err != nil {
		return err
	}
	defer in.Close()
	list, err := rows.Read(in)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	f := newFigures(list)
	page := filepath.Join(docs, "performance.md")
	old, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	text, err := between(old, f.markdown())
	if err != nil {
		return fmt.Errorf("%s: %w", page, err)
	}
	if err := os.WriteFile(page, text, 0o644); err != nil {
		return err
	}
	for name, c := range f.charts() {
		if err := os.WriteFile(filepath.Join(docs, "pictures", name), c.SVG(), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// between puts text where the marks are.
func between(page, text []byte) ([]byte, error) {
	before, rest, ok := bytes.Cut(page, []byte(beginMark))
	if !ok {
		return nil, fmt.Errorf("has no line %q", beginMark)
	}
	_, after, ok := bytes.Cut(rest, []byte(endMark))
	if !ok {
		return nil, fmt.Errorf("has no line %q", endMark)
	}
	return bytes.Join([][]byte{before, []byte(beginMark), text, []byte(endMark), after}, nil), nil
}
