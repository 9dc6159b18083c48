package tui

import (
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"sttwall/control"
)

// files returns what was exported.
func (d *driver) files() (names []string) {
	d.t.Helper()
	entries, err := os.ReadDir(d.config.ExportDir)
	if err != nil {
		d.t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func (d *driver) file(name string) []byte {
	d.t.Helper()
	data, err := os.ReadFile(filepath.Join(d.config.ExportDir, name))
	if err != nil {
		d.t.Fatal(err)
	}
	return data
}

func TestWhatIsShownIsExportedAsCSV(t *testing.T) {
	f := newFake()
	f.flows[0].Tenant = "=1+1"
	d := drive(t, f, 100, 30, func(c *Config) { c.Screen, c.Filter = "flows", "tcp" })
	d.press("e")
	d.shows("export what is shown as", "CSV", "JSON")
	d.press("c")
	d.shows("wrote 4 rows to " + filepath.Join(d.config.ExportDir, "sttwall-flows-20260314-150926.csv"))
	rows, err := csv.NewReader(strings.NewReader(string(d.file("sttwall-flows-20260314-150926.csv")))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 5 || rows[0][0] != "verdict" || rows[0][1] != "tenant" || rows[1][1] != "globex" {
		t.Errorf("the file has %v", rows)
	}
	if !slices.ContainsFunc(rows, func(row []string) bool { return row[1] == "'=1+1" }) {
		t.Errorf("a spreadsheet would compute %v", rows)
	}
	at := func(row []string, head string) string { return row[slices.Index(rows[0], head)] }
	if slices.Contains(rows[0], "trend") {
		t.Errorf("there is a plot in the file: %v", rows[0])
	}
	for _, row := range rows[1:] {
		if v := at(row, "verdict"); v != "accept" && v != "audit" {
			t.Errorf("the verdict is %q", v)
		}
		for _, head := range []string{"rate", "bytes", "packets", "age"} {
			if _, err := strconv.ParseUint(at(row, head), 10, 64); err != nil {
				t.Errorf("%s is no number: %q", head, at(row, head))
			}
		}
	}
	// A second one in the same second has another name.
	d.press("e", "c")
	if got := d.files(); len(got) != 2 {
		t.Errorf("files: %v", got)
	}
}

func TestWhatIsShownIsExportedAsJSON(t *testing.T) {
	d := drive(t, newFake(), 100, 30, func(c *Config) { c.Screen = "tenants" })
	d.press("e", "j")
	var got []control.TenantHits
	if err := json.Unmarshal(d.file("sttwall-tenants-20260314-150926.json"), &got); err != nil {
		t.Fatal(err)
	}
	if len(got) != 3 || got[0].Frames == 0 {
		t.Errorf("the file has %+v", got)
	}
}

func TestAnExportThatFailsOrIsNotWantedSaysSo(t *testing.T) {
	d := drive(t, newFake(), 120, 30, func(c *Config) { c.Screen, c.ExportDir = "tenants", filepath.Join(c.ExportDir, "none") })
	d.press("e", "c")
	d.shows("export: no such file or directory: /")
	d.press("e", "esc")
	d.hides("export what is shown")
	empty := newFake()
	empty.flows = nil
	d = drive(t, empty, 120, 30, func(c *Config) { c.Screen = "flows" })
	d.press("e")
	d.shows("there is nothing to export here")
}

func TestAnExportNeverWritesOverAFile(t *testing.T) {
	dir := t.TempDir()
	x := exportRows{name: "flows", head: []string{"a"}, rows: [][]string{{"1"}}}
	for range maxExports {
		if _, err := x.write(dir, "c", fakeNow); err != nil {
			t.Fatal(err)
		}
	}
	if path, err := x.write(dir, "c", fakeNow); err == nil {
		t.Errorf("the %dth file of a second is %s", maxExports+1, path)
	}
}

func TestManyFlowsAreExportedUpToABound(t *testing.T) {
	d := drive(t, newFake().many(control.MaxFlows+5), 120, 30, func(c *Config) { c.Screen = "flows" })
	d.press("e", "j")
	d.shows("wrote the first 10000 of 10005 rows")
}

func TestTheSelectedRowIsCopied(t *testing.T) {
	d := drive(t, newFake(), 120, 30, func(c *Config) { c.Screen = "tenants" })
	d.press("y")
	d.shows("copied the row, if the terminal lets programs do that")
	text, _ := d.top().(copier).Copy()
	if !strings.HasPrefix(text, "acme\tenforce\t3\t") {
		t.Errorf("copied is %q", text)
	}
}

func TestNoNameIsAFormula(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "acme": "acme", "a=1": "a=1", "=1": "'=1", "+1": "'+1", "-1": "'-1", "@x": "'@x", "＝1": "'＝1", "\xff=": "\xff=",
	} {
		if got := noFormula(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}
