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

	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables"

	"sttwall/nfq"
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
	if err := l.Do(Firewall, func() error {
		conn, err := nftables.New()
		if err != nil {
			return err
		}
		chains, err := conn.ListChains()
		if err != nil {
			return err
		}
		n := 0
		for _, c := range chains {
			if c.Table.Name != nfq.TableName || c.Hooknum == nil {
				continue
			}
			n++
			if *c.Hooknum != *nftables.ChainHookOutput {
				t.Errorf("chain %s is in hook %d", c.Name, *c.Hooknum)
			}
		}
		if n == 0 {
			t.Error("the table has no chain in a hook")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
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
	if err := p.UnmarshalText([]byte("tap")); err == nil || !strings.Contains(err.Error(), "want one of routed, output, bridge, bridge-vlan, vrf") {
		t.Errorf("got %v", err)
	}
}
