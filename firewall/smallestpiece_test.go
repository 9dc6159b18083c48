package firewall

import (
	"encoding/binary"
	"testing"

	"sttwall/internal/checksum"
	"sttwall/reason"
	"sttwall/stt"
)

// udpBehindOptions is an Ethernet frame with IPv6 destination options of that many
// bytes, a multiple of 8, in front of UDP.
func udpBehindOptions(options, payload int) []byte {
	const ethernetLen, optionsAt = 14, 14 + 40
	b := make([]byte, optionsAt+options+8+payload)
	copy(b, []byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x86, 0xdd})
	ip := b[ethernetLen:]
	ip[0], ip[6], ip[7] = 6<<4, 60, 64
	binary.BigEndian.PutUint16(ip[4:], uint16(len(b)-optionsAt))
	ip[8], ip[9], ip[23], ip[24], ip[25], ip[39] = 0xfd, 1, 1, 0xfd, 1, 2
	header := b[optionsAt : optionsAt+options]
	header[0], header[1] = 17, uint8(options/8-1)
	for at := 2; at < options; { // PadN, RFC 8200 section 4.2
		n := min(options-at, 257)
		if options-at-n == 1 {
			n--
		}
		header[at], header[at+1] = 1, uint8(n-2)
		at += n
	}
	udp := b[optionsAt+options:]
	binary.BigEndian.PutUint16(udp, 1000)
	binary.BigEndian.PutUint16(udp[2:], 2000)
	binary.BigEndian.PutUint16(udp[4:], uint16(len(udp)))
	sum := checksum.Fold(uint64(checksum.Sum(ip[8:40])) + 17 + uint64(len(udp)) + uint64(checksum.Sum(udp)))
	binary.BigEndian.PutUint16(udp[6:], ^sum)
	return b
}

// The kernel may cut a super-segment into pieces of 512 bytes: no header may end behind
// the first.
func TestTheHeadersOfASuperSegmentAreInItsFirstPiece(t *testing.T) {
	const rest = stt.FrameHeaderLen + 14 + 40 + 8 // of the headers
	linux := "settings {\n  receivers = \"linux\"\n}\n" + tenantAll
	for _, tt := range []struct {
		name    string
		rules   string
		options int
		gso     bool
		want    reason.Reason
	}{
		{"headers of 512 bytes", testRules, (SmallestPiece - rest) / 8 * 8, true, reason.None},
		{"longer headers", testRules, (SmallestPiece-rest)/8*8 + 8, true, reason.SegmentTooSmall},
		{"longer headers in a packet of the wire", testRules, (SmallestPiece-rest)/8*8 + 8, false, reason.None},
		{"longer headers, and no receiver is Windows", linux, (SmallestPiece-rest)/8*8 + 8, true, reason.None},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, benchConfig{rules: tt.rules})
			data := cut(path(), 5, sttFrame(stt.FrameHeader{ContextID: 100}, udpBehindOptions(tt.options, 1200)), 0)[0]
			p := Packet{ID: 1, Data: data, Length: len(data), GSO: tt.gso}
			if tt.gso {
				p.Checksum = ChecksumPartial
			}
			b.sendAll(p)
			if len(b.events) != 1 || b.events[0].Reason != tt.want {
				t.Errorf("got %v, want %v", b.events[0].Reason, tt.want)
			}
		})
	}
}
