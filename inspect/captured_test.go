package inspect_test

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sttwall/inspect"
	"sttwall/reason"
)

// captured is one line of testdata/captured.jsonl; testdata/README.md says what
// the fields are.
type captured struct {
	Capture  string `json:"capture"`
	FrameID  string `json:"frame_id"`
	Flags    uint8  `json:"flags"`
	L4Offset uint8  `json:"l4_offset"`
	MSS      uint16 `json:"mss"`
	TCI      uint16 `json:"tci"`
	Length   int    `json:"length"`
	L4At     *int   `json:"l4_at"`
	Inner    inner  `json:"inner"`
	Data     string `json:"data"`
	bytes    []byte
}

// inner is what a decoder that is not ours read from the frame.
type inner struct {
	EthSrc    string        `json:"eth_src"`
	EthDst    string        `json:"eth_dst"`
	VLAN      []uint16      `json:"vlan"`
	EtherType string        `json:"ethertype"`
	Src       string        `json:"src"`
	Dst       string        `json:"dst"`
	Protocol  uint8         `json:"proto"`
	SrcPort   *uint16       `json:"sport"`
	DstPort   *uint16       `json:"dport"`
	TCPFlags  string        `json:"tcp_flags"`
	ICMPType  *uint8        `json:"icmp_type"`
	ICMPCode  *uint8        `json:"icmp_code"`
	ARPOp     uint16        `json:"arp_op"`
	TOS       uint8         `json:"tos"`
	Fragment  *innerPartial `json:"fragment"`
}

type innerPartial struct {
	ID     uint32 `json:"id"`
	Offset uint16 `json:"offset"`
	More   bool   `json:"more"`
	Bytes  int    `json:"bytes"`
}

func (c *captured) tagged() inspect.Tagged { return c.TCI != 0 }

func (c *captured) offload() inspect.Offload {
	return inspect.Offload{Partial: c.Flags&2 != 0, IPv4: c.Flags&4 != 0, TCP: c.Flags&8 != 0,
		L4Offset: c.L4Offset, MSS: c.MSS, MSSFloor: 536}
}

func loadCaptured(tb testing.TB) []captured {
	tb.Helper()
	file, err := os.Open("testdata/captured.jsonl")
	if err != nil {
		tb.Fatal(err)
	}
	defer file.Close()
	var all []captured
	for in := bufio.NewScanner(file); in.Scan(); {
		var c captured
		if err := json.Unmarshal(in.Bytes(), &c); err != nil {
			tb.Fatalf("testdata/captured.jsonl: line %d: %v", len(all)+1, err)
		}
		if c.bytes, err = hex.DecodeString(c.Data); err != nil {
			tb.Fatalf("testdata/captured.jsonl: line %d: %v", len(all)+1, err)
		}
		all = append(all, c)
	}
	if len(all) == 0 {
		tb.Fatal("testdata/captured.jsonl is empty")
	}
	return all
}

// describe puts a Frame into the words of the captures.
func describe(f *inspect.Frame) inner {
	mac := func(m [6]byte) string {
		return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
	}
	addr := func(a netip.Addr) string {
		if !a.IsValid() {
			return ""
		}
		return a.String()
	}
	d := inner{
		EthSrc: mac(f.EthSrc), EthDst: mac(f.EthDst), VLAN: []uint16{},
		EtherType: fmt.Sprintf("0x%04x", f.EtherType), Src: addr(f.Src), Dst: addr(f.Dst),
		Protocol: f.Protocol, ARPOp: f.ARPOperation, TOS: f.TOS,
	}
	for _, tci := range f.Tags[:f.TagCount] {
		d.VLAN = append(d.VLAN, tci&0xfff)
	}
	if f.HasPorts {
		d.SrcPort, d.DstPort = &f.SrcPort, &f.DstPort
	}
	if f.HasTCP {
		for i, letter := range "FSRPAUEC" {
			if f.TCPFlags&(1<<i) != 0 {
				d.TCPFlags += string(letter)
			}
		}
	}
	if f.HasICMP {
		d.ICMPType, d.ICMPCode = &f.ICMPType, &f.ICMPCode
	}
	if f.Fragmented {
		d.Fragment = &innerPartial{f.Fragment.ID, f.Fragment.Offset, f.Fragment.More, f.Fragment.Bytes}
	}
	return d
}

func TestCapturedFramesAreReadAsTheOtherDecoderReadThem(t *testing.T) {
	for _, c := range loadCaptured(t) {
		t.Run(c.Capture+"/"+c.FrameID, func(t *testing.T) {
			var f inspect.Frame
			if r := f.Decode(c.bytes, c.Length, c.TCI, c.tagged()); r != reason.None {
				t.Fatalf("Decode: got %v, want none", r)
			}
			if diff := cmp.Diff(c.Inner, describe(&f)); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			got, want := strconv.Itoa(f.L4Offset), "-1"
			if c.L4At != nil {
				want = strconv.Itoa(*c.L4At)
			}
			if got != want {
				t.Errorf("L4Offset: got %s, want %s", got, want)
			}
			if r := f.Verify(c.bytes, c.Length, c.offload()); r != reason.None {
				t.Errorf("Verify: got %v, want none", r)
			}
		})
	}
}
