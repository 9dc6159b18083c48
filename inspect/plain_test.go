package inspect_test

import (
	"bytes"
	"net/netip"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"sttwall/inspect"
	"sttwall/reason"
)

// used is a frame in which no field is zero, so that one that is not written shows.
func used(t testing.TB) inspect.Frame {
	t.Helper()
	var f inspect.Frame
	var fill func(v reflect.Value)
	fill = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Bool:
			v.SetBool(true)
		case reflect.Uint8, reflect.Uint16, reflect.Uint32:
			v.SetUint(0x5a)
		case reflect.Int:
			v.SetInt(-77)
		case reflect.Array:
			for i := range v.Len() {
				fill(v.Index(i))
			}
		case reflect.Struct:
			if v.Type() == reflect.TypeFor[netip.Addr]() {
				v.Set(reflect.ValueOf(netip.MustParseAddr("fe80::77%used")))
				return
			}
			for i := range v.NumField() {
				if v.Type().Field(i).Name != "_" {
					fill(v.Field(i))
				}
			}
		default:
			t.Fatalf("a field of kind %v", v.Kind())
		}
	}
	fill(reflect.ValueOf(&f).Elem())
	return f
}

// agree fails if Decode and the general code differ in anything.
func agree(t *testing.T, before *inspect.Frame, data []byte, length int, tci uint16, tagged inspect.Tagged) {
	t.Helper()
	got, want := *before, *before
	r := got.Decode(data, length, tci, tagged)
	if general := want.DecodeGenerally(data, length, tci, tagged); r != general || got != want {
		t.Fatalf("%x\nof %d bytes, tag %d %t: got %v, the general code says %v\n%s",
			data, length, tci, tagged, r, general, cmp.Diff(want, got, sameAddr))
	}
}

// plainFrames are all kinds of frames that Decode need not be careful with.
func plainFrames(t testing.TB) map[string][]byte {
	t.Helper()
	frames := make(map[string][]byte)
	for name, l4 := range map[string]struct {
		protocol layers.IPProtocol
		bytes    gopacket.Payload
	}{
		"tcp":         {6, gopacket.Payload{0x9c, 0x40, 0, 80, 1, 2, 3, 4, 5, 6, 7, 8, 0x50, 0x10, 1, 0, 0xab, 0xcd, 0, 0}},
		"tcp options": {6, gopacket.Payload{0x9c, 0x40, 0, 80, 1, 2, 3, 4, 0, 0, 0, 0, 0x61, 0x02, 1, 0, 0xab, 0xcd, 0, 0, 2, 4, 5, 0xb4}},
		"udp":         {17, gopacket.Payload{0x9c, 0x40, 0, 53, 0, 8, 0xab, 0xcd}},
		"echo":        {1, gopacket.Payload{8, 0, 0xab, 0xcd, 0x12, 0x34, 0, 1}},
		"unreachable": {1, gopacket.Payload{3, 1, 0xab, 0xcd, 0x12, 0x34, 0, 1}},
	} {
		four, six := ipv4(l4.protocol), ipv6(l4.protocol)
		four.TOS, six.TrafficClass, six.FlowLabel = 0xb9, 0xb9, 0xfedcb
		frames[name+" ipv4"] = build(t, ethernet(typeIPv4), four, l4.bytes)
		frames[name+" ipv6"] = build(t, ethernet(typeIPv6), six, l4.bytes)
		for tag, etherType := range map[string]layers.EthernetType{"802.1Q": typeVLAN, "802.1ad": typeQinQ, "VMAN": typeVMAN} {
			frames[name+" ipv4 "+tag] = build(t, ethernet(etherType), vlan(100, typeIPv4), four, l4.bytes)
			frames[name+" ipv6 "+tag] = build(t, ethernet(etherType), vlan(100, typeIPv6), six, l4.bytes)
		}
	}
	return frames
}

// What can stand in a plain frame, and be doubted: each byte of the headers with each
// value, each length of the frame and of the copy.
func TestPlainFramesAreReadAsTheGeneralCodeReadsThem(t *testing.T) {
	before := used(t)
	for name, frame := range plainFrames(t) {
		t.Run(name, func(t *testing.T) {
			var f inspect.Frame
			if r := f.Decode(frame, len(frame), 0, inspect.NoTag); r != reason.None {
				t.Fatalf("got %v, want a frame that passes", r)
			}
			padded := append(bytes.Clone(frame), 1, 2, 3)
			for _, tagged := range []inspect.Tagged{inspect.NoTag, inspect.HasTag} {
				for length := -1; length <= len(padded)+2; length++ {
					for copied := range len(padded) + 1 {
						agree(t, &before, padded[:copied], length, 0x7abc, tagged)
					}
				}
				for i := range padded {
					was := padded[i]
					for value := range 256 {
						padded[i] = byte(value)
						agree(t, &before, padded, len(padded), 0, tagged)
						agree(t, &before, padded[:len(frame)], len(frame), 0x7abc, tagged)
					}
					padded[i] = was
				}
			}
		})
	}
}

// The bits of flags and offset meet in one word.
func TestEachOffsetAndFlagsOfTCPAreReadAsTheGeneralCodeReadsThem(t *testing.T) {
	before := used(t)
	frame := append(plainFrames(t)["tcp ipv4"], make([]byte, 44)...)
	const at = 14 + 20 + 12
	for _, total := range []byte{40, 60, 84} {
		frame[17] = total
		for word := range 1 << 16 {
			frame[at], frame[at+1] = byte(word>>8), byte(word)
			agree(t, &before, frame, len(frame), 0, inspect.NoTag)
		}
	}
}

func TestFramesThatPassAndThatDoNotAreReadTheSameByBothWays(t *testing.T) {
	before := used(t)
	both := func(frame []byte, tagged inspect.Tagged) {
		for copied := range len(frame) + 1 {
			agree(t, &before, frame[:copied], len(frame), 42, tagged)
			agree(t, &before, frame[:copied], copied, 42, tagged)
		}
	}
	for _, c := range acceptances(t) {
		both(c.frame, c.tagged)
	}
	for _, c := range refusals(t) {
		both(c.frame, c.tagged)
	}
	for _, c := range loadCaptured(t) {
		both(c.bytes, c.tagged())
	}
}

// FuzzPlain: Decode and the general code are one in each reason, and in each field
// whatever was in the frame before.
func FuzzPlain(f *testing.F) {
	add := func(frame []byte, beyond int, tci uint16, tagged inspect.Tagged) {
		f.Add(frame, int16(beyond), uint16(len(frame)), tci, bool(tagged))
		f.Add(frame, int16(beyond), uint16(len(frame)/2), tci, !bool(tagged))
	}
	for _, frame := range plainFrames(f) {
		add(frame, 0, 42, inspect.NoTag)
		add(frame, -1, 0, inspect.HasTag)
	}
	for _, c := range loadCaptured(f) {
		add(c.bytes, c.Length-len(c.bytes), c.TCI, c.tagged())
	}
	for _, c := range acceptances(f) {
		add(c.frame, 0, 42, c.tagged)
	}
	for _, c := range refusals(f) {
		add(c.frame, 0, 42, c.tagged)
	}
	before := used(f)
	f.Fuzz(func(t *testing.T, data []byte, beyond int16, cut, tci uint16, hasTag bool) {
		length, tagged := len(data)+int(beyond), inspect.Tagged(hasTag)
		agree(t, &before, data, length, tci, tagged)
		agree(t, &inspect.Frame{}, data[:min(int(cut), len(data))], length, tci, tagged)
	})
}
