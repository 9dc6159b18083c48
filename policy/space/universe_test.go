package space_test

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"os"
	"testing"

	"sttwall/inspect"
	"sttwall/policy/space"
	"sttwall/reason"
)

// pointOf is the packet that rules see of a frame.
func pointOf(f *inspect.Frame) space.Point {
	var x space.Point
	x[space.Family] = space.V(uint64(f.IP))
	x[space.Kind] = space.V(space.NotIP | uint64(f.EtherType))
	x[space.SrcPort], x[space.DstPort] = space.V(space.NoPort), space.V(space.NoPort)
	x[space.VLAN], x[space.PCP] = space.V(space.NoVLAN), space.V(space.NoPriority)
	x[space.ARPOperation], x[space.TCPFlags] = space.V(space.NoARP), space.V(space.NoFlags)
	x[space.Datapath], x[space.Ingress], x[space.Egress] = space.V(space.NoDatapath), space.V(space.NoIngress), space.V(space.NoEgress)
	x[space.EthSrc], x[space.EthDst] = mac(f.EthSrc), mac(f.EthDst)
	if f.IP != 0 {
		x[space.Kind] = space.V(uint64(f.Protocol))
	} else if f.EtherType == inspect.EtherTypeARP {
		x[space.ARPOperation] = space.V(uint64(f.ARPOperation))
	}
	x[space.Src], x[space.Dst] = space.Address(f.Src), space.Address(f.Dst)
	switch {
	case f.HasPorts:
		x[space.SrcPort], x[space.DstPort] = space.V(uint64(f.SrcPort)), space.V(uint64(f.DstPort))
	case f.HasICMP:
		x[space.DstPort] = space.V(uint64(f.ICMPType)<<8 | uint64(f.ICMPCode))
	}
	if f.HasTCP {
		x[space.TCPFlags] = space.V(uint64(f.TCPFlags))
	}
	if f.TagCount > 0 {
		x[space.VLAN], x[space.PCP] = space.V(uint64(f.Tags[0]&0xfff)), space.V(uint64(f.Tags[0]>>13))
	}
	switch {
	case f.Fragmented && f.Fragment.Offset == 0:
		x[space.Fragment] = space.V(space.FirstFragment)
	case f.Fragmented:
		x[space.Fragment] = space.V(space.LaterFragment)
	}
	return x
}

func mac(m [6]byte) space.Value {
	var n uint64
	for _, b := range m {
		n = n<<8 | uint64(b)
	}
	return space.V(n)
}

// capturedFrames are frames of real senders, from the captures of package inspect.
func capturedFrames(t testing.TB) [][]byte {
	file, err := os.Open("../../inspect/testdata/captured.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var out [][]byte
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var line struct{ Data string }
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		b, err := hex.DecodeString(line.Data)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, b)
	}
	if err := lines.Err(); err != nil || len(out) == 0 {
		t.Fatalf("%d frames: %v", len(out), err)
	}
	return out
}

// FuzzUniverse: what package inspect lets through is in exactly one product of
// the universe, but for ICMP of the other IP version.
func FuzzUniverse(f *testing.F) {
	for _, b := range capturedFrames(f) {
		f.Add(b, uint16(0))
		f.Add(b, uint16(0x2005))
	}
	universe := space.Universe()
	f.Fuzz(func(t *testing.T, data []byte, tci uint16) {
		var frame inspect.Frame
		if frame.Decode(data, len(data), tci, inspect.Tagged(tci != 0)) != reason.None {
			return
		}
		if frame.IP == 4 && frame.Protocol == inspect.ProtocolICMPv6 || frame.IP == 6 && frame.Protocol == inspect.ProtocolICMP {
			return
		}
		x := pointOf(&frame)
		if n := holding(universe, &x); n != 1 {
			t.Fatalf("%d products of the universe have %v (% x)", n, x, data)
		}
		var alone space.Product
		for field := range space.Fields {
			alone[field] = field.Of(space.Range{Lo: x[field], Hi: x[field]})
		}
		if !alone.Possible() {
			t.Fatalf("%v is not possible", alone)
		}
	})
}

func TestUniverseDoesNotOverlap(t *testing.T) {
	u := space.Universe()
	for i := range u {
		if !u[i].Possible() {
			t.Errorf("%v is not possible", u[i])
		}
		for j := range i {
			if u[i].Overlaps(&u[j]) {
				t.Errorf("%v and %v overlap", u[i], u[j])
			}
		}
	}
}

