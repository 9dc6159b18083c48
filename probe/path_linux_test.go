package probe

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"sttwall/endpoint"
	"sttwall/internal/lab"
)

func TestMain(m *testing.M) {
	lab.MaybeChild(lab.Programs{})
	os.Exit(m.Run())
}

const probeContext = 0xfffe

// patient is long enough for an answer that comes to have come on a busy machine; it is
// waited for in full only where something is lost.
const patient = time.Minute

// newPath is a lab in which endpoint B answers.
func newPath(t *testing.T, c lab.Config) *lab.Lab {
	t.Helper()
	c.Without |= lab.Endpoints
	l, err := lab.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	local, remote := lab.OuterB, lab.OuterA
	if c.OuterIPv6 {
		local, remote = lab.OuterB6, lab.OuterA6
	}
	remotes := []endpoint.Remote{{Addr: remote}}
	service, err := ServiceOf(probeContext, remotes)
	if err != nil {
		t.Fatal(err)
	}
	var e *endpoint.Endpoint
	if err := l.Do(lab.EndpointB, func() (err error) {
		e, err = endpoint.New(endpoint.Config{
			Underlay: lab.Underlay, Local: local, Remotes: remotes, Services: []endpoint.Service{service}, Segmentation: c.Segmentation,
		})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the answering endpoint: %v", err)
		}
	})
	<-e.Ready()
	return l
}

// ask asks from endpoint A.
func ask(t *testing.T, l *lab.Lab, change func(*Host, *Config)) *Report {
	t.Helper()
	h := Host{Underlay: lab.Underlay, Local: lab.OuterA, Segmentation: endpoint.SegmentMTU}
	c := Config{Remote: lab.OuterB, ContextID: probeContext, Count: 60, Interval: LeastInterval, Timeout: patient}
	if change != nil {
		change(&h, &c)
	}
	awaitNextHop(t, l, c.Remote)
	var r *Report
	if err := l.Do(lab.EndpointA, func() (err error) {
		r, err = Ask(t.Context(), h, c)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := r.Write(&text); err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%s", &text)
	return r
}

// awaitNextHop waits until the kernel of endpoint A knows its next hop: for that Ask waits no
// longer than for some answers.
func awaitNextHop(t *testing.T, l *lab.Lab, remote netip.Addr) {
	t.Helper()
	known := func() (is bool, err error) {
		c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(remote, 9)))
		if err != nil {
			return false, err
		}
		defer c.Close()
		c.Write(nil) // it may be refused: what counts is that the kernel looks for the next hop
		link, err := netlink.LinkByName(lab.Underlay)
		if err != nil {
			return false, err
		}
		list, err := netlink.NeighList(link.Attrs().Index, netlink.FAMILY_ALL)
		if errors.Is(err, netlink.ErrDumpInterrupted) {
			err = nil
		}
		return slices.ContainsFunc(list, func(n netlink.Neigh) bool {
			const usable = netlink.NUD_REACHABLE | netlink.NUD_STALE | netlink.NUD_DELAY | netlink.NUD_PROBE
			return n.State&usable != 0 && !n.IP.IsLinkLocalUnicast() && (n.IP.To4() != nil) == remote.Is4()
		}), err
	}
	for end := time.Now().Add(patient); ; time.Sleep(time.Millisecond) {
		var is bool
		if err := l.Do(lab.EndpointA, func() (err error) {
			is, err = known()
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if is {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("no next hop to %v", remote)
		}
	}
}

// impair puts rules into the router, before it routes.
func impair(t *testing.T, l *lab.Lab, rules ...[]expr.Any) {
	t.Helper()
	if err := l.Do(lab.Firewall, func() error {
		conn, err := nftables.New()
		if err != nil {
			return err
		}
		table := conn.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: "impairments"})
		chain := conn.AddChain(&nftables.Chain{
			Name: "prerouting", Table: table, Type: nftables.ChainTypeFilter,
			Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityRef(-350),
		})
		for _, r := range rules {
			conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: r})
		}
		return conn.Flush()
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // the router's namespace is that of the whole test
		if err := l.Do(lab.Firewall, func() error {
			conn, err := nftables.New()
			if err != nil {
				return err
			}
			conn.DelTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: "impairments"})
			return conn.Flush()
		}); err != nil {
			t.Error(err)
		}
	})
}

