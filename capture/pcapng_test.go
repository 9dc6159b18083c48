package capture

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// block builds one pcapng block in the given byte order.
func block(order binary.AppendByteOrder, kind uint32, body ...byte) []byte {
	for len(body)%4 != 0 {
		body = append(body, 0)
	}
	length := uint32(len(body) + blockOverhead)
	b := order.AppendUint32(nil, kind)
	b = order.AppendUint32(b, length)
	b = append(b, body...)
	return order.AppendUint32(b, length)
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// TestBlocksThatFewProgramsWrite covers sections of both byte orders in one
// file, blocks to be skipped, and the two kinds of packet block that are rare.
func TestBlocksThatFewProgramsWrite(t *testing.T) {
	le, be := binary.LittleEndian, binary.BigEndian
	unknownLength := bytes.Repeat([]byte{0xff}, 8)
	leSection := block(le, blockSection, join([]byte{0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 2, 0}, unknownLength)...)
	beSection := block(be, blockSection, join([]byte{0x1a, 0x2b, 0x3c, 0x4d, 0, 1, 0, 0}, unknownLength)...)
	file := join(
		leSection,
		block(le, 0x0bad, 1, 2, 3), // a custom block
		block(le, blockInterface, 101, 0, 0, 0, 2, 0, 0, 0), // snapshot length 2
		block(le, blockSimple, 9, 0, 0, 0, 0x45, 1),
		block(le, blockPacket, join([]byte{0, 0, 1, 0}, make([]byte, 4), []byte{0x40, 0x42, 0x0f, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0x60})...),
		block(le, 5, make([]byte, 16)...), // statistics
		beSection,
		block(be, blockInterface, 0, 1, 0, 0, 0, 0, 0, 0,
			0, 9, 0, 1, 0x94, 0, 0, 0, // ticks of 2^-20 s
			0, 14, 0, 8, 0, 0, 0, 0, 0, 0, 0, 10, // and 10 s later
			0, 0, 0, 0),
		block(be, blockEnhanced, join(make([]byte, 8), []byte{0, 0x18, 0, 0, 0, 0, 0, 0, 0, 0, 0, 60})...), // 1.5 s
	)
	r, err := NewReader("made", bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	got, err := readAll(r)
	if err != nil {
		t.Fatal(err)
	}
	want := []seen{
		{Time: "00:00:00.000000000", Link: "RAW", IP: true, Len: 2, WireLen: 9},
		{Time: "00:00:01.000000000", Link: "RAW", IP: true, Len: 1, WireLen: 1},
		{Time: "00:00:11.500000000", Link: "ETHERNET", WireLen: 60},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("packets (-want +got):\n%s", diff)
	}
}

func TestTimesOfEveryResolution(t *testing.T) {
	for _, test := range []struct {
		name  string
		on    ngInterface
		ticks uint64
		want  int64
		ok    bool
	}{
		{"microseconds", ngInterface{expo: 6}, 1795433121279759, 1795433121279759000, true},
		{"nanoseconds", ngInterface{expo: 9}, 1795433121279759001, 1795433121279759001, true},
		{"seconds", ngInterface{expo: 0}, 1795433121, 1795433121e9, true},
		{"picoseconds", ngInterface{expo: 12}, 1500, 1, true},
		{"ticks of 10^-19 s", ngInterface{expo: 19}, 1e10, 1, true},
		{"ticks of 2^-30 s", ngInterface{binary: true, expo: 30}, 3 << 29, 15e8, true},
		{"ticks of 2^0 s", ngInterface{binary: true}, 7, 7e9, true},
		{"ticks of 2^-63 s", ngInterface{binary: true, expo: 63}, 1 << 63, 1e9, true},
		{"an offset back in time", ngInterface{expo: 9, seconds: -1}, 1e9, 0, true},
		{"before 1970", ngInterface{expo: 9, seconds: -1}, 1e9 - 1, -1, false},
		{"too many microseconds", ngInterface{expo: 6}, 1 << 62, 0, false},
		{"too many nanoseconds", ngInterface{expo: 9}, 1 << 63, 0, false},
		{"too far with its offset", ngInterface{expo: 9, seconds: 9e9}, 1 << 62, 0, false},
		{"an offset of a billion years", ngInterface{expo: 9, seconds: 1 << 62}, 0, 0, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, ok := test.on.time(test.ticks)
			if ok != test.ok || ok && got != test.want {
				t.Errorf("got %d, %t; want %d, %t", got, ok, test.want, test.ok)
			}
		})
	}
}