func TestPossible(t *testing.T) {
	type conditions = map[space.Field]space.Set
	v4, _ := space.Prefix(netip.MustParsePrefix("10.0.0.0/8"))
	v6, _ := space.Prefix(netip.MustParsePrefix("2001:db8::/32"))
	tests := []struct {
		name string
		with conditions
		want bool
	}{
		{"everything", nil, true},
		{"a port of TCP", conditions{space.Kind: space.Kind.Values(6), space.DstPort: space.DstPort.Values(80)}, true},
		{"a port of GRE", conditions{space.Kind: space.Kind.Values(47), space.DstPort: space.DstPort.Values(80)}, false},
		{"a port of a later fragment", conditions{space.Fragment: space.Fragment.Values(space.LaterFragment), space.DstPort: space.DstPort.Values(80)}, false},
		{"a port of a first fragment", conditions{space.Fragment: space.Fragment.Values(space.FirstFragment), space.DstPort: space.DstPort.Values(80)}, true},
		{"no port of UDP, whole", conditions{space.Kind: space.Kind.Values(17), space.Fragment: space.Fragment.Values(space.Whole), space.DstPort: space.DstPort.Values(space.NoPort)}, false},
		{"TCP flags of UDP", conditions{space.Kind: space.Kind.Values(17), space.TCPFlags: space.MaskedFlags(2, 2)}, false},
		{"TCP without flags", conditions{space.Kind: space.Kind.Values(6), space.TCPFlags: space.TCPFlags.Values(space.NoFlags), space.Fragment: space.Fragment.Values(space.Whole)}, false},
		{"SYN and FIN, which inspect refuses", conditions{space.TCPFlags: space.MaskedFlags(3, 3)}, false},
		{"an ethertype with IPv4", conditions{space.Family: space.Family.Values(4), space.Kind: space.Kind.Values(space.NotIP | 0x88cc)}, false},
		{"the ethertype of IPv4 as such", conditions{space.Kind: space.Kind.Values(space.NotIP | 0x0800)}, false},
		{"ICMPv6 in IPv4", conditions{space.Family: space.Family.Values(4), space.Kind: space.Kind.Values(58)}, false},
		{"ICMP in IPv6", conditions{space.Family: space.Family.Values(6), space.Kind: space.Kind.Values(1)}, false},
		{"ICMPv6 to an IPv4 address", conditions{space.Kind: space.Kind.Values(58), space.Family: space.Family.Values(4), space.Dst: space.Dst.Of(v4)}, false},
		{"an IPv6 address in IPv4", conditions{space.Family: space.Family.Values(4), space.Dst: space.Dst.Of(v6)}, false},
		{"an ARP request for an address", conditions{space.Kind: space.Kind.Values(space.NotIP | 0x0806), space.Dst: space.Dst.Of(v4), space.ARPOperation: space.ARPOperation.Values(1)}, true},
		{"an ARP operation in IPv4", conditions{space.Family: space.Family.Values(4), space.ARPOperation: space.ARPOperation.Values(1)}, false},
		{"an address in LLDP", conditions{space.Kind: space.Kind.Values(space.NotIP | 0x88cc), space.Dst: space.Dst.Of(v4)}, false},
		{"a VLAN without a priority", conditions{space.VLAN: space.VLAN.Values(1), space.PCP: space.PCP.Values(space.NoPriority)}, false},
		{"a VLAN with a priority", conditions{space.VLAN: space.VLAN.Values(1), space.PCP: space.PCP.Values(3)}, true},
		{"a priority tag", conditions{space.VLAN: space.VLAN.Values(space.NoVLAN), space.PCP: space.PCP.Values(3)}, true},
		{"no tag", conditions{space.VLAN: space.VLAN.Values(space.NoVLAN), space.PCP: space.PCP.Values(space.NoPriority)}, true},
		{"an ingress port without a datapath", conditions{space.Datapath: space.Datapath.Values(space.NoDatapath), space.Ingress: space.Ingress.Values(3)}, false},
		{"a fragment of ARP", conditions{space.Kind: space.Kind.Values(space.NotIP | 0x0806), space.Fragment: space.Fragment.Values(space.FirstFragment)}, false},
		{"a set without values", conditions{space.To: space.Nothing()}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var p space.Product
			for f, s := range test.with {
				p[f] = s
			}
			if got := p.Possible(); got != test.want {
				t.Errorf("possible: %v", got)
			}
			x, ok := p.Typical()
			if ok != test.want {
				t.Errorf("has a typical packet: %v", ok)
			}
			if ok && (!p.Contains(&x) || holding(space.Universe(), &x) != 1) {
				t.Errorf("typical packet %v", x)
			}
		})
	}
}

func TestFramesBecomePointsOfTheirProtocol(t *testing.T) {
	kinds := map[space.Value]bool{}
	for _, b := range capturedFrames(t) {
		var frame inspect.Frame
		if frame.Decode(bytes.Clone(b), len(b), 0, inspect.NoTag) == reason.None {
			kinds[pointOf(&frame)[space.Kind]] = true
		}
	}
	for _, want := range []uint64{1, 6, 17, 58, space.NotIP | 0x0806} {
		if !kinds[space.V(want)] {
			t.Errorf("no captured frame of kind %#x: FuzzUniverse has no seed for it", want)
		}
	}
}