// from matches STT that comes in on one of the router's interfaces.
func from(iface string) []expr.Any {
	name := make([]byte, unix.IFNAMSIZ)
	copy(name, iface)
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: name},
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_TCP}},
	}
}

func drop() expr.Any { return &expr.Verdict{Kind: expr.VerdictDrop} }

// set writes bytes of a header of IPv4, or of TCP behind it, and mends its checksum.
func set(base expr.PayloadBase, at uint32, checksumAt uint32, value ...byte) []expr.Any {
	return []expr.Any{
		&expr.Immediate{Register: 1, Data: value},
		&expr.Payload{
			OperationType: expr.PayloadWrite, SourceRegister: 1, Base: base, Offset: at, Len: uint32(len(value)),
			CsumType: expr.CsumTypeInet, CsumOffset: checksumAt,
		},
	}
}

func fields(r *Report, d Direction) (list []string) {
	for _, c := range r.Changes {
		if c.Direction == d {
			list = append(list, c.Field)
		}
	}
	slices.Sort(list)
	return list
}

func wantFine(t *testing.T, r *Report) {
	t.Helper()
	if !r.Answered || len(r.Findings) != 0 {
		t.Errorf("answered %v, findings %q; want none", r.Answered, r.Findings)
	}
}

func TestACleanPathIsFoundFine(t *testing.T) {
	if !lab.Inside(t) {
		return
	}
	for _, test := range []struct {
		name   string
		lab    lab.Config
		change func(*Host, *Config)
	}{
		{name: "in segments", lab: lab.Config{Segmentation: endpoint.SegmentMTU}},
		{name: "in GSO packets", change: func(h *Host, _ *Config) { h.Segmentation = endpoint.SegmentGSO }},
		{name: "over IPv6", lab: lab.Config{OuterIPv6: true, Segmentation: endpoint.SegmentMTU}, change: func(h *Host, c *Config) { h.Local, c.Remote = lab.OuterA6, lab.OuterB6 }},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.lab.Without = lab.Inspection
			l := newPath(t, test.lab)
			r := ask(t, l, test.change)
			wantFine(t, r)
			if r.MTUForward != 1500 || r.MTUBack != 1500 || r.PathMTU != 1500 {
				t.Errorf("got MTU %d forward, %d back of %d, want 1500", r.MTUForward, r.MTUBack, r.PathMTU)
			}
			last := r.Frames[len(r.Frames)-1]
			if last.Length != mostFrame || last.Back != last.Tried {
				t.Errorf("got as longest frame %+v, want all of %d bytes to come back", last, mostFrame)
			}
			if r.Forward.Sent != 61 || r.Forward.Received != 61 || r.Back.Received != 61 || r.Forward.Reordered+r.Back.Reordered != 0 {
				t.Errorf("got %+v forward, %+v back, want 61 of 61 in order", r.Forward, r.Back)
			}
			if r.Forward.Hops != 1 || r.Back.Hops != 1 {
				t.Errorf("got %d hops forward, %d back, want 1", r.Forward.Hops, r.Back.Hops)
			}
			if r.RTT.Min <= 0 || r.RTT.Min > r.RTT.Median || r.RTT.Median > r.RTT.Max {
				t.Errorf("round trips do not rise: %+v", r.RTT)
			}
			for _, c := range r.Changes {
				if c.Field != FieldSegmentation {
					t.Errorf("%+v: the path changes nothing", c)
				}
			}
		})
	}
}

func TestLossIsCountedInItsDirection(t *testing.T) {
	if !lab.Inside(t) {
		return
	}
	every := func(n uint32, iface string) []expr.Any {
		return append(from(iface),
			&expr.Numgen{Register: 1, Modulus: n, Type: unix.NFT_NG_INCREMENTAL},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{0, 0, 0, 0}},
			drop())
	}
	for _, test := range []struct {
		name, iface   string
		forward, back bool
	}{
		{"forward", lab.UnderlayA, true, false},
		{"back", lab.UnderlayB, false, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := newPath(t, lab.Config{Without: lab.Inspection, Segmentation: endpoint.SegmentMTU})
			impair(t, l, every(7, test.iface))
			r := ask(t, l, func(_ *Host, c *Config) { c.Timeout = 500 * time.Millisecond })
			if got := r.Forward.Lost > 0; got != test.forward {
				t.Errorf("forward: got %d of %d lost", r.Forward.Lost, r.Forward.Sent)
			}
			if got := r.Back.Lost > 0; got != test.back {
				t.Errorf("back: got %d of %d lost", r.Back.Lost, r.Back.Sent)
			}
			if len(r.Findings) == 0 {
				t.Error("no finding")
			}
		})
	}
}

