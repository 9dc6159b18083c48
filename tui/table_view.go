package tui

import "strings"

// gutter is the space at the left for the marks of rows.
const gutter = 2

// gap is the space between columns.
func (t *table[T]) gap() int {
	if t.width >= 110 {
		return 2
	}
	return 1
}

// measure looks at the visible rows for how wide columns need to be. Columns only
// grow, so that nothing jumps, until the size or the choice changes.
func (t *table[T]) measure() {
	look := func(r *T) {
		for i := range t.columns {
			if c := &t.columns[i]; !c.Off && t.seen[i] < c.Max {
				t.seen[i] = max(t.seen[i], min(c.Max, width(clean(c.Cell(r).text))))
			}
		}
	}
	for i := range t.frozen {
		look(&t.frozen[i])
	}
	for at := t.top; at < t.top+t.lines(); at++ {
		if r := t.row(at); r != nil {
			look(r)
		}
	}
}

// layout says how wide each column is, 0 for those that are not shown.
func (t *table[T]) layout(room int) []int {
	widths := make([]int, len(t.columns))
	least := make([]int, len(t.columns))
	used := gutter - t.gap()
	for i := range t.columns {
		c := &t.columns[i]
		if c.Off {
			continue
		}
		least[i] = max(c.Min, width(c.Title))
		if c.Key == t.sortBy {
			least[i] = max(c.Min, width(c.Title)+1)
		}
		widths[i] = max(least[i], t.seen[i])
		used += widths[i] + t.gap()
	}
	for used > room {
		last := -1
		for i := range t.columns {
			if widths[i] > 0 && t.columns[i].Drop > 0 && (last < 0 || t.columns[i].Drop >= t.columns[last].Drop) {
				last = i
			}
		}
		if last < 0 {
			break
		}
		used -= widths[last] + t.gap()
		widths[last] = 0
	}
	// Those that are left share what is missing: the widest gives.
	for used > room {
		widest := -1
		for i, w := range widths {
			if w > t.columns[i].Min && (widest < 0 || w > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			break
		}
		widths[widest]--
		used--
	}
	return widths
}

// View returns the head and the visible rows.
func (t *table[T]) View(room, height int) string {
	layout := t.layout(room)
	var out strings.Builder
	t.head(&out, layout, room)
	for i := range t.frozen {
		if height--; height <= 1 {
			break
		}
		out.WriteByte('\n')
		as := lineFrozen
		if t.gone[t.id(&t.frozen[i])] {
			as = lineGone
		}
		t.line(&out, layout, room, &t.frozen[i], as)
	}
	for at := t.top; at < min(t.top+height-1, t.total); at++ {
		out.WriteByte('\n')
		as := lineOther
		if at == t.at && !t.blurred {
			as = lineSelected
		}
		if r := t.row(at); r != nil {
			t.line(&out, layout, room, r, as)
		} else {
			out.WriteString(t.env.paint(toneDim, cut("  …", room)))
		}
	}
	return out.String()
}

func (t *table[T]) head(out *strings.Builder, layout []int, room int) {
	left := min(gutter, room)
	out.WriteString(spaces(left))
	for i, w := range layout {
		if w = min(w, room-left); w <= 0 {
			continue
		}
		c := &t.columns[i]
		title, as := c.Title, toneHead
		if c.Key == t.sortBy {
			as = toneSorted
			if t.descending() {
				title += "▼"
			} else {
				title += "▲"
			}
		}
		if c.Right {
			title = fitRight(title, w)
		} else {
			title = fit(title, w)
		}
		out.WriteString(t.env.paint(as, title))
		left += w
		n := min(t.gap(), room-left)
		out.WriteString(spaces(n))
		left += max(0, n)
	}
}

// lineKind is how a row stands among the others.
type lineKind int

const (
	lineOther lineKind = iota
	lineSelected
	lineFrozen
	lineGone // frozen, and not there any more
)

func (t *table[T]) line(out *strings.Builder, layout []int, room int, r *T, as lineKind) {
	left := min(gutter, room)
	if as == lineSelected {
		out.WriteString(t.env.theme.on[toneSelected])
	}
	switch mark := fit([...]string{lineOther: "", lineSelected: ">", lineFrozen: "*", lineGone: "-"}[as], left); as {
	case lineFrozen:
		out.WriteString(t.env.paint(toneFrozen, mark))
	default:
		out.WriteString(mark)
	}
	for i, w := range layout {
		if w = min(w, room-left); w <= 0 {
			continue
		}
		c := &t.columns[i]
		value := c.Cell(r)
		text := clean(value.text)
		if c.Right {
			text = fitRight(text, w)
		} else {
			text = fit(text, w)
		}
		switch as {
		case lineSelected:
			out.WriteString(text)
		case lineGone:
			out.WriteString(t.env.paint(toneDim, text))
		default:
			out.WriteString(t.env.paint(value.tone, text))
		}
		left += w
		n := min(t.gap(), room-left)
		out.WriteString(spaces(n))
		left += max(0, n)
	}
	if as == lineSelected {
		out.WriteString(spaces(room - left))
		if t.env.theme.on[toneSelected] != "" {
			out.WriteString(toneEnd)
		}
	}
}

// place says which row is selected, of how many.
func (t *table[T]) place() string {
	if t.total == 0 {
		return ""
	}
	text := grouped(uint64(t.at+1)) + " of " + grouped(uint64(t.total))
	if t.follow {
		text = "following the top, " + text
	}
	return text
}
