package rewrite

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"sttwall/describe"
	"sttwall/inspect"
	"sttwall/internal/checksum"
	"sttwall/reason"
)

func parse(t testing.TB, text string) *describe.Packet {
	t.Helper()
	p, err := describe.Parse(text)
	if err != nil {
		t.Fatal(text, err)
	}
	if !ChecksumGood(p.Data, &p.Frame) {
		t.Fatalf("%s: the description's own checksum is wrong", text)
	}
	return p
}

func mssOf(data []byte, f *inspect.Frame) int {
	at := Set{MSSMax: 1}.mssOption(data, f)
	if at < 0 {
		return -1
	}
	return int(binary.BigEndian.Uint16(data[at:]))
}

func TestSet(t *testing.T) {
	for _, tt := range []struct {
		name, packet string
		set          Set
		dscp         uint8
		mss          int
		changed      bool
	}{
		{"DSCP of IPv4", "udp 10.0.0.1:1 > 10.0.0.2:2 len 7", Set{HasDSCP: true, DSCP: 18}, 18, -1, true},
		{"DSCP of IPv6", "udp [fe80::1]:1 > [fe80::2]:2 len 7", Set{HasDSCP: true, DSCP: 63}, 63, -1, true},
		{"DSCP to 0", "udp 10.0.0.1:1 > 10.0.0.2:2 dscp 46", Set{HasDSCP: true}, 0, -1, true},
		{"the same DSCP", "udp 10.0.0.1:1 > 10.0.0.2:2 dscp 46", Set{HasDSCP: true, DSCP: 46}, 46, -1, false},
		{"no IP has no DSCP", "arp request 10.0.0.1 > 10.0.0.2", Set{HasDSCP: true, DSCP: 46}, 0, -1, false},
		{"DSCP of a later fragment", "udp 10.0.0.1:1 > 10.0.0.2:2 frag later", Set{HasDSCP: true, DSCP: 1}, 1, -1, true},
		{"MSS of a SYN", "tcp 10.0.0.1:1 > 10.0.0.2:2 syn mss 1460 wscale 7", Set{MSSMax: 1300}, 0, 1300, true},
		{"MSS of a SYN+ACK over IPv6", "tcp [fe80::1]:1 > [fe80::2]:2 syn,ack mss 9000", Set{MSSMax: 1220}, 0, 1220, true},
		{"a smaller MSS stays", "tcp 10.0.0.1:1 > 10.0.0.2:2 syn mss 1000", Set{MSSMax: 1300}, 0, 1000, false},
		{"none is added", "tcp 10.0.0.1:1 > 10.0.0.2:2 syn wscale 7", Set{MSSMax: 1300}, 0, -1, false},
		{"only in SYNs", "tcp 10.0.0.1:1 > 10.0.0.2:2 ack mss 1460", Set{MSSMax: 1300}, 0, -1, false},
		{"both, in a VLAN", "tcp 10.0.0.1:1 > 10.0.0.2:2 syn mss 1460 vlan 7", Set{HasDSCP: true, DSCP: 10, MSSMax: 1400}, 10, 1400, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := parse(t, tt.packet)
			before := bytes.Clone(p.Data)
			if got := tt.set.Changes(p.Data, &p.Frame); got != tt.changed {
				t.Errorf("Changes says %t", got)
			}
			if got := tt.set.Apply(p.Data, &p.Frame, false); got != tt.changed || got == bytes.Equal(before, p.Data) {
				t.Errorf("Apply says %t", got)
			}
			var f inspect.Frame
			if r := f.Decode(p.Data, len(p.Data), 0, inspect.NoTag); r != reason.None || f != p.Frame {
				t.Fatalf("%v: decoded again %+v, kept %+v", r, f, p.Frame)
			}
			if f.TOS>>2 != tt.dscp || mssOf(p.Data, &f) != tt.mss {
				t.Errorf("DSCP %d, MSS %d", f.TOS>>2, mssOf(p.Data, &f))
			}
			if !ChecksumGood(p.Data, &f) {
				t.Error("the L4 checksum is wrong")
			}
			if f.IP == 4 && checksum.Sum(p.Data[f.L3Offset:f.L3Offset+20]) != 0xffff {
				t.Error("the IP checksum is wrong")
			}
		})
	}
}

