package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"sttwall/firewall"
	"sttwall/nfq"
	"sttwall/stt"
)

var number = regexp.MustCompile(`[0-9]+`)

// scenarioAt runs the demo's scenario and returns its table, with N for the numbers of
// what happened: lengths of logs, rates and the like.
func scenarioAt(t *testing.T, o Options) []Row {
	t.Helper()
	var out, stderr bytes.Buffer
	o.JSON, o.Bulk, o.Stderr = true, 1_000_000, &stderr
	ok, err := RunDemo(t.Context(), o, &out)
	if errors.Is(err, ErrUnavailable) {
		unavailable(t, err)
	}
	if err != nil || !ok || stderr.Len() > 0 {
		t.Fatalf("%s: got %v, %v\n%s%s", o.Position, ok, err, &out, &stderr)
	}
	var table []Row
	for decoder := json.NewDecoder(&out); ; {
		var r Row
		if err := decoder.Decode(&r); errors.Is(err, io.EOF) {
			return table
		} else if err != nil {
			t.Fatal(err)
		}
		r.Place, r.Happened = "", number.ReplaceAllString(r.Happened, "N")
		table = append(table, r)
	}
}

// outcomes are the lines about packets: what those after them say of time and of states
// of connections differs from run to run.
func outcomes(table []Row) []Row { return table[:len(stackSteps())+len(craftedSteps())] }

func TestTheTableOfResultsIsTheSameInEveryPlace(t *testing.T) {
	want := scenarioAt(t, Options{})
	if len(want) != len(plan(Options{})) {
		t.Fatalf("%d lines, and %d were planned", len(want), len(plan(Options{})))
	}
	for _, p := range Positions()[1:] {
		t.Run(p.String(), func(t *testing.T) {
			if p == VRF && noVRF(t) {
				return
			}
			got := scenarioAt(t, Options{Position: p})
			if len(got) != len(want) {
				t.Fatalf("%d lines, want %d", len(got), len(want))
			}
			for i := range got {
				if got[i].What != want[i].What || got[i].Expected != want[i].Expected || !got[i].OK {
					t.Errorf("line %d: got %+v, want %+v", i+1, got[i], want[i])
				}
			}
			if diff := cmp.Diff(outcomes(want), outcomes(got)); diff != "" {
				t.Errorf("routed (-), %s (+):\n%s", p, diff)
			}
		})
	}
}

// noVRF reports whether the demo says that this kernel has no VRF, which then must be
// true.
func noVRF(t *testing.T) bool {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	_, err := RunDemo(ctx, Options{Position: VRF, Stderr: io.Discard}, stopper{stop})
	if err == nil || !strings.Contains(err.Error(), "CONFIG_NET_VRF") {
		return false
	}
	t.Log(err)
	if ns, err := newNamespace("vrf"); err == nil { // an ordinary user cannot look
		defer ns.close()
		if ns.do(addVRF) == nil {
			t.Errorf("there is VRF here")
		}
	}
	return true
}

// stopper stops the demo when its first line is there.
type stopper struct{ stop func() }

func (s stopper) Write(b []byte) (int, error) {
	s.stop()
	return len(b), nil
}

// The table of results would be the same if the packets met the firewall elsewhere.
func TestInPositionOutputTheQueueIsInOutputAlone(t *testing.T) {
	if !Inside(t) {
		return
	}
	l := newLab(t, Config{Position: Output})
	if got := hooksOfTable(t, l); len(got) != 1 || !got[*nftables.ChainHookOutput] {
		t.Errorf("the table has chains in the hooks %v", got)
	}
}

