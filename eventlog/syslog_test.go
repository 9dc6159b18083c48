package eventlog

import (
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sttwall/control"
	"sttwall/internal/eve"
)

// daemon is a socket as a syslog daemon has it.
func daemon(t *testing.T, path string) *net.UnixConn {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return c
}

// message reads a message of syslog.
func message(t *testing.T, c *net.UnixConn) (head string, l eve.Line) {
	t.Helper()
	buf := make([]byte, 64<<10)
	n, err := c.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	head, text, _ := strings.Cut(string(buf[:n]), "]: ")
	l, err = schema(t).Line([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return head, l
}

func TestEventsGoToSyslogAndAgainWhenItIsBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	first, said := daemon(t, path), make(Said, 100)
	r := start(t, testRules, Config{Targets: []Target{target(t, "syslog:")}, Sampled: rate(10), syslogNetwork: "unixgram", syslogAddress: path, Log: slog.New(said)}.Hasty())
	r.send(t, 100, "udp 10.0.0.1:9 > 10.0.0.2:53", there)
	r.send(t, 100, "udp 10.0.0.1:9 > 10.0.0.2:54", there)
	r.Tell(&control.Event{Type: control.EventReload, Time: time.Now(), Error: "broken"})
	for _, want := range []string{"<174> flow_start", "<173> drop", "<171> reload"} { // local5, informational, notice, error
		head, l := message(t, first)
		if got := head[:5] + " " + l.Type(); got != want || !strings.Contains(head, "sttwall[") {
			t.Errorf("got %s, %s, want %s", head, l.Type(), want)
		}
	}
	first.Close()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	r.send(t, 100, "udp 10.0.0.1:9 > 10.0.0.2:55", there)
	said.Wait(t, "the event log cannot be written")
	second := daemon(t, path)
	if _, l := message(t, second); l.Text("dest_port") != "55" {
		t.Errorf("after the daemon is back: %v", l)
	}
	r.end()
	if c := r.Health().Targets[0]; c.Lost != 0 || c.Errors == 0 {
		t.Errorf("%+v", c)
	}
}
