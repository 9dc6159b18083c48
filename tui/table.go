package tui

import (
	"slices"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"
)

// cell is what a row shows in a column; text need not be clean.
type cell struct {
	text string
	tone tone
}

// column shows one property of records.
type column[T any] struct {
	// Key names it in exports and in [table.SortKey].
	Key   string
	Title string
	// Min and Max bound its width; in between it is as wide as what it shows.
	Min, Max int
	Right    bool // numbers
	// Drop says which columns give way where there is no room: those with the
	// largest first, those with 0 never.
	Drop int
	Off  bool // not shown until chosen
	// Cell is called for visible rows only.
	Cell func(*T) cell
	// File is what stands in a CSV file: no marks and no units, so that it can be
	// computed with; nil: what is shown. Drawn: a plot, which is in no file.
	File  func(*T) string
	Drawn bool
	// Less orders rows that are all here; nil: the table cannot be sorted by it.
	// Where pages come sorted, it only says whether it can be.
	Less func(a, b *T) int
	// AsTheyCome: rows come in its order, and Less says that all are alike.
	AsTheyCome bool
	// Largest: it is sorted with the largest first, unless turned.
	Largest bool
}

// maxFrozen is how many rows can be frozen; then the oldest one is freed.
const maxFrozen = 8

// table shows rows of records, and keeps the selected one while they move. Rows are
// either all here (setRows), or a page of many that came sorted (setPage).
type table[T any] struct {
	env     *env
	columns []column[T] // in the chosen order
	id      func(*T) string

	sortBy  string // a Key; "": as they come
	turned  bool
	rows    []T // rows[i] stands at position first+i
	first   int
	total   int
	top, at int    // positions: of the first line, and of the selected row
	chosen  string // ID of the selected row; "" until there are rows
	// follow keeps the selection at position 0, whoever is there.
	follow bool
	frozen []T // newest last
	// gone are the IDs of frozen rows that are not there any more.
	gone map[string]bool

	blurred bool // keys go elsewhere: no row is shown as selected

	width, height int   // head included
	seen          []int // the widest that each column had to show
}

func newTable[T any](e *env, columns []column[T], id func(*T) string) *table[T] {
	return &table[T]{env: e, columns: columns, id: id, follow: true, seen: make([]int, len(columns))}
}

// resize tells it how much room there is.
func (t *table[T]) resize(width, height int) {
	if width != t.width {
		clear(t.seen)
	}
	t.width, t.height = width, height
	t.show()
	t.measure()
}

// lines is how many rows can be seen besides the frozen ones.
func (t *table[T]) lines() int { return max(1, t.height-1-len(t.frozen)) }

// sorted is the column by which it is sorted, nil for none.
func (t *table[T]) sorted() *column[T] {
	for i := range t.columns {
		if t.columns[i].Key == t.sortBy {
			return &t.columns[i]
		}
	}
	return nil
}

// descending reports whether the largest is on top.
func (t *table[T]) descending() bool {
	c := t.sorted()
	return c != nil && c.Largest != t.turned
}

// setRows gives it all rows. It may change their order.
func (t *table[T]) setRows(rows []T) {
	if c := t.sorted(); c != nil && c.Less != nil {
		turn := 1
		if t.descending() {
			turn = -1
		}
		if c.AsTheyCome && turn < 0 {
			slices.Reverse(rows)
		}
		slices.SortStableFunc(rows, func(a, b T) int { return turn * c.Less(&a, &b) })
	}
	var at *int
	if i := slices.IndexFunc(rows, func(r T) bool { return t.id(&r) == t.chosen }); i >= 0 {
		at = &i
	}
	t.setPage(rows, 0, len(rows), at)
}

// setPage gives it the rows from position first on, of total; at is where the
// selected one stands, nil if it is gone.
func (t *table[T]) setPage(rows []T, first, total int, at *int) {
	t.rows, t.first, t.total = rows, first, total
	switch {
	case t.follow:
		t.at, t.top = 0, 0
	case at != nil:
		// It stays on its line of the screen, and the others move.
		t.top += *at - t.at
		t.at = *at
	}
	t.update(rows)
	t.show()
	t.measure()
}

// update gives it the frozen rows that are among these as they are now, and returns
// the IDs of the others.
func (t *table[T]) update(rows []T) (others []string) {
	for i := range t.frozen {
		id := t.id(&t.frozen[i])
		if at := slices.IndexFunc(rows, func(r T) bool { return t.id(&r) == id }); at >= 0 {
			t.frozen[i] = rows[at]
		} else {
			others = append(others, id)
		}
	}
	return others
}

// refresh is update where these are all that there are, or all that there are of those
// that were asked for: frozen rows that are not among them are gone, and stay as
// they were last.
func (t *table[T]) refresh(rows []T, asked func(id string) bool) {
	t.gone = make(map[string]bool)
	for _, id := range t.update(rows) {
		if asked == nil || asked(id) {
			t.gone[id] = true
		}
	}
}

// show brings selection and first line into their bounds.
func (t *table[T]) show() {
	t.at = max(0, min(t.at, t.total-1))
	t.top = min(t.top, t.at)
	t.top = max(t.top, t.at-t.lines()+1)
	t.top = max(0, min(t.top, t.total-t.lines()))
	t.chosen = ""
	if r := t.current(); r != nil {
		t.chosen = t.id(r)
	}
}

// row returns the row at a position, nil if it is not here.
func (t *table[T]) row(at int) *T {
	if at < t.first || at-t.first >= len(t.rows) {
		return nil
	}
	return &t.rows[at-t.first]
}

// current returns the selected row, nil if there is none or it is not here yet.
func (t *table[T]) current() *T { return t.row(t.at) }