func TestECNStays(t *testing.T) {
	p := parse(t, "udp 10.0.0.1:1 > 10.0.0.2:2")
	p.Data[15] |= 3
	p.Frame.TOS |= 3
	Set{HasDSCP: true, DSCP: 18}.Apply(p.Data, &p.Frame, false)
	if p.Data[15] != 18<<2|3 {
		t.Errorf("TOS %02x", p.Data[15])
	}
}

func TestAnMSSAtAnOddPlaceKeepsTheChecksum(t *testing.T) {
	p := parse(t, "tcp 10.0.0.1:1 > 10.0.0.2:2 syn mss 1460 wscale 7")
	// The same options, one byte later.
	options := p.Data[p.Frame.L4Offset+20 : p.Frame.PayloadOffset]
	copy(options, []byte{optionNothing, optionMSS, mssOptionLen, 1460 >> 8, 1460 & 0xff, optionNothing, optionNothing, optionEnd})
	l4 := p.Data[p.Frame.L4Offset:]
	l4[16], l4[17] = 0, 0
	binary.BigEndian.PutUint16(l4[16:], transport(p.Data[26:34], 6, l4))
	if !(Set{MSSMax: 1300}).Apply(p.Data, &p.Frame, false) || !ChecksumGood(p.Data, &p.Frame) || mssOf(p.Data, &p.Frame) != 1300 {
		t.Errorf("MSS %d, checksum good: %t", mssOf(p.Data, &p.Frame), ChecksumGood(p.Data, &p.Frame))
	}
}

// Linux takes the last of several MSS options.
func TestEveryMSSOptionIsLowered(t *testing.T) {
	p := parse(t, "tcp 10.0.0.1:1 > 10.0.0.2:2 syn mss 1460 wscale 7")
	options := p.Data[p.Frame.L4Offset+20 : p.Frame.PayloadOffset]
	copy(options, []byte{optionMSS, mssOptionLen, 2, 0x80, optionMSS, mssOptionLen, 1460 >> 8, 1460 & 0xff})
	l4 := p.Data[p.Frame.L4Offset:]
	l4[16], l4[17] = 0, 0
	binary.BigEndian.PutUint16(l4[16:], transport(p.Data[26:34], 6, l4))
	s := Set{MSSMax: 1300}
	if !s.Changes(p.Data, &p.Frame) || !s.Apply(p.Data, &p.Frame, false) || s.Changes(p.Data, &p.Frame) || !ChecksumGood(p.Data, &p.Frame) {
		t.Errorf("changes still: %t, checksum good: %t", s.Changes(p.Data, &p.Frame), ChecksumGood(p.Data, &p.Frame))
	}
	if first, second := binary.BigEndian.Uint16(options[2:]), binary.BigEndian.Uint16(options[6:]); first != 0x280 || second != 1300 {
		t.Errorf("MSS %d and %d", first, second)
	}
}

func TestAPartialChecksumIsLeftAlone(t *testing.T) {
	p := parse(t, "tcp 10.0.0.1:1 > 10.0.0.2:2 syn mss 1460")
	field := bytes.Clone(p.Data[p.Frame.L4Offset+16 : p.Frame.L4Offset+18])
	if !(Set{MSSMax: 1300}).Apply(p.Data, &p.Frame, true) || !bytes.Equal(field, p.Data[p.Frame.L4Offset+16:p.Frame.L4Offset+18]) {
		t.Error("it has changed")
	}
}

