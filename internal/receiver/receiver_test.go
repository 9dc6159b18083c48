package receiver

import (
	"bytes"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// what each receiver delivers: the inner frames, "" for one that is dropped.
func inners(list []*Delivered) []string {
	var out []string
	for _, d := range list {
		out = append(out, string(d.Frame))
	}
	return out
}

// Each row is one of the lines of what receivers do (DESIGN 2).
func TestReceiversPutFramesTogetherAsTheirSourcesSay(t *testing.T) {
	inner := make([]byte, 64)
	for i := range inner {
		inner[i] = byte(i)
	}
	other := bytes.Repeat([]byte{0xee}, len(inner))
	frame, second := frameOf(header{context: 7}, inner), frameOf(header{context: 7}, other)
	change := func(s segment, edit func(*segment)) segment { edit(&s); return s }
	p := pieces(1, frame, 40, 60)
	q := pieces(1, second, 40, 60)
	whole := pieces(1, frame)[0]
	mixed := func(a, b []byte, at int) string { return string(a[:at]) + string(b[at:]) }
	for _, c := range []struct {
		name           string
		packets        []segment
		linux, windows []string
	}{
		{"a frame in one packet", []segment{whole}, []string{string(inner)}, []string{string(inner)}},
		{"segments in order", p, []string{string(inner)}, []string{string(inner)}},
		{"segments in reverse", []segment{p[2], p[1], p[0]}, []string{string(inner)}, []string{string(inner)}},
		{"one is missing", p[:2], nil, nil},
		{"another port", []segment{change(whole, func(s *segment) { s.port = 80 })}, nil, nil},
		{"another protocol", []segment{change(whole, func(s *segment) { s.protocol = 17 })}, nil, nil},
		{"any TCP flags", []segment{change(whole, func(s *segment) { s.flags = 0xff })}, []string{string(inner)}, []string{string(inner)}},
		{"a bad checksum", []segment{change(whole, func(s *segment) { s.badSum = true })}, nil, nil},
		{"no payload", []segment{{total: 0}}, nil, nil},
		{"past the end", []segment{{total: 30, offset: 10, payload: frame[:40]}}, nil, nil},
		{"the source port changes", []segment{p[0], change(p[1], func(s *segment) { s.srcPort = 9 }), p[2]}, []string{string(inner)}, []string{string(inner)}},
		{"another frame ID", []segment{p[0], change(p[1], func(s *segment) { s.id = 9 }), p[2]}, nil, nil},
		// Twenty bytes are the header for Linux; for Windows what the data offset says.
		{"options behind the header", []segment{change(whole, func(s *segment) { s.dataOffset, s.options = 6, []byte{1, 1, 1, 1} })},
			nil, []string{string(inner)}},
		// An exact duplicate of a segment: dropped by Linux, counted twice by Windows.
		{"a segment twice", []segment{p[0], p[1], p[1], p[2]}, []string{string(inner)}, nil},
		{"other bytes for the beginning", []segment{p[0], q[0], p[1]}, nil, []string{mixed(other, inner, 22)[:42] + string(make([]byte, 22))}},
		{"a whole frame between the segments of another", []segment{p[0], pieces(1, second)[0], p[1], p[2]},
			[]string{string(other), string(inner)}, []string{string(other), string(inner)}},
		{"the rest of another frame with the same ID", []segment{p[0], q[1], q[2]},
			[]string{mixed(inner, other, 22)}, []string{mixed(inner, other, 22)}},
		// The first total counts for Linux, the last one for Windows.
		{"a later segment names a smaller total", []segment{p[0], {total: 60, offset: 40, id: 1, payload: frame[40:60]}},
			nil, []string{string(inner[:42])}},
		{"a later segment names a larger total, with a gap", []segment{
			{total: 60, offset: 0, id: 1, payload: frame[:40]}, {total: 90, offset: 60, id: 1, payload: frame[60:80]}},
			[]string{string(inner[:22]) + string(inner[42:62])}, nil},
		{"offset 0 is missing", []segment{
			{total: 60, offset: 22, id: 1, payload: slices.Concat(frame[:20], inner[:10])},
			{total: 82, offset: 52, id: 1, payload: inner[10:40]}},
			[]string{string(slices.Concat(frame[18:20], inner[:40]))}, nil},
		{"version 1", []segment{pieces(1, frameOf(header{version: 1, context: 7}, inner))[0]}, nil, []string{string(inner)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, w, faults := both(c.packets...)
			if diff := cmp.Diff(c.linux, inners(l)); diff != "" {
				t.Errorf("linux (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.windows, inners(w)); diff != "" {
				t.Errorf("windows (-want +got):\n%s", diff)
			}
			if faults != (Faults{}) {
				t.Errorf("got faults %+v", faults)
			}
		})
	}
}

func TestWindowsWritesOutsideOfItsBufferForOffsets1To17(t *testing.T) {
	frame := frameOf(header{}, make([]byte, 60))
	for offset := 1; offset < 20; offset++ {
		_, _, faults := both(segment{total: len(frame), offset: offset, payload: frame[offset : offset+20]})
		if got, want := faults.WritesOutside, 0; offset < 18 && got == want || offset >= 18 && got != want {
			t.Errorf("offset %d: got %d writes outside", offset, got)
		}
	}
}

func TestWindowsDeliversMemoryThatNobodySent(t *testing.T) {
	frame := frameOf(header{context: 7}, make([]byte, 60))
	_, w, _ := both(
		segment{total: len(frame), offset: 30, payload: frame[30:50]},
		segment{total: len(frame), offset: 30, payload: frame[30:50]},
		segment{total: len(frame), offset: 30, payload: frame[30:50]})
	if len(w) != 1 || !cmp.Equal(w[0].Undefined, []Range{{0, 12}, {32, 60}}) || w[0].Context != 0 {
		t.Fatalf("got %+v", w)
	}
}

func TestLinuxNoticesNoGaps(t *testing.T) {
	frame := frameOf(header{context: 7}, make([]byte, 60))
	l, _, _ := both(
		segment{total: 60, offset: 0, payload: frame[:40]},
		segment{total: 90, offset: 50, payload: frame[50:70]})
	if len(l) != 1 || !l[0].Gaps {
		t.Fatalf("got %+v", l)
	}
}

func TestFramesWaitForAsLongAsInTheOriginals(t *testing.T) {
	const s = int64(1e9)
	frame := frameOf(header{context: 7}, make([]byte, 60))
	p := pieces(1, frame, 40)
	for _, c := range []struct {
		name           string
		first, second  int64
		linux, windows bool
	}{
		{"29 s", 1 * s, 30 * s, true, true},
		{"31 s", 1 * s, 32 * s, false, true}, // the cleaner of Windows comes at 60 s
		{"58 s", 1 * s, 59 * s, false, true},
		{"60 s", 1 * s, 61 * s, false, false},
	} {
		l, w := NewLinux(LinuxConfig{}), NewWindows(WindowsConfig{})
		l.Receive(c.first, 0, p[0].bytes())
		w.Receive(c.first, 0, p[0].bytes())
		if got := l.Receive(c.second, 0, p[1].bytes()) != nil; got != c.linux {
			t.Errorf("%s: linux delivered: %v", c.name, got)
		}
		if got := w.Receive(c.second, 0, p[1].bytes()) != nil; got != c.windows {
			t.Errorf("%s: windows delivered: %v", c.name, got)
		}
	}
}

func TestLinuxHasATableForEachCPU(t *testing.T) {
	p := pieces(1, frameOf(header{}, make([]byte, 60)), 40)
	l := NewLinux(LinuxConfig{CPUs: 2})
	l.Receive(0, 0, p[0].bytes())
	if l.Receive(1, 1, p[1].bytes()) != nil {
		t.Error("pieces on two CPUs were put together")
	}
	if l.Receive(2, 0, p[1].bytes()) == nil {
		t.Error("pieces on one CPU were not")
	}
}

func TestLinuxHas256SlotsAndFourMiB(t *testing.T) {
	l := NewLinux(LinuxConfig{})
	frame := frameOf(header{}, make([]byte, 60000))
	for id := range uint32(1000) {
		l.Receive(int64(id), 0, segment{total: len(frame), id: id, payload: frame[:30000]}.bytes())
		if l.cpus[0].memory > linuxHigh {
			t.Fatalf("%d bytes are held", l.cpus[0].memory)
		}
	}
	memory, frames := 0, 0
	for _, f := range l.cpus[0].slots {
		if f != nil {
			frames++
			memory += f.memory
		}
	}
	if memory != l.cpus[0].memory || frames == 0 {
		t.Errorf("%d frames of %d bytes, but %d are counted", frames, memory, l.cpus[0].memory)
	}
	if got := l.PushedOut(); got != 1000-frames {
		t.Errorf("%d frames were pushed out, %d of 1,000 are there", got, frames)
	}
	small := NewLinux(LinuxConfig{})
	for id := range uint32(2000) {
		small.Receive(int64(id), 0, segment{total: 100, id: id, payload: frame[:40]}.bytes())
	}
	kept := 0
	for i := range uint32(2000) {
		id := 1999 - i // what comes new takes a slot too
		if small.Receive(int64(2000+i), 0, segment{total: 100, offset: 40, id: id, payload: frame[:60]}.bytes()) != nil {
			kept++
		}
	}
	if kept == 0 || kept > linuxSlots {
		t.Errorf("%d of 2,000 frames were kept", kept)
	}
}

func TestOuterFragmentsArePutTogetherFirst(t *testing.T) {
	whole := segment{total: 78, payload: frameOf(header{context: 7}, make([]byte, 60))}
	tcp := whole.bytes()[20:]
	l, w := NewLinux(LinuxConfig{}), NewWindows(WindowsConfig{})
	for i, b := range [][]byte{
		segment{place: 5, ipID: 9}.around(tcp[40:]),
		segment{place: 0x2000, ipID: 9}.around(tcp[:40]),
	} {
		got, other := l.Receive(0, 0, b), w.Receive(0, 0, b)
		if (got != nil) != (i == 1) || (other != nil) != (i == 1) {
			t.Errorf("fragment %d: linux %v, windows %v", i, got, other)
		}
	}
}

// Frame headers, as both read them.
func TestReceiversBelieveTheFrameHeader(t *testing.T) {
	inner := innerTCP(100)
	for _, c := range []struct {
		name           string
		header         header
		linux, windows string
	}{
		{"no flags", header{}, "as it came", "as it came"},
		{"verified", header{flags: 1}, "as it came, trusted", "as it came, trusted"},
		{"verified and partial", header{flags: 0x0f, l4Offset: 34}, "written at 50, trusted", "as it came, trusted"},
		{"partial", header{flags: 0x0e, l4Offset: 34}, "written at 50, trusted", "written at 50, trusted"},
		{"partial UDP", header{flags: 0x06, l4Offset: 34}, "written at 40, trusted", "written at 40, trusted"},
		{"the L4 offset is a lie", header{flags: 0x0e, l4Offset: 60}, "written at 76, trusted", "written at 76, trusted"},
		{"the L4 offset is small", header{flags: 0x0e, l4Offset: 20}, "dropped", "written at 36, trusted"},
		{"IPv6 needs 20 bytes more", header{flags: 0x0a, l4Offset: 34}, "dropped", "written at 50, trusted"},
		{"the L4 offset is behind the end", header{flags: 0x0e, l4Offset: 250}, "dropped", "dropped"},
		{"the L4 offset without partial", header{flags: 0x0c, l4Offset: 34}, "as it came", "as it came"},
	} {
		l, w, _ := both(pieces(1, frameOf(c.header, inner))...)
		if got := says(inner, l); got != c.linux {
			t.Errorf("%s: linux: got %q, want %q", c.name, got, c.linux)
		}
		if got := says(inner, w); got != c.windows {
			t.Errorf("%s: windows: got %q, want %q", c.name, got, c.windows)
		}
	}
}

// says puts into words what became of a frame.
func says(inner []byte, list []*Delivered) string {
	if len(list) == 0 {
		return "dropped"
	}
	d := list[0]
	s := "as it came"
	for i := range inner {
		if d.Packets[0][i] != inner[i] {
			s = "written at " + string(rune('0'+i/10)) + string(rune('0'+i%10))
			break
		}
	}
	if d.Trusted {
		s += ", trusted"
	}
	return s
}

func TestATagIsAnotherThingForEachReceiver(t *testing.T) {
	for _, c := range []struct {
		tci            uint16
		linux, windows bool
	}{{0, false, false}, {0x002a, true, false}, {0x102a, true, true}, {0x1000, true, false}, {0x2000, true, false}, {0x3000, true, true}} {
		l, w, _ := both(pieces(1, frameOf(header{tci: c.tci}, innerTCP(9)))...)
		if l[0].Tagged != c.linux || w[0].Tagged != c.windows {
			t.Errorf("TCI %#04x: linux %v, windows %v", c.tci, l[0].Tagged, w[0].Tagged)
		}
	}
}

func TestALargeFrameIsCutByItsMSS(t *testing.T) {
	inner := innerTCP(2500)
	l, w, _ := both(pieces(1, frameOf(header{flags: 0x0e, l4Offset: 34, mss: 1000}, inner), 1400)...)
	for _, list := range [][]*Delivered{l, w} {
		if len(list) != 1 || len(list[0].Packets) != 3 {
			t.Fatalf("got %+v", list)
		}
		var payload []byte
		for i, p := range list[0].Packets {
			ip, tcp := p[14:34], p[34:]
			if sum(ip) != 0xffff || int(be16(ip[2:])) != len(p)-14 {
				t.Errorf("piece %d: IP header %x", i, ip)
			}
			if sum(ip[12:20], []byte{0, 6}, length32(len(tcp)), tcp) != 0xffff {
				t.Errorf("piece %d: wrong checksum", i)
			}
			if got, want := be32(tcp[4:]), uint32(1000+1000*i); got != want {
				t.Errorf("piece %d: sequence number %d, want %d", i, got, want)
			}
			if got, want := tcp[13], []byte{0x90, 0x10, 0x19}[i]; got != want {
				t.Errorf("piece %d: flags %#x, want %#x", i, got, want)
			}
			payload = append(payload, tcp[20:]...)
		}
		if !bytes.Equal(payload, inner[54:]) {
			t.Error("the payload is another one")
		}
	}
	l, _, _ = both(pieces(1, frameOf(header{flags: 0x0e, l4Offset: 34, mss: 1}, inner))...)
	if len(l[0].Packets) != 2500 {
		t.Errorf("an MSS of 1: %d packets", len(l[0].Packets))
	}
}

func TestCongestionAndDSCPOutside(t *testing.T) {
	frame := frameOf(header{}, innerTCP(100))
	with := func(tos ...uint8) []segment {
		list := pieces(1, frame, 60, 100)
		for i := range list {
			list[i].tos = tos[i]
		}
		return list
	}
	for _, c := range []struct {
		name           string
		packets        []segment
		linux, windows bool
		tos            byte // of the inner packet behind Windows
	}{
		{"none", with(0, 0, 0), false, false, 0},
		{"on the last", with(2, 2, 3), true, true, 3},
		{"on the first", with(3, 2, 2), true, true, 3},
		{"on one in the middle that came first", []segment{with(0, 3, 0)[1], with(2, 2, 2)[0], with(2, 2, 2)[2]}, false, true, 3},
		{"DSCP", with(0xb8, 0xb8, 0xb8), false, false, 0xb8},
	} {
		l, w, _ := both(c.packets...)
		if l[0].CE != c.linux || w[0].CE != c.windows {
			t.Errorf("%s: linux %v, windows %v", c.name, l[0].CE, w[0].CE)
		}
		if got := l[0].Packets[0][15]; got != 0 {
			t.Errorf("%s: linux wrote TOS %#x", c.name, got)
		}
		p := w[0].Packets[0]
		if p[15] != c.tos || sum(p[14:34]) != 0xffff {
			t.Errorf("%s: windows wrote TOS %#x, IP header %x", c.name, p[15], p[14:34])
		}
	}
}

// FuzzReceivers hands packets of any bytes and of nearly right ones to both: they do
// not panic, and what they say of a frame is true.
func FuzzReceivers(f *testing.F) {
	inner := innerTCP(300)
	for _, s := range pieces(1, frameOf(header{flags: 0x0e, l4Offset: 34, mss: 100}, inner), 100, 200) {
		f.Add(s.bytes(), true)
	}
	f.Add([]byte{0x45}, false)
	f.Add(segment{total: 10, offset: 3, payload: []byte("abc")}.bytes(), true)
	f.Fuzz(func(t *testing.T, input []byte, mend bool) {
		l, w := NewLinux(LinuxConfig{IPv6: true}), NewWindows(WindowsConfig{IPv6: true})
		for at := 0; at < len(input); {
			n := min(len(input)-at, 20+int(input[at])*3)
			b := bytes.Clone(input[at : at+n])
			at += n
			if mend && n > 40 {
				b = segment{}.around(b[20:])
				put16(b[22:], Port)
				put16(b[36:], 0)
				put16(b[36:], ^sum(ends, []byte{0, 6}, length32(len(b)-20), b[20:]))
			}
			for _, r := range []Receiver{l, w} {
				d := r.Receive(int64(at), 0, b)
				if d == nil {
					continue
				}
				if len(d.Packets) == 0 {
					t.Fatal("delivered without packets")
				}
				for _, u := range d.Written {
					if u.From < 0 || u.To > len(d.Frame) || u.From >= u.To {
						t.Fatalf("written %v of %d bytes", u, len(d.Frame))
					}
				}
				if len(d.Packets) == 1 && len(d.Written) == 0 && !bytes.Equal(d.Packets[0], d.Frame) {
					t.Fatal("written without saying where")
				}
			}
		}
	})
}