func TestAHoleInTheMTUIsMeasured(t *testing.T) {
	if !lab.Inside(t) {
		return
	}
	const narrow = 1444
	longer := func(iface string) []expr.Any {
		return append(from(iface),
			&expr.Meta{Key: expr.MetaKeyLEN, Register: 1},
			&expr.Byteorder{SourceRegister: 1, DestRegister: 1, Op: expr.ByteorderHton, Len: 4, Size: 4},
			&expr.Cmp{Op: expr.CmpOpGt, Register: 1, Data: []byte{0, 0, narrow >> 8, narrow & 0xff}},
			drop())
	}
	for _, test := range []struct {
		name          string
		make          func(t *testing.T, l *lab.Lab)
		forward, back int
	}{
		{"of a link in the middle", func(t *testing.T, l *lab.Lab) {
			if err := l.SetUnderlay(lab.UnderlayB, narrow, true); err != nil {
				t.Fatal(err)
			}
		}, narrow, narrow},
		{"of the way back alone", func(t *testing.T, l *lab.Lab) { impair(t, l, longer(lab.UnderlayB)) }, 1500, narrow},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := newPath(t, lab.Config{Without: lab.Inspection, Segmentation: endpoint.SegmentMTU})
			test.make(t, l)
			r := ask(t, l, func(_ *Host, c *Config) { c.Timeout = 3 * time.Second })
			if r.MTUForward != test.forward || r.MTUBack != test.back {
				t.Errorf("got %d forward, %d back, want %d and %d", r.MTUForward, r.MTUBack, test.forward, test.back)
			}
			if len(r.Findings) == 0 || !strings.Contains(strings.Join(r.Findings, "\n"), "at most 1444 bytes pass with DF") {
				t.Errorf("got findings %q", r.Findings)
			}
			if r.Forward.Lost+r.Back.Lost != 0 {
				t.Errorf("frames that fit count as lost: %+v, %+v", r.Forward, r.Back)
			}
		})
	}
}

func TestWhatARouterRewritesIsNamed(t *testing.T) {
	if !lab.Inside(t) {
		return
	}
	const ip, tcp = expr.PayloadBaseNetworkHeader, expr.PayloadBaseTransportHeader
	for _, test := range []struct {
		name string
		set  []expr.Any
		want string
		hurt bool
	}{
		{"the TTL", set(ip, 8, 10, 255, 6), FieldTTL, false},
		{"DSCP", set(ip, 0, 10, 0x45, 46<<2), FieldDSCP, false},
		{"DF", set(ip, 6, 10, 0, 0), FieldDF, true},
		{"the source port", set(tcp, 0, 16, 0x12, 0x34), FieldSourcePort, true},
		{"the sequence number", set(tcp, 4, 16, 0xaa, 0xbb, 0xcc, 0xdd), FieldTCPSequence, true},
		{"the frame ID", set(tcp, 8, 16, 1, 2, 3, 4), FieldFrameID, false},
		{"TCP flags", set(tcp, 12, 16, 0x50, 0x58), FieldTCPFlags, true},
		{"the TCP window", set(tcp, 14, 16, 0x10, 0x00), FieldTCPWindow, false},
		{"the urgent pointer", set(tcp, 18, 16, 0, 9), FieldTCPUrgent, false},
		{"reserved bits", set(tcp, 12, 16, 0x52, 0x10), FieldTCPReserved, false},
		{"the MSS of the frame header", set(tcp, 24, 16, 5, 0), FieldFrameHeader, true},
		{"the tag of the frame header", set(tcp, 26, 16, 0x10, 7), FieldTCI, true},
		{"a byte of the inner IP header", set(tcp, 20+18+14+8, 16, 1, 17), FieldInner, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := newPath(t, lab.Config{Without: lab.Inspection, Segmentation: endpoint.SegmentMTU})
			// Small packets alone, which hold a whole frame.
			small := append(from(lab.UnderlayA),
				&expr.Meta{Key: expr.MetaKeyLEN, Register: 1},
				&expr.Byteorder{SourceRegister: 1, DestRegister: 1, Op: expr.ByteorderHton, Len: 4, Size: 4},
				&expr.Cmp{Op: expr.CmpOpLt, Register: 1, Data: []byte{0, 0, 1, 0}})
			impair(t, l, append(small, test.set...))
			r := ask(t, l, nil)
			i := slices.IndexFunc(r.Changes, func(c Change) bool { return c.Field == test.want && c.Direction == Forward })
			if i < 0 || r.Changes[i].Frames == 0 || r.Changes[i].Hurts != test.hurt {
				t.Fatalf("got %v, want %s", r.Changes, test.want)
			}
			if got := len(r.Findings) > 0; got != test.hurt {
				t.Errorf("got findings %q, want some: %v", r.Findings, test.hurt)
			}
			if back := fields(r, Back); len(back) != 0 {
				t.Errorf("back: %v, where nothing is changed", back)
			}
		})
	}
}

