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
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"sttwall/bench/page"
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

// marks are around the tables.
var marks = page.Marks{
	Begin: "<!-- figures: `go run ./report` in bench/ writes what is from here on -->\n",
	End:   "<!-- figures: up to here -->\n",
}

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
	if err := marks.Renew(filepath.Join(docs, "performance.md"), f.markdown()); err != nil {
		return err
	}
	for name, c := range f.charts() {
		if err := os.WriteFile(filepath.Join(docs, "pictures", name), c.SVG(), 0o644); err != nil {
			return err
		}
	}
	return nil
}