// hooksOfTable returns the hooks in which the firewall's table has chains.
func hooksOfTable(t *testing.T, l *Lab) map[nftables.ChainHook]bool {
	t.Helper()
	hooks := map[nftables.ChainHook]bool{}
	if err := l.Do(Firewall, func() error {
		conn, err := nftables.New()
		if err != nil {
			return err
		}
		chains, err := conn.ListChains()
		if err != nil {
			return err
		}
		for _, c := range chains {
			if c.Table.Name == nfq.TableName && c.Hooknum != nil {
				hooks[*c.Hooknum] = true
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return hooks
}

// What the scenario tries comes to the host. This is about what the host sends.
func TestInPositionHostWhatComesAndWhatIsSentIsInspected(t *testing.T) {
	if !Inside(t) {
		return
	}
	l := newLab(t, Config{Position: Host})
	if got := hooksOfTable(t, l); len(got) != 2 || !got[*nftables.ChainHookPrerouting] || !got[*nftables.ChainHookOutput] {
		t.Errorf("the table has chains in the hooks %v", got)
	}
	ctx := bounded(t)
	sent, err := l.Capture(EndpointA, Underlay)
	if err != nil {
		t.Fatal(err)
	}
	defer sent.Close()
	for _, test := range []struct {
		port    uint16
		verdict firewall.Action
		rule    string
	}{{portSyslog, firewall.Drop, "acme/no-syslog"}, {portSink, firewall.Accept, "acme/sink"}} {
		marker := fmt.Appendf(nil, "to port %d", test.port)
		if err := l.sendUDP(ctx, flow{place: AcmeB, to: netip.AddrPortFrom(InnerA, test.port)}, marker); err != nil {
			t.Fatal(err)
		}
		e, err := l.WaitEvent(ctx, "the frame", marked(marker).event)
		if err != nil {
			t.Fatal(err)
		}
		if e.Verdict != test.verdict || e.Decision.Rule != test.rule || e.Src != OuterB {
			t.Errorf("to port %d: %s, from %s", test.port, verdictOf(&e), e.Src)
		}
	}
	if _, err := sent.WaitFor(ctx, "what a rule accepts", []byte("to port 7002")); err != nil {
		t.Fatal(err)
	}
	if err := sent.Complete(); err != nil {
		t.Fatal(err)
	}
	if sent.Contains([]byte("to port 7001")) {
		t.Error("what a rule drops has left the host")
	}
}

// An answer to what the host sends goes to the host itself, and comes in on lo.
func TestInPositionHostARejectReachesTheTenantThatTheHostSentFor(t *testing.T) {
	if !Inside(t) {
		return
	}
	const rules = `settings {
  endpoints = ["10.47.1.1", "10.47.2.1", "fd47:1::1", "fd47:2::1"]
}
tenant "acme" {
  context_ids    = [100]
  default_action = "drop"
  rule "arp" {
    action   = "accept"
    services = ["arp"]
  }
  rule "no-telnet" {
    action   = "reject"
    services = ["tcp/8023"]
  }
}
`
	for _, outer6 := range []bool{false, true} {
		t.Run(fmt.Sprintf("over IPv6: %v", outer6), func(t *testing.T) {
			l := newLab(t, Config{Position: Host, Rules: []byte(rules), RulesName: "reject.hcl", OuterIPv6: outer6})
			for _, test := range []struct {
				from Place
				to   netip.Addr
			}{{AcmeA, InnerB}, {AcmeB, InnerA}} {
				c, err := l.dial(bounded(t), flow{place: test.from, network: "tcp", to: netip.AddrPortFrom(test.to, portTelnet)})
				if !errors.Is(err, unix.ECONNREFUSED) {
					t.Errorf("from %s: got %v, want a reset", test.from, err)
				}
				if err == nil {
					c.Close()
				}
			}
		})
	}
}

// All that is at the far side must be in this capture, or a leak could pass unseen.
func TestArrivalsAtTheHostAreWholePackets(t *testing.T) {
	if !Inside(t) {
		return
	}
	l := newLab(t, Config{Position: Host, Without: Endpoints | Inspection})
	got, err := l.Arrivals()
	if err != nil {
		t.Fatal(err)
	}
	defer got.Close()
	// An IPv6 address is the host's some time after its link is up, and nothing tells of it.
	path6 := stt.Path{Src: OuterA6, Dst: OuterB6, SrcPort: 40000, DstPort: stt.Port, TTL: 64}
	ready := []byte("an address that is there")
	ctx, tick := bounded(t), time.NewTicker(lookAgain)
	defer tick.Stop()
	for !got.Contains(ready) {
		if err := l.Inject(EndpointA, stt.AppendSegment(nil, &path6, &stt.Piece{FrameID: 1, FrameLength: len(ready), Payload: ready}), Offload{}); err != nil {
			t.Fatal(err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s is not there", OuterB6)
		}
	}
	for _, test := range []struct {
		src, dst netip.Addr
		size     int // of the frame; what is above one packet comes as a GSO packet
	}{{OuterA, OuterB, 1000}, {OuterA6, OuterB6, 1000}, {OuterA, OuterB, 40000}, {OuterA6, OuterB6, 40000}} {
		frame := bytes.Repeat([]byte{0x5a}, test.size)
		path := stt.Path{Src: test.src, Dst: test.dst, SrcPort: 40000, DstPort: stt.Port, TTL: 63, TOS: 0xb9, DontFragment: true}
		piece := stt.Piece{FrameID: uint32(test.size), FrameLength: test.size, Payload: frame}
		want := stt.AppendSegment(nil, &path, &piece)
		piece.Checksum = stt.ChecksumPartial
		o := Offload{Partial: true}
		if test.size > fullSegment {
			o.SegmentSize = 1400
		}
		if err := l.Inject(EndpointA, stt.AppendSegment(nil, &path, &piece), o); err != nil {
			t.Fatal(err)
		}
		if _, err := got.Wait(bounded(t), "the packet as it was sent", func(p Captured) bool {
			return bytes.Equal(p.Data[etherHeaderLen:], want)
		}); err != nil {
			t.Errorf("%s > %s, %d bytes: %v", test.src, test.dst, test.size, err)
		}
	}
	if err := l.sendUDP(bounded(t), flow{place: EndpointA, to: netip.AddrPortFrom(OuterB6, 4789)}, []byte("another tunnel")); err != nil {
		t.Fatal(err)
	}
	if _, err := got.WaitFor(bounded(t), "a datagram", []byte("another tunnel")); err != nil {
		t.Error(err)
	}
	if err := got.Complete(); err != nil {
		t.Error(err)
	}
	if err := got.Close(); err != nil {
		t.Error(err)
	}
	if err := got.Close(); err != nil {
		t.Errorf("a second time: %v", err)
	}
}

func TestWhatCrossesTheBridgeIsTaggedInPositionBridgeVLANAlone(t *testing.T) {
	if !Inside(t) {
		return
	}
	for p, want := range map[Position]uint16{Bridge: 0, BridgeVLAN: underlayVLAN} {
		t.Run(p.String(), func(t *testing.T) {
			l := newLab(t, Config{Position: p, Without: Endpoints})
			var port *packetSocket
			if err := l.Do(Firewall, func() (err error) {
				port, err = openSwitchPort(UnderlayA)
				return err
			}); err != nil {
				t.Fatal(err)
			}
			defer port.file.Close()
			defer context.AfterFunc(bounded(t), func() { port.file.Close() })()
			marker := []byte("a datagram from A")
			if err := l.sendUDP(bounded(t), flow{place: EndpointA, to: netip.AddrPortFrom(OuterB, 9)}, marker); err != nil {
				t.Fatal(err)
			}
			b := make([]byte, 1<<16)
			for {
				n, vlan, err := port.receiveVLAN(b)
				if err != nil {
					t.Fatal(err)
				}
				if vlan != want {
					t.Errorf("a packet in VLAN %d, want %d", vlan, want)
				}
				if bytes.Contains(b[:n], marker) {
					return
				}
			}
		})
	}
}

func TestAPlaceIsReadAsItIsWritten(t *testing.T) {
	for _, p := range Positions() {
		var got Position
		if text, err := p.MarshalText(); err != nil || got.UnmarshalText(text) != nil || got != p || fmt.Sprint(p) != string(text) {
			t.Errorf("%v: got %v from %q, %v", p, got, text, err)
		}
	}
	var p Position
	if err := p.UnmarshalText([]byte("tap")); err == nil || !strings.Contains(err.Error(), "want one of routed, output, bridge, bridge-vlan, vrf, host") {
		t.Errorf("got %v", err)
	}
}