func TestAWrongChecksumIsLossWithAReason(t *testing.T) {
	if !lab.Inside(t) {
		return
	}
	l := newPath(t, lab.Config{Without: lab.Inspection, Segmentation: endpoint.SegmentMTU})
	impair(t, l, append(append(from(lab.UnderlayA),
		&expr.Numgen{Register: 1, Modulus: 9, Type: unix.NFT_NG_INCREMENTAL},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{0, 0, 0, 0}}),
		&expr.Immediate{Register: 1, Data: []byte{0xaa, 0x55}},
		&expr.Payload{OperationType: expr.PayloadWrite, SourceRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 16, Len: 2}))
	r := ask(t, l, func(_ *Host, c *Config) { c.Timeout = 500 * time.Millisecond })
	if r.Forward.BadChecksum == 0 || r.Forward.Lost == 0 || r.Back.BadChecksum != 0 {
		t.Errorf("got %+v forward, %+v back", r.Forward, r.Back)
	}
}

func TestNobodyAnswersWhereNobodyListens(t *testing.T) {
	if !lab.Inside(t) {
		return
	}
	l := newPath(t, lab.Config{Without: lab.Inspection})
	r := ask(t, l, func(_ *Host, c *Config) { c.ContextID, c.Timeout = 7, time.Second })
	if r.Answered || len(r.Findings) != 1 || !strings.Contains(r.Findings[0], "--answer-probes 7") {
		t.Errorf("got answered %v, findings %q", r.Answered, r.Findings)
	}
}

// The rules are those of docs/probe.md.
const probeRules = `
settings {
  endpoints = ["10.47.1.1", "10.47.2.1"]
  FORWARD
}
tenant "probe" {
  context_ids = ["0xfffe"]
  rule "questions" {
    action      = "accept"
    destination = ["198.18.0.2"]
    services    = ["udp/7471"]
  }
}
`

func TestAFirewallOnTheWayIsSeen(t *testing.T) {
	if !lab.Inside(t) {
		return
	}
	for _, test := range []struct {
		name, forward string
		tci           uint16
		want          []string
	}{
		{"one that lets pass", "", 0, nil},
		{"one that re-encodes", `forward = "rebuild"`, 0, []string{FieldFrameID}},
		{"one that sets the V bit", "", 0x0007, []string{FieldVBit}},
	} {
		t.Run(test.name, func(t *testing.T) {
			rules := strings.Replace(probeRules, "FORWARD", test.forward, 1)
			l := newPath(t, lab.Config{Rules: []byte(rules), RulesName: "probe.hcl", Segmentation: endpoint.SegmentMTU})
			r := ask(t, l, func(_ *Host, c *Config) { c.TCI = test.tci })
			wantFine(t, r)
			for _, d := range []Direction{Forward, Back} {
				got := slices.DeleteFunc(fields(r, d), func(f string) bool { return f == FieldSegmentation })
				if !slices.Equal(got, test.want) {
					t.Errorf("%s: got %v, want %v", d, got, test.want)
				}
			}
		})
	}
}