func TestRejectAnswers(t *testing.T) {
	for _, tt := range []struct{ name, packet, want string }{
		{"a SYN", "tcp 10.0.0.1:4000 > 10.0.0.2:80 syn seq 1000", "tcp 10.0.0.2:80 > 10.0.0.1:4000 rst,ack ack-number 1001 win 0"},
		{"a SYN with data", "tcp 10.0.0.1:4000 > 10.0.0.2:80 syn seq 0xffffffff len 5", "tcp 10.0.0.2:80 > 10.0.0.1:4000 rst,ack ack-number 5 win 0"},
		{"a segment from the middle", "tcp [fe80::1]:4000 > [fe80::2]:80 ack seq 5 ack-number 77 len 9", "tcp [fe80::2]:80 > [fe80::1]:4000 rst seq 77 win 0"},
		{"in a VLAN", "tcp 10.0.0.1:4000 > 10.0.0.2:80 syn vlan 7", "tcp 10.0.0.2:80 > 10.0.0.1:4000 rst,ack ack-number 1 win 0 vlan 7"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, want := parse(t, tt.packet), parse(t, tt.want+" mac 02:00:00:00:00:02 > 02:00:00:00:00:01")
			got, why := AppendReject(nil, p.Data, &p.Frame)
			if why != Answered {
				t.Fatal(why)
			}
			if want.Frame.IP == 4 { // a description has an identification
				l3 := want.Frame.L3Offset
				want.Data[l3+4], want.Data[l3+5] = 0, 0
				binary.BigEndian.PutUint16(want.Data[l3+10:], 0)
				binary.BigEndian.PutUint16(want.Data[l3+10:], ^checksum.Sum(want.Data[l3:l3+20]))
			}
			if !bytes.Equal(got, want.Data) {
				t.Errorf("got\n% x\nwant\n% x", got, want.Data)
			}
		})
	}
}

func TestRejectAnswersByICMP(t *testing.T) {
	for _, tt := range []struct {
		name, packet string
		length       int // of the IP packet
	}{
		{"UDP", "udp 10.0.0.1:4000 > 10.0.0.2:53 len 30", 20 + 8 + 20 + 8 + 30},
		{"UDP of more than is quoted", "udp 10.0.0.1:4000 > 10.0.0.2:53 len 3000", 576},
		{"UDP over IPv6", "udp [fe80::1]:4000 > [fe80::2]:53 len 3000", 1280},
		{"a ping", "icmp 10.0.0.1 > 10.0.0.2 echo-request", 20 + 8 + 20 + 8},
		{"a ping over IPv6", "icmpv6 fe80::1 > fe80::2 echo-request", 40 + 8 + 40 + 8},
		{"another protocol", "protocol 47 10.0.0.1 > 10.0.0.2 len 8", 20 + 8 + 20 + 8},
		{"a first fragment", "udp 10.0.0.1:4000 > 10.0.0.2:53 len 80 frag first", 20 + 8 + 20 + 88},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := parse(t, tt.packet)
			got, why := AppendReject([]byte("before"), p.Data, &p.Frame)
			if why != Answered {
				t.Fatal(why)
			}
			got = got[len("before"):]
			var f inspect.Frame
			if r := f.Decode(got, len(got), 0, inspect.NoTag); r != reason.None || !ChecksumGood(got, &f) {
				t.Fatal(r, ChecksumGood(got, &f))
			}
			wantType, wantCode := uint8(unreachable), uint8(prohibited)
			if f.IP == 6 {
				wantType, wantCode = unreachV6, prohibitV6
			}
			if f.ICMPType != wantType || f.ICMPCode != wantCode || f.Src != p.Frame.Dst || f.Dst != p.Frame.Src || f.IPEnd-f.L3Offset != tt.length || len(got) > MaxReject {
				t.Errorf("%+v", f)
			}
			if quoted := got[f.L4Offset+8:]; !bytes.HasPrefix(p.Data[p.Frame.L3Offset:], quoted) {
				t.Error("it quotes another packet")
			}
			if _, why := AppendReject(nil, got, &f); why == Answered {
				t.Error("an answer is answered")
			}
		})
	}
}

