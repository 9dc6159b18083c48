package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sttwall/internal/tmux"
)

// walk is one walk through the live demo: parts of it depend on the order.
type walk struct {
	name string
	do   func(p *person)
}

// TestTheDemoOnATerminal is a person who tries the keys, on the real program in a
// terminal that is not ours.
func TestTheDemoOnATerminal(t *testing.T) {
	dir := t.TempDir()
	p := sitDown(t, tmux.Config{Width: 120, Height: 34, Dir: dir}, "demo")
	p.opens()
	for _, w := range []walk{
		{"flows of all tenants", flowsOfAllTenants},
		{"the columns are sorted", columnsAreSorted},
		{"a selection stays on its row", selectionStays},
		{"a flow in detail", flowInDetail},
		{"a filter", filterIsTyped},
		{"a wrong filter", wrongFilter},
		{"filters from before", filtersFromBefore},
		{"a pause", pause},
		{"columns are chosen", columnsAreChosen},
		{"an export", func(p *person) { export(p, dir) }},
		{"a copy", copied},
		{"tenants and rules", tenantsAndRules},
		{"help", help},
		{"themes", themes},
		{"other sizes", otherSizes},
	} {
		if !t.Run(w.name, func(t *testing.T) { w.do(p.in(t)) }) {
			return
		}
	}
	p.leaves()
	p.sees("The lab is gone")
}

// opens waits for the first screen; where namespaces are impossible it skips.
func (p *person) opens() {
	p.t.Helper()
	s := p.waits("the first screen", func(s tmux.Screen) bool {
		return s.Contains("1 Flows") || s.Contains("1 Overview") || s.Contains("are not available to this user")
	})
	if s.Contains("are not available to this user") {
		if os.Getenv("CI") == "true" {
			p.t.Fatal("namespaces must be there in CI")
		}
		p.t.Skip("namespaces are not available")
	}
}

// shows goes to a screen by the number that its tab has.
func (p *person) shows(title string) {
	p.t.Helper()
	s := p.sees(" " + title)
	tabs := strings.Fields(s[1])
	for i, word := range tabs {
		if word == title && i > 0 {
			p.press(strings.Trim(tabs[i-1], "["))
			return
		}
	}
	p.t.Fatalf("no tab %q in %q", title, s[1])
}

func flowsOfAllTenants(p *person) {
	p.sees("Elsewhere: sttwall top", "/root/run/control.sock")
	p.shows("Flows")
	s := p.sees("TENANT", "acme", "globex", "initech", "~ audit", "10.1.0.80:80", "[fd00:10:1::80]:80")
	p.fits(s, 34, "q quit")
	if !strings.Contains(s[0], "demo") || !strings.Contains(s[0], "flows") {
		p.t.Errorf("the header is %q", s[0])
	}
	p.reads(`sttwall .* dropped`)
}

// column returns where a column's head begins.
func column(s tmux.Screen, head string) (row, at int) {
	for row, line := range s {
		if at := strings.Index(line, head); at >= 0 && strings.Contains(line, "TENANT") {
			return row, at
		}
	}
	return -1, -1
}

// sortedBy is the head of the column by which the rows are sorted, with its mark; "": there
// is none.
func sortedBy(s tmux.Screen) string {
	for _, line := range s {
		if strings.Contains(line, "TENANT") {
			for _, head := range strings.Fields(line) {
				if strings.ContainsAny(head, "▼▲") {
					return head
				}
			}
		}
	}
	return ""
}

func columnsAreSorted(p *person) {
	// s goes from column to column; the mark says by which the rows are sorted.
	p.sees("RATE▼")
	p.press("s")
	p.waits("another column", func(s tmux.Screen) bool {
		row, _ := column(s, "TENANT")
		return row >= 0 && !strings.Contains(s[row], "RATE▼") && strings.ContainsAny(s[row], "▼▲")
	})
	for range 12 {
		if s := p.sees("TENANT"); s.Contains("TENANT▲") || s.Contains("TENANT▼") {
			break
		}
		// Not the whole row: the widths of columns change by themselves.
		before := sortedBy(p.waits("a sorted column", func(s tmux.Screen) bool { return sortedBy(s) != "" }))
		p.press("s")
		p.waits("the next column", func(s tmux.Screen) bool { return sortedBy(s) != "" && sortedBy(s) != before })
	}
	p.waits("acme on top", func(s tmux.Screen) bool {
		row, _ := column(s, "TENANT")
		return row >= 0 && s.Contains("TENANT▲") && strings.Contains(s[row+1], "acme")
	})
	p.press("S")
	p.waits("initech on top", func(s tmux.Screen) bool {
		row, _ := column(s, "TENANT")
		return row >= 0 && s.Contains("TENANT▼") && strings.Contains(s[row+1], "initech")
	})
}

