package tui

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
)

// item is a row of a test table.
type item struct {
	name string
	n    int
}

func newItems(n int) (items []item) {
	for i := range n {
		items = append(items, item{fmt.Sprintf("item%02d", i), i})
	}
	return items
}

// newItemTable has two columns that must stay and two that may go.
func newItemTable(width, height int) *table[item] {
	look, _ := newTheme("none")
	e := &env{theme: look, keys: newKeyMap(false), ctx: context.Background()}
	name := func(i *item) cell { return cell{i.name, toneText} }
	number := func(i *item) cell { return cell{fmt.Sprint(i.n), toneText} }
	byNumber := func(a, b *item) int { return cmp.Compare(a.n, b.n) }
	t := newTable(e, []column[item]{
		{Key: "name", Title: "NAME", Min: 4, Max: 12, Cell: name, Less: func(a, b *item) int { return strings.Compare(a.name, b.name) }},
		{Key: "n", Title: "N", Min: 3, Max: 6, Right: true, Largest: true, Cell: number, Less: byNumber},
		{Key: "more", Title: "MORE", Min: 10, Max: 10, Drop: 2, Cell: name},
		{Key: "less", Title: "LESS", Min: 10, Max: 10, Drop: 1, Cell: name},
	}, func(i *item) string { return i.name })
	t.resize(width, height)
	return t
}

func (t *table[T]) pressed(keys ...string) {
	for _, k := range keys {
		t.Update(keyMsg(k))
	}
}

// names are the first words of the visible rows.
func names(t *table[item]) (out []string) {
	for _, line := range strings.Split(ansi.Strip(t.View(t.width, t.height)), "\n")[1:] {
		out = append(out, strings.Fields(strings.TrimLeft(line, ">* "))[0])
	}
	return out
}

func TestTheSelectionStaysOnItsRowWhileRowsMove(t *testing.T) {
	table := newItemTable(60, 11)
	table.sortBy = "n"
	items := newItems(100)
	table.setRows(slices.Clone(items))
	table.pressed("j", "j", "j") // item96, on the fourth line
	items[96].n = 50             // it falls behind item51
	table.setRows(slices.Clone(items))
	if got := table.current().name; got != "item96" {
		t.Fatalf("%s is selected, want item96", got)
	}
	if line := table.at - table.top; line != 3 {
		t.Errorf("it is on line %d, want 3: the others move", line)
	}
	// It goes: what stands in its place is selected.
	items = slices.Delete(items, 96, 97)
	at := table.at
	table.setRows(slices.Clone(items))
	if table.at != at || table.current() == nil {
		t.Errorf("position %d is selected, want %d", table.at, at)
	}
}

func TestFollowingStaysAtTheTop(t *testing.T) {
	table := newItemTable(60, 11)
	table.sortBy = "n"
	items := newItems(20)
	table.setRows(slices.Clone(items))
	if got := table.current().name; got != "item19" {
		t.Fatalf("%s is selected", got)
	}
	items[3].n = 99
	table.setRows(slices.Clone(items))
	if got := table.current().name; got != "item03" {
		t.Errorf("%s is selected, want what is on top: item03", got)
	}
	table.pressed("j", "f")
	if got := table.current().name; got != "item03" || !table.follow {
		t.Errorf("f goes to %s, want the top", got)
	}
}

func TestKeysMoveWithinTheTable(t *testing.T) {
	for _, tt := range []struct {
		keys    []string
		at, top int
	}{
		{[]string{"j"}, 1, 0}, {[]string{"down", "j", "k"}, 1, 0}, {[]string{"k"}, 0, 0}, {[]string{"up"}, 0, 0},
		{[]string{"G"}, 99, 90}, {[]string{"end", "j"}, 99, 90}, {[]string{"G", "g"}, 0, 0}, {[]string{"end", "home"}, 0, 0},
		{[]string{"pgdown"}, 10, 1}, {[]string{"pgdown", "pgdown", "pgup"}, 10, 10}, {[]string{"pgup"}, 0, 0},
	} {
		table := newItemTable(60, 11)
		table.setRows(newItems(100))
		table.pressed(tt.keys...)
		if table.at != tt.at || table.top != tt.top {
			t.Errorf("%v: at %d from %d on, want %d from %d on", tt.keys, table.at, table.top, tt.at, tt.top)
		}
	}
	empty := newItemTable(60, 11)
	empty.pressed("j", "G", "pgdown", "space", "s", "S", "f")
	if empty.at != 0 || empty.current() != nil {
		t.Errorf("an empty table is at %d", empty.at)
	}
}

