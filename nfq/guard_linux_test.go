package nfq

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"sttwall/firewall"
	"sttwall/internal/gsoguard"
	"sttwall/internal/nstest"
	"sttwall/policy"
)

// guardHere loads the guard, or skips where BPF is not permitted.
func guardHere(t *testing.T) *gsoguard.Guard {
	t.Helper()
	g, err := gsoguard.Load()
	if errors.Is(err, gsoguard.ErrNotPermitted) && nstest.InUserNamespace() {
		t.Skip(err)
	}
	must(t, err)
	t.Cleanup(func() { g.Close() })
	return g
}

func TestTheGuardDropsSuperSegmentsOfSmallPieces(t *testing.T) {
	g := guardHere(t)
	w := newWire(t)
	got := collect(t, w, 40)
	table, err := InstallTable(TableConfig{Ports: []uint16{testPort}, FirstQueue: 40, Queues: 1, Guard: g})
	must(t, err)
	g.Close() // the kernel keeps it
	id, want, dropped := uint32(0), []uint32(nil), uint64(0)
	for _, c := range []struct {
		size   int
		passes bool
	}{{0, true}, {1, false}, {17, false}, {18, false}, {100, false}, {511, false}, {512, true}, {1400, true}, {1448, true}} {
		for _, o := range []outer{{}, {src: far6, dst: near6}} {
			id++
			o.id, o.payload, o.partial = id, make([]byte, 1000), true
			if c.size > 0 {
				o.payload = make([]byte, 4000)
			}
			w.sendOffload(t, offload{checksum: true, gsoSize: c.size}, o.bytes())
			if c.passes {
				want = append(want, id)
			} else {
				dropped++
			}
		}
	}
	if diff := cmp.Diff(want, got()); diff != "" {
		t.Errorf("queued (-want +got):\n%s", diff)
	}
	counters, err := table.Counters()
	must(t, err)
	if counters.GSOTooSmall != dropped {
		t.Errorf("got %d counted, want %d", counters.GSOTooSmall, dropped)
	}
}

// GRO on the firewall's side makes one packet out of an endpoint's segments, with
// pieces as small as these were.
func TestTheGuardDropsWhatGROMakesOfSmallSegments(t *testing.T) {
	g := guardHere(t)
	w := newWire(t)
	must(t, setFeature(t, w.near, "near", ethtoolSetGRO, 1))
	// The sender's side cuts itself, so that the segments come in one burst.
	must(t, setFeature(t, w.far, "far", ethtoolSetTSO, 0))
	q, err := Open(Config{NetNS: w.near, Number: 40})
	must(t, err)
	defer q.Close()
	config := TableConfig{Ports: []uint16{testPort}, FirstQueue: 40, Queues: 1}
	// made sends a frame in pieces, and reports whether a super-segment came to the queue.
	// GRO may leave the first piece alone.
	made := func(size int) bool {
		o := outer{id: 1, payload: make([]byte, 20*size), partial: true}
		w.sendOffload(t, offload{checksum: true, gsoSize: size}, o.bytes())
		w.send(t, outer{id: 2}.bytes())
		return slices.ContainsFunc(drain(t, q, 2), func(p firewall.Packet) bool { return p.GSO })
	}
	_, err = InstallTable(config)
	must(t, err)
	if !made(100) || !made(1000) {
		t.Fatal("GRO makes no super-segments here")
	}
	config.Guard = g
	table, err := InstallTable(config)
	must(t, err)
	if made(100) {
		t.Error("a super-segment of pieces of 100 bytes came to the queue")
	}
	if counters, err := table.Counters(); err != nil || counters.GSOTooSmall == 0 {
		t.Errorf("counted: got %+v, %v", counters, err)
	}
	if !made(1000) {
		t.Error("one of pieces of 1000 bytes did not come")
	}
}

