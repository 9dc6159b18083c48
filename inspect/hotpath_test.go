package inspect_test

import (
	"fmt"
	"testing"

	"sttwall/inspect"
	"sttwall/reason"
)

func TestDecodeAndVerifyDoNotAllocate(t *testing.T) {
	type row struct {
		name   string
		frame  []byte
		tagged inspect.Tagged
	}
	var rows []row
	for _, c := range acceptances(t) {
		rows = append(rows, row{c.name, c.frame, c.tagged})
	}
	for _, c := range refusals(t) {
		rows = append(rows, row{c.name, c.frame, c.tagged})
	}
	for _, c := range lies(t) {
		rows = append(rows, row{c.name, c.frame, inspect.NoTag})
	}
	var f inspect.Frame
	for _, c := range rows {
		allocs := testing.AllocsPerRun(100, func() {
			f.Decode(c.frame, len(c.frame), 42, c.tagged)
			f.Verify(c.frame, len(c.frame), claimTCP4)
			f.Verify(c.frame, len(c.frame), claimUDP6)
		})
		if allocs != 0 {
			t.Errorf("%s: %v allocations, want 0", c.name, allocs)
		}
	}
}

// benchFrame is a frame of size bytes with a partial checksum, and its claim.
type benchFrame struct {
	packet  string
	frame   []byte
	offload inspect.Offload
}

func benchFrames(b *testing.B, size int) []benchFrame {
	return []benchFrame{
		{"tcp4", partial(build(b, ethernet(typeIPv4), ipv4(6), ack(), raw(size-54)), 34), mss(claimTCP4, 1448)},
		{"tcp6", partial(build(b, ethernet(typeIPv6), ipv6(6), ack(), raw(size-74)), 54), mss(claimTCP6, 1428)},
		{"udp4", partial(build(b, ethernet(typeIPv4), ipv4(17), udp(), raw(size-42)), 34), claimUDP4},
		{"udp6-options", partial(build(b, ethernet(typeIPv6), ipv6(0), extension(60, 8), extension(17, 8), udp(), raw(size-78)), 70),
			offset(claimUDP6, 70)},
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, size := range []int{100, 1500, 65000} {
		for _, c := range benchFrames(b, size) {
			b.Run(fmt.Sprintf("frame=%d/packet=%s", size, c.packet), func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(len(c.frame)))
				var f inspect.Frame
				for b.Loop() {
					if r := f.Decode(c.frame, len(c.frame), 42, inspect.HasTag); r != reason.None {
						b.Fatal(r)
					}
				}
			})
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	for _, size := range []int{100, 1500, 65000} {
		for _, c := range benchFrames(b, size) {
			b.Run(fmt.Sprintf("frame=%d/packet=%s", size, c.packet), func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(len(c.frame)))
				var f inspect.Frame
				if r := f.Decode(c.frame, len(c.frame), 0, inspect.NoTag); r != reason.None {
					b.Fatal(r)
				}
				for b.Loop() {
					if r := f.Verify(c.frame, len(c.frame), c.offload); r != reason.None {
						b.Fatal(r)
					}
				}
			})
		}
	}
}