func TestSomePacketsAreNotAnswered(t *testing.T) {
	for _, tt := range []struct {
		packet string
		want   Refusal
	}{
		{"arp request 10.0.0.1 > 10.0.0.2", RefuseNotIP},
		{"tcp 10.0.0.1:1 > 10.0.0.2:2 rst", RefuseReset},
		{"icmp 10.0.0.1 > 10.0.0.2 echo-reply", RefuseICMP},
		{"icmp 10.0.0.1 > 10.0.0.2 destination-unreachable about (udp 10.0.0.2:1 > 10.0.0.1:2)", RefuseICMP},
		{"icmpv6 fe80::1 > fe80::2 nd-redirect len 32", RefuseICMP},
		{"icmp 10.0.0.1 > 10.0.0.2 echo-request frag later", RefuseFragment},
		{"udp 10.0.0.1:1 > 224.0.0.1:2", RefuseGroup},
		{"udp 10.0.0.1:1 > 255.255.255.255:2", RefuseGroup},
		{"udp [fe80::1]:1 > [ff02::1]:2", RefuseGroup},
		{"udp 10.0.0.1:1 > 10.0.0.2:2 mac 02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff", RefuseGroup},
		{"udp 10.0.0.1:1 > 10.0.0.2:2 mac 03:00:00:00:00:01 > 02:00:00:00:00:02", RefuseGroup},
		{"udp 0.0.0.0:68 > 10.0.0.2:67", RefuseSource},
		{"udp 127.0.0.1:1 > 10.0.0.2:2", RefuseSource},
		{"udp [::]:1 > [fe80::2]:2", RefuseSource},
		{"udp 10.0.0.1:1 > 10.0.0.2:2 frag later", RefuseFragment},
	} {
		p := parse(t, tt.packet)
		if got, why := AppendReject(nil, p.Data, &p.Frame); why != tt.want || got != nil {
			t.Errorf("%s: %v, want %v", tt.packet, why, tt.want)
		}
	}
	p := parse(t, "tcp 10.0.0.1:1 > 10.0.0.2:2 syn")
	if _, why := AppendReject(nil, p.Data[:40], &p.Frame); why != RefuseTruncated {
		t.Errorf("a cut copy: %v", why)
	}
}

func TestChecksumGood(t *testing.T) {
	for _, text := range []string{"tcp 10.0.0.1:1 > 10.0.0.2:2 len 3", "udp [fe80::1]:1 > [fe80::2]:2 len 3", "icmp 10.0.0.1 > 10.0.0.2 echo-request", "icmpv6 fe80::1 > fe80::2 echo-request"} {
		p := parse(t, text)
		for i := p.Frame.L4Offset; i < p.Frame.IPEnd; i++ {
			p.Data[i] ^= 0x10
			var f inspect.Frame
			if f.Decode(p.Data, len(p.Data), 0, inspect.NoTag) == reason.None && ChecksumGood(p.Data, &f) && f.L4Offset == p.Frame.L4Offset {
				t.Errorf("%s: a wrong byte %d is not noticed", text, i)
			}
			p.Data[i] ^= 0x10
		}
		if ChecksumGood(p.Data[:len(p.Data)-1], &p.Frame) {
			t.Errorf("%s: good without its last byte", text)
		}
	}
	p := parse(t, "udp 10.0.0.1:1 > 10.0.0.2:2")
	p.Data[p.Frame.L4Offset+6], p.Data[p.Frame.L4Offset+7] = 0, 0
	if !ChecksumGood(p.Data, &p.Frame) {
		t.Error("UDP without a checksum")
	}
}

