package tui

import (
	"encoding/binary"
	"encoding/hex"
	"math"
	"net/netip"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"sttwall/control"
	"sttwall/stt"
)

// newBusy is a firewall with ten minutes behind it, drops, and all there is to say of
// its health.
func newBusy() *fake {
	f := newFake()
	f.history = control.History{Step: 1}
	for i := range 600 {
		x := float64(i)
		packets := 3000 + 2500*math.Sin(x/60) + 400*math.Sin(x/7)
		s := control.Sample{
			Time: fakeNow.Add(time.Duration(i-599) * time.Second), Packets: uint64(packets), Bytes: uint64(1100 * packets),
			Accepted: uint64(packets * 0.8), Dropped: uint64(max(0, 40*math.Sin(x/25))), Flows: 6,
		}
		if i > 500 {
			s.Audited = 2
		}
		f.history.Samples = append(f.history.Samples, s)
	}
	f.health = control.Health{
		Time: fakeNow, Uptime: fakeNow.Sub(start).Seconds(),
		Queues: []control.QueueHealth{
			{Number: 0, Waiting: 12, Length: 16384, Packets: 700_000, Verdicts: 699_988, ReceiveBuffer: 8 << 20},
			{Number: 1, Waiting: 40, Length: 16384, Packets: 504_000, Verdicts: 503_960, ReceiveBuffer: 8 << 20},
		},
		Reassembly: control.ReassemblyHealth{
			Frames: control.Gauge{Now: 5, Bound: 4096}, Packets: control.Gauge{Now: 11, Bound: 16384}, Memory: control.Gauge{Now: 60_000, Bound: 64 << 20},
			Tombstones: control.Gauge{Now: 2, Bound: 8192}, Fragments: 1, FragmentPackets: control.Gauge{Now: 1, Bound: 2048},
		},
		Flows:    control.FlowsHealth{Gauge: control.Gauge{Now: 6, Bound: 1_000_000}, HalfOpen: 1, Created: 74, Expired: 60, Ended: 8},
		Bindings: control.BindingsHealth{Gauge: control.Gauge{Now: 14, Bound: 65536}, Moved: 1},
		Memory:   control.MemoryHealth{Heap: 31_000_000, Resident: 88_000_000, Goroutines: 23},
		Events:   control.EventsHealth{Followers: 2},
	}
	f.recent.Skipped = 40
	f.explain = control.Explanation{
		Tenant: "context ID 0x64 is tenant acme", Claim: "context_ids 100", Action: "drop", Reason: "tenant_default",
		Live: &control.Live{State: "original", Begins: true},
		Rules: []control.RuleStep{
			{Rule: "acme/web", File: "/etc/sttwall/rules.hcl", Line: 22, Condition: "source", Want: `["10.1.0.0/29"]`, Got: "10.1.0.7"},
			{Rule: "acme/dns", File: "/etc/sttwall/rules.hcl", Line: 31, Condition: "services", Want: `["udp/53"]`, Got: "tcp/443 from port 40000, flags syn"},
		},
		Default: "default_action of the tenant: drop",
	}
	f.remedy = control.Remedy{
		Text:  "rule \"allow-10-1-0-7\" {\n  action      = \"accept\"\n  source      = [\"10.1.0.7\"]\n  destination = [\"10.1.0.10\"]\n  services    = [\"tcp/443\"]\n}\n",
		Place: "at the end of tenant \"acme\", /etc/sttwall/rules.hcl:44", Why: "accepts TCP from 10.1.0.7 to port 443 of 10.1.0.10, and its replies", Tried: true,
	}
	f.drops[1].Reason = "l4_offset_mismatch"
	f.drop("drop", "tenant_default", "acme", "", "10.1.0.7:40000", "10.1.0.10:443", 100, 0x0e, 34)
	f.drop("audit", "tenant_default", "initech", "", "10.9.0.4:33333", "10.9.0.5:8080", 0x300, 0x0e, 34)
	f.drop("drop", "l4_offset_mismatch", "globex", "", "10.1.0.8:50000", "10.1.0.10:22", 0x1000, 0x0e, 54)
	f.drop("reject", "rule_reject", "acme", "acme/no-telnet", "10.1.0.9:40001", "10.1.0.10:23", 100, 0x0e, 34)
	return f
}

