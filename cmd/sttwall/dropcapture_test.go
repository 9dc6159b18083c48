package main

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sttwall/capture"
	"sttwall/control"
	"sttwall/describe"
	"sttwall/internal/lab"
	"sttwall/stt"
)

// wire sends STT packets from this host to itself, inside of the lab.
type wire struct {
	fd     int
	frames uint32
}

func newWire(t *testing.T) *wire {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		t.Fatal(err)
	}
	lo.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil { // of the lab's own namespace
		t.Fatal(err)
	}
	return &wire{fd: fd}
}

var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// send sends a described packet with a context ID, in as many segments.
func (w *wire) send(t *testing.T, context uint64, text string, segments int) {
	t.Helper()
	p, err := describe.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	w.frames++
	frame := append(stt.AppendFrameHeader(nil, &stt.FrameHeader{ContextID: context, Flags: stt.FlagChecksumVerified}), p.Data...)
	path := stt.Path{Src: loopback, Dst: loopback, SrcPort: 40000, DstPort: stt.Port, TTL: 64, DontFragment: true}
	size := (len(frame) + segments - 1) / segments
	for at := 0; at < len(frame); at += size {
		packet := stt.AppendSegment(nil, &path, &stt.Piece{FrameID: w.frames, FrameLength: len(frame), Offset: at, Payload: frame[at:min(len(frame), at+size)]})
		if err := unix.Sendto(w.fd, packet, 0, &unix.SockaddrInet4{Addr: loopback.As4()}); err != nil {
			t.Fatal(err)
		}
	}
}

// waitDropped waits until a running firewall has dropped so many frames.
func waitDropped(t *testing.T, socket string, frames uint64) {
	t.Helper()
	c, err := control.Dial(socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for deadline := time.Now().Add(sayPatience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		s, err := c.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if s.Totals.FramesDropped >= frames {
			return
		}
	}
	t.Fatalf("%d frames were not dropped", frames)
}

func TestDroppedFramesAreCaptured(t *testing.T) {
	if !lab.Inside(t) {
		return
	}
	w, rules := newWire(t), rulesFile(t, smallRules)
	file := filepath.Join(t.TempDir(), "drops.pcapng")
	for round := range 2 {
		fw := startRules(t, rules, "--queues", "2", "--drop-capture", file, "--drop-capture-files", "2")
		w.send(t, 100, "tcp 10.0.0.1:40000 > 10.0.0.2:443 syn", 1) // passes
		w.send(t, 100, fmt.Sprintf("tcp 10.0.0.1:%d > 10.0.0.2:23 syn", 1000+round), 1)
		waitDropped(t, fw.socket, 1)
		if status, said := fw.stop(t, syscall.SIGTERM); status != statusFine {
			t.Fatalf("status %d\n%s", status, said)
		}
	}
	for i, name := range []string{file + ".1", file} {
		rows := tshark(t, name, nil, "frame.comment", "ip.src", "tcp.srcport", "tcp.dstport")
		if len(rows) != 1 {
			t.Fatalf("%s has %d frames", name, len(rows))
		}
		if got := rows[0]; !strings.HasPrefix(got[0], "verdict=drop reason=rule_drop tenant=acme rule=acme/no-telnet context=0x64 state=new from=127.0.0.1 to=127.0.0.1 segments=1 frame_id=") ||
			got[1] != "10.0.0.1" || got[2] != fmt.Sprint(1000+i) || got[3] != "23" {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// A full disk stops no packet, and what is written stays a capture.
func TestAFullDiskOfTheDropCapture(t *testing.T) {
	if !lab.Inside(t) {
		return
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("no file system of its own: %v", err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	w, file := newWire(t), filepath.Join(dir, "drops.pcapng")
	fw := startRules(t, rulesFile(t, smallRules), "--queues", "1", "--drop-capture", file)
	const frames = 1000
	for n := range frames {
		w.send(t, 100, "tcp 10.0.0.1:40000 > 10.0.0.2:23 syn", 1)
		if n%50 == 49 {
			waitDropped(t, fw.socket, uint64(n+1))
		}
	}
	status, said := fw.stop(t, syscall.SIGTERM)
	if status != statusFine || !strings.Contains(said, "the drop capture cannot be written") || !strings.Contains(said, "no space left on device") ||
		!strings.Contains(said, "dropped frames not captured: the file cannot be written") {
		t.Errorf("status %d\n%s", status, said)
	}
	from, err := capture.Open(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	n := 0
	for p := (capture.Packet{}); ; n++ {
		if err := from.Next(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if n < 100 || n >= frames {
		t.Errorf("%d frames are captured", n)
	}
	if _, err := os.Stat(file + ".1"); err == nil {
		t.Error("it began another file")
	}
}

func TestDropCaptureFlags(t *testing.T) {
	for _, args := range [][]string{
		{"--drop-capture", "-"}, {"--drop-capture-files", "0"}, {"--drop-capture-files", "1001"}, {"--drop-capture-size", "0"}, {"--drop-capture-size", "-1"},
	} {
		if status, _, stderr := sttwall(append([]string{"run", "--rules", "x"}, args...)...); status != statusUsage || !strings.Contains(stderr, args[0]) {
			t.Errorf("%v: status %d, %s", args, status, stderr)
		}
	}
}