// drain takes packets and drops them, until one with a frame ID has come.
func drain(t *testing.T, q Queue, last uint32) (list []firewall.Packet) {
	t.Helper()
	for {
		p := take(t, q, 1)[0]
		p.Data = bytes.Clone(p.Data)
		must(t, q.SetVerdicts([]firewall.Verdict{{ID: p.ID}}))
		if list = append(list, p); frameID(p) == last {
			return list
		}
	}
}

func TestTheGuardMeetsTaggedPacketsToo(t *testing.T) {
	g := guardHere(t)
	w := newWire(t)
	q, err := Open(Config{NetNS: w.near, Number: 40})
	must(t, err)
	defer q.Close()
	table, err := InstallTable(TableConfig{Ports: []uint16{testPort}, FirstQueue: 40, Queues: 1, Guard: g})
	must(t, err)
	for i, size := range []int{100, 1000} {
		o := outer{id: uint32(i), payload: make([]byte, 4000), partial: true}
		frame := w.ethernet(offload{checksum: true, gsoSize: size}, o.bytes())
		const vnetLen, addresses, tag = 10, 12, 4
		frame = slices.Insert(frame, vnetLen+addresses, 0x81, 0, 0xe0, 0) // a priority, and VLAN 0: no interface of its own
		for _, at := range []int{2, 6} {                                  // hdr_len, csum_start
			binary.NativeEndian.PutUint16(frame[at:], binary.NativeEndian.Uint16(frame[at:])+tag)
		}
		must(t, writeInOrder(w.packetSocket, frame))
	}
	if p := take(t, q, 1)[0]; frameID(p) != 1 || !p.GSO {
		t.Errorf("got frame %d, GSO %v, want the one of large pieces", frameID(p), p.GSO)
	}
	if counters, err := table.Counters(); err != nil || counters.GSOTooSmall != 1 {
		t.Errorf("counted: got %+v, %v, want 1", counters, err)
	}
}

// guarded reports whether a super-segment of pieces of 100 bytes is dropped before
// the queue.
func guarded(t *testing.T, w *wire, in *Inline) bool {
	t.Helper()
	before, err := in.Table().Counters()
	must(t, err)
	o := outer{payload: make([]byte, 4000), partial: true}
	w.sendOffload(t, offload{checksum: true, gsoSize: 100}, o.bytes())
	w.delivered(t) // and with what it sends, what came before it
	after, err := in.Table().Counters()
	must(t, err)
	switch {
	case after.GSOTooSmall == before.GSOTooSmall+1 && after.Queued == before.Queued:
		return true
	case after.GSOTooSmall == before.GSOTooSmall && after.Queued == before.Queued+1:
		return false
	}
	t.Fatalf("before %+v, after %+v", before, after)
	return false
}

func guardPolicy(t *testing.T, settings string) *policy.Policy {
	t.Helper()
	p, diagnostics := policy.Load("test.hcl", []byte("settings {\n  endpoints = [\"any\"]\n"+settings+"\n}\ntenant \"a\" {\n  context_ids = [1]\n}\n"))
	if p == nil {
		t.Fatal(diagnostics)
	}
	return p
}

func TestTheGuardFollowsTheSettings(t *testing.T) {
	guardHere(t)
	w := newWire(t)
	config := InlineConfig{Policy: guardPolicy(t, ""), Queue: Config{NetNS: w.near}, Queues: 1, FrameIDBits: 10, GSOGuard: GuardRequire}
	in, err := StartInline(config)
	must(t, err)
	defer in.closeQueues()
	withoutBPF(t) // as a firewall that runs gives it up
	for _, c := range []struct {
		settings string
		want     bool
	}{
		{"", true}, {`receivers = "linux"`, false}, {`receivers = "any"`, true},
		{`stt_ports = [7471, 7472]`, true}, {`receivers = "linux"`, false}, {"", true},
	} {
		_, err := in.Reload(guardPolicy(t, c.settings))
		must(t, err)
		if got := guarded(t, w, in); got != c.want {
			t.Errorf("settings %q: guarded %v, want %v", c.settings, got, c.want)
		}
		if missing := in.GuardMissing(); missing != nil {
			t.Errorf("settings %q: %v", c.settings, missing)
		}
	}
}