// drop adds a dropped TCP SYN.
func (f *fake) drop(verdict, why, tenant, rule, src, dst string, context uint64, flags, l4 byte) {
	s, d := netip.MustParseAddrPort(src), netip.MustParseAddrPort(dst)
	sport, dport := s.Port(), d.Port()
	id := control.ContextID(context)
	n := uint64(len(f.recent.Frames) + 1)
	data, err := hex.DecodeString(strings.ReplaceAll("020000000002 020000000001 0800 4500 0028 0001 0000 40 06 0000 00000000 00000000"+
		"0000 0000 00000001 00000000 5002 ffff 0000 0000", " ", ""))
	if err != nil {
		panic(err)
	}
	copy(data[26:], s.Addr().AsSlice())
	copy(data[30:], d.Addr().AsSlice())
	binary.BigEndian.PutUint16(data[24:], ^sum(0, data[14:34]))
	binary.BigEndian.PutUint16(data[34:], sport)
	binary.BigEndian.PutUint16(data[36:], dport)
	binary.BigEndian.PutUint16(data[50:], sum(6+20, data[26:34]))
	frame := control.Frame{
		Seq: n, Verdict: verdict, State: "new", FrameID: uint32(0x4000 + n), SrcPort: 50111, Segments: 1,
		Header: stt.AppendFrameHeader(nil, &stt.FrameHeader{Flags: flags, L4Offset: l4, ContextID: context}), Data: data, InnerBytes: len(data),
		Event: control.Event{
			Type: control.EventDrop, Time: fakeNow.Add(time.Duration(n-10) * time.Second), Tenant: tenant, Rule: rule, Reason: why,
			From: netip.MustParseAddr("192.0.2.10"), To: netip.MustParseAddr("192.0.2.20"), Context: &id, Bytes: len(data) + 18, EtherType: "0x0800",
			Inner: control.Inner{Protocol: "tcp", Src: s.Addr(), SrcPort: &sport, Dst: d.Addr(), DstPort: &dport},
		},
	}
	if verdict == "audit" {
		frame.WouldBe = "drop"
	}
	f.recent.Frames = append(f.recent.Frames, frame)
}

func sum(start uint32, b []byte) uint16 {
	for i := 0; i < len(b); i += 2 {
		start += uint32(b[i])<<8 | uint32(b[i+1])
	}
	for start > 0xffff {
		start = start>>16 + start&0xffff
	}
	return uint16(start)
}

// more lets a second pass in which there was more of everything.
func (d *driver) more() {
	for i := range d.fake.tenants {
		t := &d.fake.tenants[i]
		t.Frames += uint64(100 * (i + 1))
		t.Bytes += uint64(150_000 * (1 + i%2*4))
	}
	d.fake.drops[0].Count += 30
	d.fake.drops[1].Count += 2
	last := d.fake.history.Samples[len(d.fake.history.Samples)-1]
	last.Time = last.Time.Add(time.Second)
	d.fake.history.Samples = append(d.fake.history.Samples[1:], last)
	d.tick()
}

// fits fails if the visible screen is larger than its room, or sends anything to the
// terminal besides text and colours.
func (d *driver) fits() {
	d.t.Helper()
	text := d.top().View(d.env.width, d.env.height)
	lines := strings.Split(text, "\n")
	if len(lines) > d.env.height {
		d.t.Errorf("%d lines in %dx%d", len(lines), d.env.width, d.env.height)
	}
	for i, line := range lines {
		if n := styledWidth(line); n > d.env.width {
			d.t.Errorf("line %d has %d columns in %dx%d: %q", i, n, d.env.width, d.env.height, line)
		}
	}
	plain := sgr.ReplaceAllString(strings.ReplaceAll(text, "\n", ""), "")
	if i := strings.IndexFunc(plain, func(r rune) bool { return !unicode.IsPrint(r) && r != utf8.RuneError }); i >= 0 {
		d.t.Errorf("%q is sent to the terminal", plain[max(0, i-20):min(len(plain), i+20)])
	}
}

var sgr = regexp.MustCompile("\x1b\\[[0-9;:]*m")
