package picture

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
)

// element is what a test looks for in a picture.
type element struct {
	name string
	attr map[string]string
	text string
}

// parse reads a picture as any XML reader does.
func parse(t *testing.T, svg []byte) (list []element) {
	t.Helper()
	decoder := xml.NewDecoder(bytes.NewReader(svg))
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatalf("no XML: %v\n%s", err, svg)
		}
		switch token := token.(type) {
		case xml.StartElement:
			e := element{name: token.Name.Local, attr: map[string]string{}}
			for _, a := range token.Attr {
				e.attr[a.Name.Local] = a.Value
			}
			list = append(list, e)
		case xml.CharData:
			if len(list) > 0 {
				list[len(list)-1].text += strings.TrimSuffix(string(token), "\n")
			}
		}
	}
}

func find(t *testing.T, list []element, name, text string) element {
	t.Helper()
	for _, e := range list {
		if e.name == name && e.text == text {
			return e
		}
	}
	t.Fatalf("no %s %q in %+v", name, text, list)
	return element{}
}

func TestTextHasItsColoursAndPlace(t *testing.T) {
	list := parse(t, SVG([]string{
		"plain \x1b[1;31mred\x1b[0m \x1b[38;2;1;2;3;48;5;196mtrue\x1b[39;49m <&>",
		"\x1b[3;4;92mgreen",
		"goes on\x1b[7m turned\x1b[m end",
		"\x1b[38:5:21mblue\x1b[0m\x1b[2mfaint\x1b[0m  two words   more  \x1b[4m  lined  ",
	}, Config{Title: "a <title>", Width: 40, Height: 10}))
	for _, want := range []struct{ text, x, y, fill string }{
		{"plain", "14", "47.5", foreground},
		{"red", "64.4", "47.5", palette[1]},
		{"true", "98", "47.5", "#010203"},
		{"<&>", "140", "47.5", foreground},
		{"green", "14", "65.5", palette[10]},
		{"goes on", "14", "83.5", palette[10]},
		{" turned", "72.8", "83.5", background},
		{"end", "140", "83.5", foreground},
		{"blue", "14", "101.5", "#0000ff"},
		{"faint", "47.6", "101.5", foreground},
		{"two words", "106.4", "101.5", foreground},
		{"more", "207.2", "101.5", foreground},
		{"  lined  ", "257.6", "101.5", foreground},
	} {
		e := find(t, list, "text", want.text)
		if e.attr["x"] != want.x || e.attr["y"] != want.y || e.attr["fill"] != want.fill {
			t.Errorf("%q: got %v, want %+v", want.text, e.attr, want)
		}
	}
	if e := find(t, list, "text", "red"); e.attr["font-weight"] != "bold" || e.attr["textLength"] != "25.2" {
		t.Errorf("bold text of three cells: %v", e.attr)
	}
	if e := find(t, list, "text", "green"); e.attr["font-style"] != "italic" || e.attr["text-decoration"] != "underline" {
		t.Errorf("italic and underlined text: %v", e.attr)
	}
	if e := find(t, list, "text", "faint"); e.attr["opacity"] == "" {
		t.Errorf("faint text: %v", e.attr)
	}
	find(t, list, "text", "a <title>")
	backs := map[string]bool{}
	for _, e := range list {
		if e.name == "rect" {
			backs[e.attr["fill"]] = true
		}
	}
	if !backs["#ff0000"] || !backs[palette[10]] {
		t.Errorf("backgrounds %v: neither 196 nor the turned green", backs)
	}
}

func TestWideCharactersTakeTwoCells(t *testing.T) {
	list := parse(t, SVG([]string{"\x1b[31m日本\x1b[0mx", "a\u0301b"}, Config{Width: 20, Height: 2}))
	if e := find(t, list, "text", "日本"); e.attr["textLength"] != "33.6" {
		t.Errorf("got %v", e.attr)
	}
	if e := find(t, list, "text", "x"); e.attr["x"] != "47.6" {
		t.Errorf("what follows is at %v", e.attr)
	}
	if e := find(t, list, "text", "a\u0301b"); e.attr["textLength"] != "16.8" {
		t.Errorf("a combining accent: %v", e.attr)
	}
}

func TestBlocksAndBrailleAreShapes(t *testing.T) {
	list := parse(t, SVG([]string{"\x1b[32m▁█▌⣿⠅\u2800\x1b[0m."}, Config{Width: 20, Height: 1}))
	var paths []element
	for _, e := range list {
		if e.name == "path" {
			paths = append(paths, e)
		}
	}
	if len(paths) != 2 || paths[0].attr["fill"] != palette[2] || paths[1].attr["stroke"] != palette[2] {
		t.Fatalf("got %+v", paths)
	}
	// An eighth of a cell at its bottom, a whole one, the left half of one.
	if got, want := paths[0].attr["d"], "M14 49.75h8.4v2.25h-8.4zM22.4 34h8.4v18h-8.4zM30.8 34h4.2v18h-4.2z"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	// Two whole columns, then the first and the third dot of a column.
	if got, want := paths[1].attr["d"], "M41.3 34.56v16.88M45.5 34.56v16.88M49.7 34.56v3.38M49.7 43.56v3.38"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if e := find(t, list, "text", "."); e.attr["x"] != "64.4" {
		t.Errorf("what follows is at %v", e.attr)
	}
}

func TestWhatIsNoTextShowsNothing(t *testing.T) {
	list := parse(t, SVG([]string{
		"a\x1b]8;;http://example.com\x1b\\b\x1b]8;;\x1b\\\x1b[5Cc\x1b[?25l\x07\x1b[38;9md\x1b[999m\x1b(0e",
	}, Config{Width: 80, Height: 1}))
	find(t, list, "text", "abcde")
	svg := string(SVG([]string{strings.Repeat("x", 100), "", "beyond"}, Config{Width: 10, Height: 2}))
	if strings.Contains(svg, strings.Repeat("x", 11)) || !strings.Contains(svg, strings.Repeat("x", 10)) || strings.Contains(svg, "beyond") {
		t.Errorf("what is outside of the screen: %s", svg)
	}
}

func FuzzSVG(f *testing.F) {
	f.Add("\x1b[1;31mred\x1b[0m 日本 ⣿▁")
	f.Add("\x1b[38;5;300m\x1b[48;2;1m\x1b[;;;m\xff\x00\x1b")
	f.Fuzz(func(t *testing.T, row string) {
		parse(t, SVG([]string{row, row}, Config{Title: row, Width: 30, Height: 2}))
	})
}