func TestWithoutTheGuardItIsSaid(t *testing.T) {
	w := newWire(t)
	withoutBPF(t)
	for _, c := range []struct {
		name          string
		config        InlineConfig
		settings      string
		starts        bool
		missing, fail error
	}{
		{name: "auto", starts: true, missing: gsoguard.ErrNotPermitted},
		{name: "require", config: InlineConfig{GSOGuard: GuardRequire}, fail: gsoguard.ErrNotPermitted},
		{name: "off", config: InlineConfig{GSOGuard: GuardOff}, starts: true},
		{name: "no receiver is Windows", config: InlineConfig{GSOGuard: GuardRequire}, settings: `receivers = "linux"`, starts: true},
		{name: "no table", config: InlineConfig{Table: TableForeign}, starts: true, missing: ErrGuardForeign},
	} {
		c.config.Policy, c.config.Queues, c.config.FrameIDBits = guardPolicy(t, c.settings), 1, 10
		in, err := StartInline(c.config)
		if !errors.Is(err, c.fail) || (err == nil) != c.starts {
			t.Errorf("%s: got %v, want %v", c.name, err, c.fail)
		}
		if err != nil {
			continue
		}
		if missing := in.GuardMissing(); !errors.Is(missing, c.missing) {
			t.Errorf("%s: missing: got %v, want %v", c.name, missing, c.missing)
		}
		if c.config.Table == TableInstalled && guarded(t, w, in) {
			t.Errorf("%s: guarded without a guard", c.name)
		}
		// A reload tries again; where it must not run without, the policy stays.
		before := in.Shared().Policy()
		_, err = in.Reload(guardPolicy(t, ""))
		if want := c.config.GSOGuard == GuardRequire; (err != nil) != want || want && in.Shared().Policy() != before {
			t.Errorf("%s: reload: got %v", c.name, err)
		} else if want && !strings.Contains(err.Error(), "start it again") {
			t.Errorf("%s: reload: %v: it does not say what to do", c.name, err)
		}
		in.closeQueues()
	}
}

// withoutBPF takes the right to load BPF programs from the test's thread, which ends
// with the test.
func withoutBPF(t *testing.T) {
	t.Helper()
	if _, err := gsoguard.Load(); errors.Is(err, gsoguard.ErrNotPermitted) {
		return // as in any user namespace
	}
	if word, err := os.ReadFile("/proc/sys/kernel/unprivileged_bpf_disabled"); err != nil || word[0] == '0' {
		t.Skip("everybody may load BPF programs here")
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var have [2]unix.CapUserData
	must(t, unix.Capget(&header, &have[0]))
	for _, c := range []int{unix.CAP_BPF, unix.CAP_SYS_ADMIN} {
		have[c/32].Effective &^= 1 << (c % 32)
	}
	must(t, unix.Capset(&header, &have[0]))
}

// Commands of ethtool (linux/ethtool.h) that take one number.
const (
	ethtoolSetTSO = 0x1f // ETHTOOL_STSO
	ethtoolSetGRO = 0x2c // ETHTOOL_SGRO
)

// setFeature switches an offload of an interface on or off.
func setFeature(t *testing.T, ns NetNS, name string, command, value uint32) error {
	return inNetNS(ns, func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		request := [2]uint32{command, value} // struct ethtool_value
		var ifreq struct {
			name [unix.IFNAMSIZ]byte
			data unsafe.Pointer
			_    [16]byte
		}
		copy(ifreq.name[:], name)
		ifreq.data = unsafe.Pointer(&request)
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&ifreq))); errno != 0 {
			return fmt.Errorf("%s: ethtool command %#x: %w", name, command, errno)
		}
		return nil
	})
}
