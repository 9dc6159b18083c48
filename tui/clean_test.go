package tui

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestTextFromOutsideBecomesSafe(t *testing.T) {
	for _, tt := range []struct {
		name, text, want string
	}{
		{"plain text stays", "acme/web in", "acme/web in"},
		{"other letters stay", "Zürich 東京 ☂", "Zürich 東京 ☂"},
		{"an escape code", "a\x1b[31mb", "a�[31mb"},
		{"a C1 control", "a\u009b31mb", "a�31mb"},
		{"bytes that are no UTF-8", "a\xff\x9b", "a��"},
		{"a line break", "a\nb\r\tc", "a�b��c"},
		{"what turns the direction", "a\u202eb\u2066c\u200fd", "a�b�c�d"},
		{"what cannot be seen", "a\u200bb\u200dc\ufeffd\u00ade\u2060f", "a�b�c�d�e�f"},
		{"line separators", "a\u2028b\u2029c", "a�b�c"},
		{"tags", "a\U000e0041b", "a�b"},
		{"one accent", "e\u0301", "e\u0301"},
		{"a tower of accents", "e" + strings.Repeat("\u0301", 50) + "x", "e\u0301\u0301x"},
		{"an accent on nothing", "\u0301x", "x"},
		{"a variation selector", "☂\ufe0fx", "☂x"},
		{"a flag", "a🇩🇪b", "a��b"},
		{"a tone of skin", "👍🏽x", "👍�x"},
		{"private use", "a\ue000b", "a�b"},
		{"spaces that are none", "a\u3000b\u00a0c", "a�b�c"},
	} {
		if got := clean(tt.text); got != tt.want {
			t.Errorf("%s: %+q becomes %+q, want %+q", tt.name, tt.text, got, tt.want)
		}
	}
}

func TestTextThatIsCopiedKeepsItsLines(t *testing.T) {
	if got, want := cleanLines("a\tb\x1b[31m\n\tc\rd\r\n"), "a\tb�[31m\n\tc�d\n"; got != want {
		t.Errorf("%+q, want %+q", got, want)
	}
}

func TestTextIsSkippedByColumns(t *testing.T) {
	for _, tt := range []struct {
		text    string
		columns int
		want    string
	}{
		{"acme", 0, "acme"}, {"acme", 2, "me"}, {"acme", 4, ""}, {"acme", 9, ""}, {"", 3, ""},
		{"東京", 1, " 京"}, {"東京", 2, "京"}, {"東京", 3, " "}, {"e\u0301x", 1, "x"}, {"e\u0301x", 0, "e\u0301x"},
	} {
		if got := skip(tt.text, tt.columns); got != tt.want {
			t.Errorf("%q without %d columns is %q, want %q", tt.text, tt.columns, got, tt.want)
		}
	}
}

func TestTextIsCutByColumns(t *testing.T) {
	for _, tt := range []struct {
		text    string
		columns int
		want    string
	}{
		{"acme", 4, "acme"}, {"acme", 3, "ac…"}, {"acme", 1, "…"}, {"acme", 0, ""}, {"acme", -1, ""},
		{"東京都", 6, "東京都"}, {"東京都", 5, "東京…"}, {"東京都", 4, "東…"}, {"東京都", 2, "…"},
		{"e\u0301e\u0301e\u0301", 2, "e\u0301…"},
	} {
		if got := cut(tt.text, tt.columns); got != tt.want {
			t.Errorf("%q in %d columns is %q, want %q", tt.text, tt.columns, got, tt.want)
		}
	}
	for _, text := range []string{"", "a", "acme", "東京都", "x東"} {
		for columns := range 9 {
			for _, got := range []string{fit(text, columns), fitRight(text, columns)} {
				if width(got) != columns {
					t.Errorf("%q in %d columns is %q: %d columns", text, columns, got, width(got))
				}
			}
		}
	}
}

func TestPlainTextIsCleanWithoutAllocation(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { clean("acme/web") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzClean(f *testing.F) {
	for _, s := range []string{"acme", "\x1b]52;c;eA==\x07", "e\u0301\u0301\u0301", "東\u202e京", "\xff", "👨\u200d👩", "🇩🇪"} {
		f.Add(s, 5)
	}
	f.Fuzz(func(t *testing.T, s string, columns int) {
		got := clean(s)
		if !utf8.ValidString(got) {
			t.Fatalf("%+q becomes %+q: no UTF-8", s, got)
		}
		for _, r := range got {
			if r < ' ' || r >= 0x7f && r < 0xa0 {
				t.Fatalf("%+q becomes %+q, with a control character", s, got)
			}
		}
		if again := clean(got); again != got {
			t.Fatalf("%+q becomes %+q, and that %+q", s, got, again)
		}
		if columns = max(0, min(columns, 300)); width(cut(got, columns)) > columns {
			t.Fatalf("%+q cut to %d columns has %d", got, columns, width(cut(got, columns)))
		}
		if w := width(fit(got, columns)); w != columns {
			t.Fatalf("%+q fit to %d columns has %d", got, columns, w)
		}
	})
}
