package nfq

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/mdlayher/netlink"

	"sttwall/firewall"
)

func TestChecksumStateOfTheKernelsInfo(t *testing.T) {
	for _, c := range []struct {
		name string
		info uint32
		want firewall.ChecksumState
	}{
		{"no bit: the kernel or the card found it right", 0, firewall.ChecksumGood},
		{"not ready: an offload finishes it", 1, firewall.ChecksumPartial},
		{"a super-segment whose checksum is right", 2, firewall.ChecksumGood},
		{"a super-segment as usual", 3, firewall.ChecksumPartial},
		{"not verified: we verify", 4, firewall.ChecksumUnverified},
		{"not ready and not verified", 5, firewall.ChecksumPartial},
		{"bits that nobody knows", 0xfffffff8, firewall.ChecksumGood},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := checksumState(c.info); got != c.want {
				t.Errorf("info %#x: got %d, want %d", c.info, got, c.want)
			}
		})
	}
}

func TestSendablePayload(t *testing.T) {
	v4, v6 := make([]byte, 40), make([]byte, 60)
	v4[0], v6[0] = 0x45, 0x60
	long := make([]byte, MaxPayload+1)
	long[0] = 0x45
	for _, c := range []struct {
		name    string
		payload []byte
		want    bool
	}{
		{"IPv4 with a TCP header", v4, true},
		{"IPv4 one byte shorter", v4[:39], false},
		{"IPv6 with a TCP header", v6, true},
		{"IPv6 one byte shorter", v6[:59], false},
		{"the longest", long[:MaxPayload], true},
		{"one byte too long", long, false},
		{"empty", []byte{}, false},
		{"no IP", make([]byte, 100), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := sendable(c.payload); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

// FuzzAppendVerdict: any list of verdicts is a datagram that another library
// takes apart into the same verdicts.
func FuzzAppendVerdict(f *testing.F) {
	f.Add(uint16(0), uint32(1), true, []byte(nil), uint32(2))
	f.Add(uint16(7), uint32(1<<31), true, outer{}.bytes(), uint32(0))
	f.Add(uint16(65535), uint32(0), false, []byte{1, 2, 3}, uint32(1))
	f.Fuzz(func(t *testing.T, queue uint16, id uint32, accept bool, payload []byte, second uint32) {
		if len(payload) > MaxPayload {
			return
		}
		action := firewall.Drop
		if accept {
			action = firewall.Accept
		}
		if len(payload) == 0 {
			payload = nil
		}
		datagram := appendVerdict(nil, queue, id, action, payload)
		if got, want := len(datagram), verdictLen(payload); got != want {
			t.Fatalf("got %d bytes, want %d", got, want)
		}
		datagram = appendVerdict(datagram, queue, second, firewall.Drop, nil)

		gotID, gotAction, gotPayload, rest := readVerdict(t, datagram, queue)
		if gotID != id || gotAction != action || !bytes.Equal(gotPayload, payload) {
			t.Fatalf("got ID %d, %v, payload %x, want %d, %v, %x", gotID, gotAction, gotPayload, id, action, payload)
		}
		gotID, gotAction, gotPayload, rest = readVerdict(t, rest, queue)
		if gotID != second || gotAction != firewall.Drop || gotPayload != nil || len(rest) != 0 {
			t.Fatalf("second: got ID %d, %v, payload %x, %d bytes behind it, want %d, drop, none, 0", gotID, gotAction, gotPayload, len(rest), second)
		}
	})
}

func readVerdict(t *testing.T, datagram []byte, queue uint16) (id uint32, action firewall.Action, payload, rest []byte) {
	t.Helper()
	length := int(binary.NativeEndian.Uint32(datagram))
	aligned := (length + 3) &^ 3
	var m netlink.Message
	if err := m.UnmarshalBinary(datagram[:aligned]); err != nil && length%4 == 0 {
		t.Fatal(err)
	} else if err != nil { // the library wants whole words
		data := bytes.Clone(datagram[:aligned])
		binary.NativeEndian.PutUint32(data, uint32(aligned))
		must(t, m.UnmarshalBinary(data))
		m.Data = m.Data[:length-16]
	}
	if m.Header.Type != msgVerdict || m.Header.Flags != netlink.Request {
		t.Fatalf("got header %+v", m.Header)
	}
	if got := binary.BigEndian.Uint16(m.Data[2:]); got != queue {
		t.Fatalf("got queue %d, want %d", got, queue)
	}
	for attrs := m.Data[4:]; len(attrs) > 0; {
		n, typ := int(binary.NativeEndian.Uint16(attrs)), binary.NativeEndian.Uint16(attrs[2:])
		switch value := attrs[4:n]; typ {
		case attrVerdictHeader:
			id = binary.BigEndian.Uint32(value[4:])
			if binary.BigEndian.Uint32(value) == netfilterAccept {
				action = firewall.Accept
			}
		case attrPayload:
			payload = value
		default:
			t.Fatalf("got attribute %d", typ)
		}
		attrs = attrs[min((n+3)&^3, len(attrs)):]
	}
	return id, action, payload, datagram[aligned:]
}

func TestVerdictsAreEncodedWithoutAllocation(t *testing.T) {
	payload := make([]byte, 1500)
	buf := make([]byte, 0, 4096)
	if got := testing.AllocsPerRun(100, func() {
		buf = appendVerdict(buf[:0], 1, 2, firewall.Accept, payload)
		buf = appendVerdict(buf, 1, 3, firewall.Drop, nil)
	}); got != 0 {
		t.Errorf("got %v allocations, want 0", got)
	}
}

func BenchmarkAppendVerdict(b *testing.B) {
	for _, size := range []int{0, 1500, 64000} {
		b.Run(fmt.Sprintf("payload=%d", size), func(b *testing.B) {
			var payload []byte
			if size > 0 {
				payload = make([]byte, size)
			}
			var buf []byte
			b.ReportAllocs()
			b.SetBytes(int64(verdictLen(payload)))
			for b.Loop() {
				buf = appendVerdict(buf[:0], 1, 2, firewall.Accept, payload)
			}
		})
	}
}
