package tui

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden screens anew")

// Screens show local time, golden ones that of UTC.
func TestMain(m *testing.M) {
	time.Local = time.UTC
	os.Exit(m.Run())
}

// driver is the app with a fake firewall and a clock that stands still; commands run
// at once, one after the other.
type driver struct {
	*app
	t    *testing.T
	fake *fake
	now  time.Time
	quit bool
	// other are messages that Bubble Tea would have taken.
	other []tea.Msg
}

// drive starts the app at a size; change may change the Config.
func drive(t *testing.T, f *fake, width, height int, change ...func(*Config)) *driver {
	t.Helper()
	d := &driver{t: t, fake: f, now: fakeNow}
	c := Config{Firewall: f, Where: "control.sock", Screen: "Flows", Theme: "none", ExportDir: t.TempDir(), Now: func() time.Time { return d.now }}
	for _, each := range change {
		each(&c)
	}
	a, err := newApp(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	a.after = func(time.Duration) tea.Cmd { return nil }
	a.resumable = func() bool { return true }
	a.env.sampleTime = 0
	d.app = a
	d.run(a.Init())
	d.send(tea.WindowSizeMsg{Width: width, Height: height})
	return d
}

func (d *driver) send(msg tea.Msg) {
	_, cmd := d.Update(msg)
	d.run(cmd)
}

func (d *driver) run(cmd tea.Cmd) {
	if cmd == nil {
		return
	}
	switch msg := cmd().(type) {
	case nil:
	case tea.BatchMsg:
		for _, each := range msg {
			d.run(each)
		}
	case tea.QuitMsg:
		d.quit = true
	default:
		d.other = append(d.other, msg)
		d.send(msg)
	}
}

// tick lets a second pass.
func (d *driver) tick() {
	d.now = d.now.Add(time.Second)
	d.send(tickMsg{})
}

// press presses keys by their names; a word of several letters that is no name is
// typed.
func (d *driver) press(keys ...string) {
	for _, name := range keys {
		d.send(keyMsg(name))
	}
}

// typed types text.
func (d *driver) typed(text string) {
	for _, r := range text {
		d.send(tea.KeyPressMsg{Code: r, Text: string(r)})
	}
}

var named = map[string]tea.Key{
	"enter": {Code: tea.KeyEnter}, "esc": {Code: tea.KeyEscape}, "tab": {Code: tea.KeyTab},
	"up": {Code: tea.KeyUp}, "down": {Code: tea.KeyDown}, "left": {Code: tea.KeyLeft}, "right": {Code: tea.KeyRight},
	"home": {Code: tea.KeyHome}, "end": {Code: tea.KeyEnd}, "pgup": {Code: tea.KeyPgUp}, "pgdown": {Code: tea.KeyPgDown},
	"backspace": {Code: tea.KeyBackspace}, "delete": {Code: tea.KeyDelete}, "space": {Code: tea.KeySpace, Text: " "},
}

func keyMsg(name string) tea.KeyPressMsg {
	var k tea.Key
	rest := name
	for prefix, mod := range map[string]tea.KeyMod{"ctrl+": tea.ModCtrl, "shift+": tea.ModShift} {
		if after, ok := strings.CutPrefix(rest, prefix); ok {
			rest, k.Mod = after, mod
		}
	}
	if n, ok := named[rest]; ok {
		n.Mod = k.Mod
		return tea.KeyPressMsg(n)
	}
	k.Code = []rune(rest)[0]
	if k.Mod == 0 {
		k.Text = rest
	}
	return tea.KeyPressMsg(k)
}

// screen is what is seen, without colours and blanks at the ends of lines.
func (d *driver) screen() string {
	lines := strings.Split(ansi.Strip(d.View().Content), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n") + "\n"
}

// shows fails unless all of that is seen.
func (d *driver) shows(want ...string) {
	d.t.Helper()
	got := d.screen()
	for _, text := range want {
		if !strings.Contains(got, text) {
			d.t.Errorf("%q is not to be seen in\n%s", text, got)
		}
	}
}

// hides fails if any of that is seen.
func (d *driver) hides(unwanted ...string) {
	d.t.Helper()
	got := d.screen()
	for _, text := range unwanted {
		if strings.Contains(got, text) {
			d.t.Errorf("%q is to be seen in\n%s", text, got)
		}
	}
}

// golden compares what is seen with a file in testdata/golden.
func (d *driver) golden(name string) {
	d.t.Helper()
	path := filepath.Join("testdata", "golden", name+".txt")
	got := d.screen()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			d.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			d.t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		d.t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		d.t.Errorf("%s differs (-want +got), 'go test ./tui -update' writes it anew:\n%s", path, diff)
	}
}

// sizes are those of the golden screens.
var sizes = []struct {
	name          string
	width, height int
}{{"80x24", 80, 24}, {"120x40", 120, 40}, {"200x60", 200, 60}}