// selected returns the row with the cursor; "" if there is none.
func selected(s tmux.Screen) string {
	for _, row := range s {
		if rest, marked := strings.CutPrefix(row, "> "); marked {
			return rest
		}
	}
	return ""
}

func selectionStays(p *person) {
	// Rows that stand still, so that nothing but the selection moves.
	p.press("p")
	p.sees("paused")
	// The ssh session lasts as long as the demo.
	const ssh = "10.1.0.80:22 "
	s := p.finds(ssh)
	if down := s.Row(ssh) - s.Row(selected(s)); down > 0 {
		p.press(slices.Repeat([]string{"Down"}, down)...)
	} else if down < 0 {
		p.press(slices.Repeat([]string{"Up"}, -down)...)
	}
	s = p.waits("the session is selected", func(s tmux.Screen) bool { return strings.Contains(selected(s), ssh) })
	from := firstAddress(selected(s))
	p.press("p")
	p.waits("it goes on", func(s tmux.Screen) bool { return !s.Contains("paused") })
	// In another order it is elsewhere, and still selected.
	p.press("S")
	p.waits("the other order", func(s tmux.Screen) bool {
		row, _ := column(s, "TENANT▲")
		return row >= 0 && firstAddress(selected(s)) == from
	})
}

// finds goes through the table until a text is on the screen: how many flows there are
// depends on how slow the machine is. Rows may change places meanwhile, and be missed.
func (p *person) finds(text string) tmux.Screen {
	p.t.Helper()
	const (
		pages    = 20
		pageTime = 5 * time.Second // after which this is taken for the end of the table
	)
	for begun := time.Now(); ; {
		p.press("g")
		s := p.waits("the top", func(s tmux.Screen) bool {
			row, _ := column(s, "TENANT")
			return row >= 0 && strings.HasPrefix(s[row+1], "> ")
		})
		var err error
		for range pages {
			if s.Contains(text) {
				return s
			}
			before := selected(s)
			p.press("NPage")
			ctx, end := context.WithTimeout(p.ctx, pageTime)
			s, err = p.terminal.WaitFor(ctx, "another page", func(s tmux.Screen) bool {
				return s.Contains(text) || selected(s) != "" && selected(s) != before
			})
			end()
			if err != nil {
				break
			}
		}
		if time.Since(begun) > patience {
			p.t.Fatalf("%q is not in the table: %v; the screen is:\n%s", text, err, s)
		}
	}
}

// firstAddress is the first inner end in a row.
func firstAddress(row string) string {
	for _, word := range strings.Fields(row) {
		if strings.HasPrefix(word, "10.1.0.") || strings.HasPrefix(word, "[fd00:") || strings.HasPrefix(word, "fd00:") {
			return word
		}
	}
	return ""
}

func flowInDetail(p *person) {
	p.press("Enter")
	s := p.sees("acme/ssh", "rules.hcl:", "established", "10.47.1.1 > 10.47.2.1", "0x64", "OVN", "10.1.0.80:22")
	p.fits(s, 34, "q quit")
	p.press("Escape")
	p.sees("TENANT", "10.1.0.80:22")
}

func filterIsTyped(p *person) {
	p.press("/")
	p.types("ten")
	p.press("Tab")
	p.sees("tenant:")
	p.types("glo")
	p.press("Tab")
	p.sees("tenant:globex")
	p.types("not dport:53")
	p.press("Enter")
	p.waits("flows of globex alone", func(s tmux.Screen) bool {
		return s.Contains("/tenant:globex not dport:53") && s.Contains(" globex ") && !s.Contains(" acme ") && !s.Contains("10.1.0.53:53 ")
	})
	p.press("Escape")
	p.waits("no filter", func(s tmux.Screen) bool { return !s.Contains("/tenant:globex") })
	p.finds(" acme ")
	p.finds("10.1.0.53:53 ")
}

func wrongFilter(p *person) {
	p.press("/")
	p.types("dport:https")
	p.press("Enter")
	p.sees("dport:https", "column 7", `this is "https"`)
	p.press("Escape")
	p.waits("no prompt", func(s tmux.Screen) bool { return !s.Contains("dport:https") })
	// It selects nothing, and says so.
	p.press("/")
	p.types("dst:192.0.2.1")
	p.press("Enter")
	p.sees("selects nothing")
	p.press("Escape")
	p.waits("a row", func(s tmux.Screen) bool { return !s.Contains("selects nothing") })
	p.finds(" acme ")
}

func filtersFromBefore(p *person) {
	p.press("/")
	p.press("Up", "Up")
	p.waits("the filter before the last", func(s tmux.Screen) bool { return s.Contains("tenant:globex not dport:53") })
	p.press("Escape")
	p.waits("no prompt", func(s tmux.Screen) bool { return !s.Contains("tenant:globex") })
}