func TestSortingByKeysAndMouse(t *testing.T) {
	table := newItemTable(60, 6)
	table.setRows(newItems(20))
	for _, tt := range []struct {
		does  string
		do    func()
		first string
	}{
		{"s sorts by the first column", func() { table.pressed("s") }, "item00"},
		{"S turns it", func() { table.pressed("S") }, "item19"},
		{"s goes on: numbers have the largest on top", func() { table.pressed("s") }, "item19"},
		{"S turns that", func() { table.pressed("S") }, "item00"},
		{"s leaves out what cannot be sorted by", func() { table.pressed("s", "S") }, "item19"},
		{"Shift+Left goes back", func() { table.pressed("shift+left", "S") }, "item00"},
		{"a click on a head sorts", func() { table.Update(tea.MouseClickMsg{X: 3, Y: 0, Button: tea.MouseLeft}) }, "item00"},
		{"and a second one turns", func() { table.Update(tea.MouseClickMsg{X: 3, Y: 0, Button: tea.MouseLeft}) }, "item19"},
	} {
		tt.do()
		table.pressed("g")
		if got := names(table)[0]; got != tt.first {
			t.Errorf("%s: %s is on top, want %s", tt.does, got, tt.first)
		}
	}
}

func TestFrozenRowsStayOnTopAndHaveABound(t *testing.T) {
	table := newItemTable(60, 30)
	table.sortBy = "name"
	table.setRows(newItems(100))
	for range maxFrozen + 2 {
		table.pressed("space", "j")
	}
	if got := len(table.frozen); got != maxFrozen {
		t.Fatalf("%d rows are frozen, want %d", got, maxFrozen)
	}
	table.pressed("G")
	if got := names(table)[:2]; !slices.Equal(got, []string{"item02", "item03"}) {
		t.Errorf("on top are %v, want those that were frozen last", got)
	}
	if !strings.Contains(ansi.Strip(table.View(60, 30)), "* item02") {
		t.Error("frozen rows have no mark")
	}
	// They keep up with what comes, and are let go by the same key.
	items := newItems(100)
	items[5].n = 12345
	table.setRows(items)
	if !strings.Contains(table.View(60, 30), "12345") {
		t.Error("a frozen row shows old numbers")
	}
	for range 100 {
		table.pressed("k")
	}
	table.pressed("j", "j", "space")
	if slices.ContainsFunc(table.frozen, func(i item) bool { return i.name == "item02" }) {
		t.Error("Space does not let a frozen row go")
	}
}

func TestTheMouseSelectsAndScrolls(t *testing.T) {
	table := newItemTable(60, 11)
	table.setRows(newItems(100))
	table.Update(tea.MouseClickMsg{X: 5, Y: 4, Button: tea.MouseLeft})
	if table.at != 3 {
		t.Errorf("a click on the fourth row selects %d", table.at)
	}
	table.Update(tea.MouseWheelMsg{Button: tea.MouseWheelDown})
	table.Update(tea.MouseWheelMsg{Button: tea.MouseWheelDown})
	if table.top != 6 || table.at != 6 {
		t.Errorf("the wheel shows %d on, with %d selected; want 6 and 6", table.top, table.at)
	}
	table.Update(tea.MouseWheelMsg{Button: tea.MouseWheelUp})
	if table.top != 3 {
		t.Errorf("the wheel back shows %d on, want 3", table.top)
	}
	if used, _ := table.Update(tea.MouseClickMsg{X: 5, Y: 50, Button: tea.MouseLeft}); used {
		t.Error("a click below the rows selects one")
	}
}

func TestColumnsGiveWayByTheirOrder(t *testing.T) {
	for _, tt := range []struct {
		width int
		want  []string
	}{
		{60, []string{"NAME", "N", "MORE", "LESS"}},
		{32, []string{"NAME", "N", "LESS"}},
		{20, []string{"NAME", "N"}},
		{6, []string{"NAME"}},
	} {
		table := newItemTable(tt.width, 5)
		table.setRows(newItems(3))
		head, _, _ := strings.Cut(ansi.Strip(table.View(tt.width, 5)), "\n")
		if got := strings.Fields(head); !slices.Equal(got, tt.want) {
			t.Errorf("%d columns show %v, want %v", tt.width, got, tt.want)
		}
	}
}

func TestColumnsAreChosenAndPutInOrder(t *testing.T) {
	d := drive(t, newFake(), 100, 30, func(c *Config) { c.Screen = "flows" })
	d.press("c")
	d.shows("[x] VERDICT", "[ ] SPORT")
	d.press("space", "j", "J", "enter")
	head := strings.Fields(strings.Split(d.screen(), "\n")[bodyTop])
	if !slices.Equal(head[:2], []string{"PROTO", "TENANT"}) {
		t.Errorf("the head is %v, want PROTO and TENANT first, and no VERDICT", head)
	}
	d.press("c")
	for range 30 {
		d.press("k")
	}
	for i := range 30 { // all off but what must stay
		if d.top().(*chooseColumns).choices[min(i, len(d.top().(*chooseColumns).choices)-1)].on {
			d.press("space")
		}
		d.press("j")
	}
	d.shows("one column must stay")
}

func BenchmarkTable(b *testing.B) {
	table := newItemTable(200, 60)
	table.setRows(newItems(100))
	b.Run("op=view/rows=60", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			table.View(200, 60)
		}
	})
}
