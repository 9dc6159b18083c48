package tui

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
)

// exportRows are rows to write: what is shown, in its order.
type exportRows struct {
	name string     // of what they are, such as flows; part of the file's name
	head []string   // keys of the columns
	rows [][]string // cells
	// records are the same rows as the firewall tells of them, for JSON.
	records []any
	// of is how many there are, if not all are here.
	of int
}

// exportedMsg says what came of an export.
type exportedMsg struct {
	path  string
	count int
	of    int
	err   error
}

// beginExport asks for the form.
func (a *app) beginExport() tea.Cmd {
	if a.writing {
		return notice(toneWarn, "an export is under way already")
	}
	if e, ok := a.top().(exporter); ok && e.Export() != nil {
		a.exporting = true
		return nil
	}
	return notice(toneWarn, "there is nothing to export here")
}

// chooseExport takes the key that says in what form.
func (a *app) chooseExport(msg tea.KeyPressMsg) tea.Cmd {
	a.exporting = false
	form := msg.String()
	e, ok := a.top().(exporter)
	if !ok || form != "c" && form != "j" {
		return nil
	}
	q := e.Export()
	if q == nil {
		return nil
	}
	ctx, source, dir, now := a.env.ctx, a.env.source, a.config.ExportDir, a.env.now()
	write := func() (done exportedMsg) {
		ctx, cancel := context.WithTimeout(ctx, 4*deadline)
		defer cancel()
		value, err := q(ctx, source)
		if err != nil {
			return exportedMsg{err: err}
		}
		rows := value.(exportRows)
		done.count, done.of = len(rows.rows), rows.of
		done.path, done.err = rows.write(dir, form, now)
		if dir == "" {
			done.path = "./" + filepath.Base(done.path)
		}
		return done
	}
	a.writing = true
	// Before it begins, not beside it: what came of it must be said last.
	a.env.send(noticeMsg{"exporting ...", toneDim})
	return func() tea.Msg { return write() }
}

func (a *app) exported(msg exportedMsg) tea.Cmd {
	a.writing = false
	if msg.err != nil {
		text := msg.err.Error()
		var file *fs.PathError
		if errors.As(msg.err, &file) {
			text = file.Err.Error() + ": " + file.Path
		}
		return notice(toneBad, "export: "+text)
	}
	text := fmt.Sprintf("wrote %d rows to %s", msg.count, msg.path)
	if msg.of > msg.count {
		text = fmt.Sprintf("wrote the first %d of %d rows to %s", msg.count, msg.of, msg.path)
	}
	return notice(toneGood, text)
}

// maxExports is how many files of one second get a name.
const maxExports = 100

// write writes a new file and returns its absolute path; it never writes over one.
func (x *exportRows) write(dir, form string, now time.Time) (path string, err error) {
	ending := map[string]string{"c": ".csv", "j": ".json"}[form]
	var file *os.File
	for i := range maxExports {
		name := "sttwall-" + x.name + "-" + now.Format("20060102-150405")
		if i > 0 {
			name += fmt.Sprintf("-%d", i)
		}
		file, err = os.OpenFile(filepath.Join(dir, name+ending), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if !errors.Is(err, fs.ErrExist) {
			break
		}
	}
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if path, err = filepath.Abs(file.Name()); err != nil {
		return "", err
	}
	if form == "j" {
		lines := json.NewEncoder(file)
		lines.SetEscapeHTML(false)
		lines.SetIndent("", "  ")
		return path, lines.Encode(x.records)
	}
	w := csv.NewWriter(file)
	if err := w.Write(x.head); err != nil {
		return path, err
	}
	for _, row := range x.rows {
		for i := range row {
			row[i] = noFormula(row[i])
		}
		if err := w.Write(row); err != nil {
			return path, err
		}
	}
	w.Flush()
	return path, w.Error()
}

// fileNumber, fileBits, fileSeconds and fileTime write what files have in place of
// text for people: bits a second of bytes a second, and times in RFC 3339.
func fileNumber(n uint64) string             { return strconv.FormatUint(n, 10) }
func fileBits(bytes float64) string          { return strconv.FormatFloat(8*bytes, 'f', 0, 64) }
func fileSeconds(since time.Duration) string { return strconv.FormatInt(int64(since/time.Second), 10) }

func fileTime(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.Format(time.RFC3339Nano)
}

// noFormula keeps spreadsheets from taking a name for a formula.
func noFormula(s string) string {
	if strings.IndexAny(s, "=+-@＝＋－＠") == 0 {
		return "'" + s
	}
	return s
}

// export makes rows of records, with the columns that are chosen.
func (t *table[T]) export(name string, records []T, of int) exportRows {
	x := exportRows{name: name, of: of, records: make([]any, len(records)), rows: make([][]string, len(records))}
	for i := range t.columns {
		if c := &t.columns[i]; !c.Off && !c.Drawn {
			x.head = append(x.head, t.columns[i].Key)
		}
	}
	for i := range records {
		x.records[i] = &records[i]
		for j := range t.columns {
			switch c := &t.columns[j]; {
			case c.Off || c.Drawn:
			case c.File != nil:
				x.rows[i] = append(x.rows[i], clean(c.File(&records[i])))
			default:
				x.rows[i] = append(x.rows[i], clean(c.Cell(&records[i]).text))
			}
		}
	}
	return x
}

// copied is the selected row as text.
func (t *table[T]) copied() (text, what string) {
	r := t.current()
	if r == nil {
		return "", ""
	}
	var cells []string
	for i := range t.columns {
		if c := &t.columns[i]; !c.Off {
			cells = append(cells, clean(c.Cell(r).text))
		}
	}
	return strings.Join(cells, "\t"), "the row"
}