// missing reports whether rows that can be seen are not here.
func (t *table[T]) missing() bool {
	last := min(t.top+t.lines(), t.total) - 1
	return last >= t.top && (t.row(t.top) == nil || t.row(last) == nil)
}

// move selects the row at a position.
func (t *table[T]) move(to int) {
	t.follow = false
	t.at = to
	t.show()
	t.measure()
}

// toTop selects the first row, and follows it.
func (t *table[T]) toTop() {
	t.follow = true
	t.at, t.top = 0, 0
	t.show()
}

// scroll moves what is seen, and the selection only as far as it must.
func (t *table[T]) scroll(by int) {
	t.follow = false
	t.top = max(0, min(t.top+by, t.total-t.lines()))
	t.at = max(t.top, min(t.at, t.top+t.lines()-1))
	t.show()
	t.measure()
}

// sort sorts by a column, or turns the order if it is by that already.
func (t *table[T]) sort(by string) {
	if t.sortBy == by {
		t.turned = !t.turned
	} else {
		t.sortBy, t.turned = by, false
	}
	t.again()
}

// again sorts rows that are all here.
func (t *table[T]) again() {
	if t.total == len(t.rows) {
		t.setRows(t.rows)
	}
}

// sortNext sorts by the next visible column that can be sorted by.
func (t *table[T]) sortNext(step int) {
	layout := t.layout(t.width)
	at := slices.IndexFunc(t.columns, func(c column[T]) bool { return c.Key == t.sortBy })
	for range t.columns {
		at = (at + step + len(t.columns)) % len(t.columns)
		if t.columns[at].Less != nil && layout[at] > 0 {
			t.sortBy, t.turned = t.columns[at].Key, false
			t.again()
			return
		}
	}
}

// freeze keeps the selected row on top of the others, or lets it go.
func (t *table[T]) freeze() {
	r := t.current()
	if r == nil {
		return
	}
	if i := slices.IndexFunc(t.frozen, func(f T) bool { return t.id(&f) == t.id(r) }); i >= 0 {
		t.frozen = slices.Delete(t.frozen, i, i+1)
	} else {
		if len(t.frozen) == maxFrozen {
			t.frozen = slices.Delete(t.frozen, 0, 1)
		}
		t.frozen = append(t.frozen, *r)
	}
	t.show()
}

// Update takes keys and the mouse, the latter with Y counted from the head, and
// reports whether it used the message, and whether it is sorted otherwise now.
func (t *table[T]) Update(msg tea.Msg) (used, resorted bool) {
	by, turned := t.sortBy, t.turned
	switch msg := msg.(type) {
	case tea.KeyPressMsg:
		used = t.press(msg)
	case tea.MouseClickMsg:
		used = t.click(msg.X, msg.Y)
	case tea.MouseWheelMsg:
		switch msg.Button {
		case tea.MouseWheelUp:
			t.scroll(-3)
			used = true
		case tea.MouseWheelDown:
			t.scroll(3)
			used = true
		}
	}
	return used, by != t.sortBy || turned != t.turned
}

func (t *table[T]) press(msg tea.KeyPressMsg) bool {
	k := t.env.keys
	switch {
	case key.Matches(msg, k.Up):
		t.move(t.at - 1)
	case key.Matches(msg, k.Down):
		t.move(t.at + 1)
	case key.Matches(msg, k.PageUp):
		t.move(t.at - t.lines())
	case key.Matches(msg, k.PageDown):
		t.move(t.at + t.lines())
	case key.Matches(msg, k.Top):
		t.move(0)
	case key.Matches(msg, k.Bottom):
		t.move(t.total - 1)
	case key.Matches(msg, k.Sort):
		t.sortNext(1)
	case key.Matches(msg, k.SortBack):
		t.sortNext(-1)
	case key.Matches(msg, k.Reverse):
		if t.sorted() != nil {
			t.sort(t.sortBy)
		}
	case key.Matches(msg, k.Follow):
		if t.follow {
			t.follow = false
		} else {
			t.toTop()
		}
	case key.Matches(msg, k.Freeze):
		t.freeze()
	default:
		return false
	}
	return true
}

// click sorts by a head, or selects a row.
func (t *table[T]) click(x, y int) bool {
	if y == 0 {
		left := gutter
		for i, w := range t.layout(t.width) {
			if w > 0 && x >= left && x < left+w+t.gap() && t.columns[i].Less != nil {
				t.sort(t.columns[i].Key)
				return true
			}
			if w > 0 {
				left += w + t.gap()
			}
		}
		return false
	}
	if at := t.top + y - 1 - len(t.frozen); at >= t.top && at < min(t.total, t.top+t.lines()) {
		t.move(at)
		return true
	}
	return false
}

// keys are those of a table.
func (t *table[T]) keys() []key.Binding {
	k := t.env.keys
	return []key.Binding{k.Sort, k.Reverse, k.Follow, k.Freeze, k.Columns, k.Export}
}

// Columns are the columns to choose from.
func (t *table[T]) Columns() []columnChoice {
	out := make([]columnChoice, len(t.columns))
	for i, c := range t.columns {
		out[i] = columnChoice{c.Key, c.Title, !c.Off}
	}
	return out
}

// SetColumns puts the columns in that order, and shows those that are on.
func (t *table[T]) SetColumns(choice []columnChoice) {
	var columns []column[T]
	for _, want := range choice {
		for _, c := range t.columns {
			if c.Key == want.key {
				c.Off = !want.on
				columns = append(columns, c)
			}
		}
	}
	t.columns = columns
	clear(t.seen)
	t.measure()
}
