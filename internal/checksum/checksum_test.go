package checksum

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
)

// plain is the loop of RFC 1071 section 4.1, in network byte order.
func plain(b []byte) uint16 {
	var acc uint32
	for ; len(b) > 1; b = b[2:] {
		acc += uint32(b[0])<<8 | uint32(b[1])
		acc = acc>>16 + acc&0xffff
	}
	if len(b) == 1 {
		acc += uint32(b[0]) << 8
		acc = acc>>16 + acc&0xffff
	}
	return uint16(acc)
}

// ways are the sums that there are on this processor.
var ways = map[string]func([]byte) uint16{
	"Sum": Sum,
	"Go":  func(b []byte) uint16 { return Part(Fold(sumGo(0, b)), 1) },
}

func TestEverySumIsThatOfThePlainLoop(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	fills := map[string]func([]byte){
		"zeros": func(b []byte) { clear(b) },
		"ones": func(b []byte) { // each addition carries
			for i := range b {
				b[i] = 0xff
			}
		},
		"random": func(b []byte) {
			for i := range b {
				b[i] = byte(rng.Uint32())
			}
		},
		"carries in the high words alone": func(b []byte) {
			for i := range b {
				b[i] = byte(-(i / 4 % 2))
			}
		},
	}
	lengths := []int{1459, 1460, 1500, 4095, 65515, 65535, 1 << 20}
	for n := range 300 {
		lengths = append(lengths, n)
	}
	memory := make([]byte, 1<<20+64)
	for what, fill := range fills {
		fill(memory)
		for _, n := range lengths {
			places := 64
			if n > 300 {
				places = 3
			}
			for at := range places {
				b := memory[at : at+n : at+n] // what is around is no part of it
				want := plain(b)
				if n == 20 {
					if got := Sum20((*[20]byte)(b)); got != want {
						t.Fatalf("Sum20 (%s) from %d on: got %#x, want %#x", what, at, got, want)
					}
				}
				for name, sum := range ways {
					if got := sum(b); got != want {
						t.Fatalf("%s of %d bytes (%s) from %d on: got %#x, want %#x", name, n, what, at, got, want)
					}
				}
			}
		}
	}
}

func TestTheSumOfAWholeIsThatOfItsParts(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	b := make([]byte, 301)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	whole := Sum(b)
	for i := range b {
		head, tail := Sum(b[:i]), Part(Sum(b[i:]), i)
		if got := Fold(uint64(head) + uint64(tail)); got != whole {
			t.Errorf("cut at %d: got %#x, want %#x", i, got, whole)
		}
		if got := Without(whole, head); got != tail {
			t.Errorf("without the first %d: got %#x, want %#x", i, got, tail)
		}
	}
}

func TestFoldTakesAnySum(t *testing.T) {
	for _, tt := range []struct {
		acc  uint64
		want uint16
	}{
		{0, 0}, {0xffff, 0xffff}, {0x10000, 1}, {0x1fffe, 0xffff},
		{1<<64 - 1, 0xffff}, {1 << 63, 0x8000}, {0xffff_0001_0000_0000, 1}, {0xfffe_ffff_ffff_ffff, 0xfffe},
	} {
		if got := Fold(tt.acc); got != tt.want {
			t.Errorf("%#x: got %#x, want %#x", tt.acc, got, tt.want)
		}
	}
}

// TestPseudo compares with the pseudo-header written out.
func TestPseudo(t *testing.T) {
	for _, tt := range []struct{ src, dst string }{
		{"192.0.2.1", "198.51.100.255"}, {"255.255.255.255", "255.255.255.255"},
		{"2001:db8::1", "fe80::ffff:ffff"}, {"::ffff:192.0.2.1", "::ffff:192.0.2.2"},
	} {
		src, dst := netip.MustParseAddr(tt.src), netip.MustParseAddr(tt.dst)
		b := append(src.AsSlice(), dst.AsSlice()...)
		b = binary.BigEndian.AppendUint32(b, 65515)
		b = append(b, 0, 0, 0, 6)
		if got, want := Fold(Pseudo(src, dst, 6, 65515)), plain(b); got != want {
			t.Errorf("%v to %v: got %#x, want %#x", src, dst, got, want)
		}
	}
}

func FuzzSum(f *testing.F) {
	f.Add([]byte{}, uint16(0))
	f.Add([]byte{0x45, 0, 0, 0x73, 0, 0, 0x40, 0, 0x40, 0x11, 0xb8, 0x61, 0xc0, 0xa8, 0, 1, 0xc0, 0xa8, 0, 0xc7}, uint16(7))
	f.Add(bytes.Repeat([]byte{0xff}, 1501), uint16(750))
	f.Fuzz(func(t *testing.T, b []byte, at uint16) {
		want := plain(b)
		for name, sum := range ways {
			if got := sum(b); got != want {
				t.Fatalf("%s: got %#x, want %#x", name, got, want)
			}
		}
		i := int(at) % (len(b) + 1)
		if got := Fold(uint64(Sum(b[:i])) + uint64(Part(Sum(b[i:]), i))); got != want {
			t.Fatalf("cut at %d: got %#x, want %#x", i, got, want)
		}
	})
}

func TestASumAllocatesNothing(t *testing.T) {
	b := make([]byte, 1501)
	var total uint64
	if got := testing.AllocsPerRun(100, func() { total += uint64(Sum(b)) }); got != 0 {
		t.Errorf("got %v allocations, want 0", got)
	}
}

// BenchmarkSum: MB/s is bytes read.
func BenchmarkSum(b *testing.B) {
	for _, way := range []string{"Sum", "Go"} {
		sum := ways[way]
		for _, n := range []int{20, 52, 150, 1460, 9000, 65000} {
			b.Run(fmt.Sprintf("%s/bytes=%d", way, n), func(b *testing.B) {
				data := make([]byte, n)
				b.ReportAllocs()
				b.SetBytes(int64(n))
				for b.Loop() {
					sum(data)
				}
			})
		}
	}
}