// TestTheSumOfTheFrameSaysWhetherTheChecksumIsGood, with bytes behind the packet,
// for every byte of it that is wrong.
func TestTheSumOfTheFrameSaysWhetherTheChecksumIsGood(t *testing.T) {
	for _, text := range []string{
		"tcp 10.0.0.1:1 > 10.0.0.2:2 len 3", "tcp [fe80::1]:1 > [fe80::2]:2 len 4 vlan 7", "udp 10.0.0.1:1 > 10.0.0.2:2 len 2",
		"udp [fe80::1]:1 > [fe80::2]:2 len 3", "icmp 10.0.0.1 > 10.0.0.2 echo-request", "icmpv6 fe80::1 > fe80::2 echo-request", "sctp 10.0.0.1:1 > 10.0.0.2:2",
	} {
		for trailing := range 4 {
			data := append(parse(t, text).Data, []byte{0xfe, 0xdc, 0xba}[:trailing]...)
			seen := [2]int{}
			for i := -1; i < len(data); i++ {
				changed := bytes.Clone(data)
				if i >= 0 {
					changed[i] ^= 0x10
				}
				var f inspect.Frame
				if f.Decode(changed, len(changed), 0, inspect.NoTag) != reason.None {
					continue
				}
				want := ChecksumGood(changed, &f)
				if got := ChecksumGoodBySum(changed, &f, checksum.Sum(changed)); got != want {
					t.Errorf("%s and %d bytes, byte %d wrong: got %t, want %t", text, trailing, i, got, want)
				}
				if want {
					seen[1]++
				} else {
					seen[0]++
				}
			}
			if seen[1] == 0 || seen[0] == 0 && !strings.HasPrefix(text, "sctp") {
				t.Errorf("%s and %d bytes: %d wrong ones, %d right ones", text, trailing, seen[0], seen[1])
			}
		}
	}
	p := parse(t, "icmp 10.0.0.1 > 10.0.0.2 echo-request")
	clear(p.Data[p.Frame.L4Offset:])
	if ChecksumGood(p.Data, &p.Frame) || ChecksumGoodBySum(p.Data, &p.Frame, checksum.Sum(p.Data)) {
		t.Error("an ICMP message of zeros is called good")
	}
}

func TestNothingAllocates(t *testing.T) {
	p := parse(t, "tcp 10.0.0.1:1 > 10.0.0.2:2 syn mss 1460")
	dst := make([]byte, 0, MaxReject)
	if n := testing.AllocsPerRun(100, func() {
		Set{HasDSCP: true, DSCP: 4, MSSMax: 1400}.Apply(p.Data, &p.Frame, false)
		AppendReject(dst, p.Data, &p.Frame)
		ChecksumGood(p.Data, &p.Frame)
		ChecksumGoodBySum(p.Data, &p.Frame, 1)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzReject: what answers a frame can be read and is right, fits, and is never
// answered itself.
func FuzzReject(f *testing.F) {
	for _, text := range []string{"tcp 10.0.0.1:1 > 10.0.0.2:2 syn mss 1460", "udp [fe80::1]:1 > [fe80::2]:2 len 9 vlan 3", "icmp 10.0.0.1 > 10.0.0.2 echo-request"} {
		f.Add(parse(f, text).Data, uint8(7), uint16(1300))
	}
	f.Fuzz(func(t *testing.T, data []byte, dscp uint8, mss uint16) {
		var frame inspect.Frame
		if frame.Decode(data, len(data), 0, inspect.NoTag) != reason.None {
			return
		}
		answer, why := AppendReject(nil, data, &frame)
		if why == Answered {
			var a inspect.Frame
			if r := a.Decode(answer, len(answer), 0, inspect.NoTag); r != reason.None || !ChecksumGood(answer, &a) || len(answer) > MaxReject {
				t.Fatalf("%v: %d bytes: % x", r, len(answer), answer)
			}
			if _, why := AppendReject(nil, answer, &a); why == Answered && (a.HasTCP || a.HasICMP) {
				t.Fatal("an answer is answered")
			}
		}
		good := ChecksumGood(data, &frame)
		if bySum := ChecksumGoodBySum(data, &frame, checksum.Sum(data)); bySum != good {
			t.Fatalf("by the sum of the frame the checksum is good: %t, by reading it: %t", bySum, good)
		}
		s := Set{HasDSCP: true, DSCP: dscp & 63, MSSMax: mss}
		changed := bytes.Clone(data)
		would := s.Changes(changed, &frame)
		did := s.Apply(changed, &frame, false)
		if would != did || did == bytes.Equal(changed, data) {
			t.Fatalf("Changes %t, Apply %t", would, did)
		}
		var again inspect.Frame
		if r := again.Decode(changed, len(changed), 0, inspect.NoTag); r != reason.None || again != frame {
			t.Fatalf("%v: %+v, kept %+v", r, again, frame)
		}
		if good && !ChecksumGood(changed, &again) {
			t.Fatal("the checksum was right and is not any more")
		}
		if s.Changes(changed, &again) {
			t.Fatal("it would change it again")
		}
	})
}
