package eventlog_test

import (
	"bytes"
	"encoding/binary"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sttwall/control"
	"sttwall/internal/eve"
	"sttwall/internal/lab"
)

// journal is journald's socket, in a mount namespace of its own.
func journal(t *testing.T) *net.UnixConn {
	t.Helper()
	if err := unix.Mount("tmpfs", "/run", "tmpfs", 0, "size=1m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount("/run", unix.MNT_DETACH) })
	if err := os.MkdirAll("/run/systemd/journal", 0o755); err != nil {
		t.Fatal(err)
	}
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: "/run/systemd/journal/socket", Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return c
}

// entry reads an entry in the journal's native format.
func entry(t *testing.T, c *net.UnixConn) map[string]string {
	t.Helper()
	buf := make([]byte, 256<<10)
	n, err := c.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	fields := map[string]string{}
	for b := buf[:n]; len(b) > 0; {
		first, rest, _ := bytes.Cut(b, []byte("\n"))
		name, value, plain := strings.Cut(string(first), "=")
		if !plain { // a value with newlines: its length, and it
			size := binary.LittleEndian.Uint64(rest)
			value, rest = string(rest[8:8+size]), rest[8+size+1:]
		}
		fields[name], b = value, rest
	}
	return fields
}

func TestEventsGoToJournaldWithFieldsToSearchFor(t *testing.T) {
	if !lab.Inside(t) {
		return
	}
	c := journal(t)
	schema, err := eve.Load("../docs/eve.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	l := newLog(t, "journald:", newIdle(t))
	l.Tell(&control.Event{Type: control.EventReload, Time: time.Now(), Error: "line 1\nline 2"})
	l.Tell(&control.Event{Type: control.EventReload, Time: time.Now(), Error: strings.Repeat("x", 20_000)})
	for _, want := range []string{`reload "line 1\nline 2"`, "reload " + strings.Repeat("x", 20_000)} {
		e := entry(t, c)
		if e["MESSAGE"] != want || e["PRIORITY"] != "3" || e["SYSLOG_IDENTIFIER"] != "sttwall" || e["STTWALL_TYPE"] != "reload" {
			t.Errorf("%.300v", e)
		}
		if line, err := schema.Line([]byte(e["STTWALL_EVENT"])); err != nil || line.Type() != "reload" {
			t.Errorf("%v", err)
		}
	}
	l.end()
	if e := entry(t, c); e["MESSAGE"] != "stats" || e["PRIORITY"] != "6" {
		t.Errorf("%v", e)
	}
	if n := l.Health().Targets[0]; n.Written != 3 || n.Lost != 0 {
		t.Errorf("%+v", n)
	}
}

func TestWithoutJournaldEventsWaitAndAreLostAtTheEnd(t *testing.T) {
	if !lab.Inside(t) {
		return
	}
	journal(t).Close()
	l := newLog(t, "journald:", newIdle(t))
	l.tell(1)
	l.said.Wait(t, "the event log cannot be written")
	l.end()
	if n := l.Health().Targets[0]; n.Written != 0 || n.Lost != 2 {
		t.Errorf("%+v", n)
	}
}