func pause(p *person) {
	p.press("p")
	s := p.sees("paused")
	if s.Row("paused") != 0 {
		p.t.Errorf("it says so in row %d", s.Row("paused"))
	}
	p.press("p")
	p.waits("it goes on", func(s tmux.Screen) bool { return !s.Contains("paused") && strings.Contains(s[0], " up ") })
}

func columnsAreChosen(p *person) {
	for _, shown := range []bool{false, true} {
		p.press("c")
		p.sees("> Columns", "TENANT")
		p.press("Down")
		p.waits("the next one", func(s tmux.Screen) bool { return strings.Contains(selected(s), "TENANT") })
		p.press("Space")
		p.sees(map[bool]string{false: "[ ] TENANT", true: "[x] TENANT"}[shown])
		p.press("Escape")
		p.waits("the table", func(s tmux.Screen) bool {
			return !s.Contains("> Columns") && s.Contains("SOURCE") && s.Contains("TENANT") == shown
		})
	}
}

func export(p *person, dir string) {
	files := func(pattern string) []string {
		list, err := filepath.Glob(filepath.Join(dir, pattern))
		p.must(err)
		return list
	}
	for _, form := range []string{"csv", "json"} {
		p.press("e")
		p.sees("export what is shown as")
		p.press(form[:1])
		// It is there before it is whole.
		p.waits("the file", func(s tmux.Screen) bool {
			row := s.Row("wrote ")
			return len(files("*."+form)) == 1 && !s.Contains("export what is shown as") && row >= 0 && strings.Contains(s[row], "."+form)
		})
		text, err := os.ReadFile(files("*." + form)[0])
		p.must(err)
		var rows int
		if form == "csv" {
			records, err := csv.NewReader(strings.NewReader(string(text))).ReadAll()
			p.must(err)
			rows = len(records) - 1
		} else {
			var records []json.RawMessage
			if json.Unmarshal(text, &records) != nil {
				for line := range strings.Lines(string(text)) {
					var record json.RawMessage
					p.must(json.Unmarshal([]byte(line), &record))
					records = append(records, record)
				}
			}
			rows = len(records)
		}
		if rows < 5 || !strings.Contains(string(text), "globex") {
			p.t.Errorf("%s: %d rows\n%s", form, rows, text)
		}
	}
}

func copied(p *person) {
	p.press("y")
	p.sees("copied")
	p.waits("the clipboard", func(tmux.Screen) bool {
		text, err := p.terminal.Clipboard(p.ctx)
		return err == nil && (strings.Contains(text, "10.1.0.") || strings.Contains(text, "fd00:10:1::"))
	})
}

func tenantsAndRules(p *person) {
	p.shows("Tenants")
	s := p.sees("acme", "globex", "initech", "AUDIT")
	p.fits(s, 34, "q quit")
	p.shows("Rules")
	p.sees("acme/web", "rules.hcl:", "globex/no-mail", "initech/dns")
	p.press("Tab")
	p.waits("the screen behind it", func(s tmux.Screen) bool { return !s.Contains("globex/no-mail") })
	p.press("BTab")
	p.sees("globex/no-mail")
}

func help(p *person) {
	p.press("?")
	p.sees("Everywhere", "next screen", "In tables")
	p.press("?")
	p.waits("no help", func(s tmux.Screen) bool { return !s.Contains("Everywhere") })
}

func themes(p *person) {
	p.shows("Flows")
	colours := func() string {
		s, err := p.terminal.Coloured(p.ctx)
		p.must(err)
		return s[1]
	}
	p.sees("1 ")
	seen := map[string]bool{colours(): true}
	for range 3 {
		before := colours()
		p.press("t")
		p.waits("another theme", func(s tmux.Screen) bool { return s.Contains("theme: ") && colours() != before })
		seen[colours()] = true
	}
	if len(seen) < 3 {
		p.t.Errorf("%d looks of four themes: %v", len(seen), seen)
	}
}

func otherSizes(p *person) {
	p.finds(" acme ")
	for _, size := range []struct{ width, height int }{{80, 24}, {200, 60}, {30, 8}, {1, 1}, {120, 34}} {
		p.must(p.terminal.Resize(p.ctx, size.width, size.height))
		switch {
		case size.height >= 20:
			s := p.waits("the keys at the bottom", func(s tmux.Screen) bool {
				return len(s) == size.height && strings.Contains(s[size.height-1], "q quit") && s.Contains("TENANT") && s.Contains("acme")
			})
			p.fits(s, size.height, "q quit")
		case size.width >= 20:
			p.sees("this needs a terminal of")
		}
	}
}
