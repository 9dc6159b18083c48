package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sttwall/control"
	"sttwall/policy"
)

// asked is the control socket of a lab's firewall.
type asked struct {
	*control.Client
	rules atomic.Pointer[string] // the file that a reload reads
}

func (l *Lab) ask(t *testing.T, rules string) *asked {
	t.Helper()
	a := new(asked)
	a.rules.Store(&rules)
	path := filepath.Join(t.TempDir(), "control.sock")
	listener, err := control.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	server, err := control.NewServer(control.Config{
		Firewall: l.firewall, Elsewhere: l.Drops, Vitals: l.Vitals, Feed: &l.feed, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Reload: func() (done control.Reloaded, err error) {
			p, diagnostics := policy.Load("policy.hcl", []byte(*a.rules.Load()))
			if p == nil {
				return done, &control.Error{Code: http.StatusUnprocessableEntity, Message: "no rules", Diagnostics: diagnostics.Error()}
			}
			ended, err := l.firewall.Reload(p)
			return control.Reloaded{Tenants: len(p.Tenants()), Rules: len(p.Rules()), FlowsEnded: ended}, err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, listener) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	if a.Client, err = control.Dial(path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	return a
}

// flow returns the one flow of a tenant over TCP to a port.
func (a *asked) flow(ctx context.Context, t *testing.T, q control.FlowQuery, port uint16) control.Flow {
	t.Helper()
	page, err := a.Flows(ctx, q)
	if err != nil {
		t.Fatal(err)
	}
	page.Flows = slices.DeleteFunc(page.Flows, func(f control.Flow) bool { return f.Protocol != "tcp" || *f.DstPort != port })
	if len(page.Flows) != 1 {
		t.Fatalf("%+v: %d flows to port %d, want 1", q, len(page.Flows), port)
	}
	return page.Flows[0]
}

// follow follows events, reloads aside, until the test ends.
func follow(ctx context.Context, t *testing.T, l *Lab, fw *asked) <-chan control.Event {
	t.Helper()
	events, there := make(chan control.Event, 1<<12), make(chan struct{})
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	var first sync.Once
	go func() {
		ended <- fw.Events(ctx, "", func(e *control.Event) error {
			if e.Type == control.EventReload {
				first.Do(func() { close(there) })
			} else {
				events <- *e
			}
			return nil
		})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("events: %v", err)
		}
	})
	// Until it follows, it is told nothing.
	for again := time.NewTicker(time.Millisecond); ; {
		l.feed.Tell(&control.Event{Type: control.EventReload})
		select {
		case <-there:
			again.Stop()
			return events
		case <-ctx.Done():
			t.Fatal("nobody follows")
		case <-again.C:
		}
	}
}

func TestARealFlowIsShownAndExplainedOverTheControlSocket(t *testing.T) {
	if !Inside(t) {
		return
	}
	l := policyLab(t)
	ctx := bounded(t)
	fw := l.ask(t, fmt.Sprintf(policyRules, "accept"))
	events := follow(ctx, t, l, fw)

	for _, to := range []netip.Addr{InnerB, InnerB6} {
		c, err := l.dial(ctx, flow{place: AcmeA, network: "tcp", to: netip.AddrPortFrom(to, portWeb)})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
		here := c.LocalAddr().String()
		page, err := fw.Flows(ctx, control.FlowQuery{Tenant: "acme"})
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(page.Flows, func(f control.Flow) bool {
			return f.Protocol == "tcp" && netip.AddrPortFrom(f.Src, *f.SrcPort).String() == here
		})
		if i < 0 {
			t.Fatalf("no flow from %s among %+v", here, page.Flows)
		}
		f := page.Flows[i]
		if f.State != "established" || f.Rule != "acme/web" || f.Verdict != "accept" || f.WouldBe != "" || f.Dst != to || *f.DstPort != portWeb ||
			f.Original.Packets < 3 || f.Reply.Packets < 2 || f.Original.Bytes == 0 || f.Context != 100 || f.ReplyContext == nil || *f.ReplyContext != 100 ||
			f.From != netip.MustParseAddr("10.47.1.1") || f.To != netip.MustParseAddr("10.47.2.1") || !f.Expires.After(page.Time) {
			t.Errorf("the flow from %s: %+v", here, f)
		}
		for packet, state := range map[string]string{
			fmt.Sprintf("tcp %s > %s ack", here, c.RemoteAddr()): "original",
			fmt.Sprintf("tcp %s > %s ack", c.RemoteAddr(), here): "reply",
		} {
			x, err := fw.Explain(ctx, control.ExplainRequest{Context: 100, Packet: packet})
			if err != nil {
				t.Fatal(err)
			}
			if x.Action != "accept" || x.Rule != "acme/web" || x.Live.State != state || !x.Live.Belongs || x.Live.Flow == nil || x.Live.Flow.State != "established" {
				t.Errorf("%s: %+v %+v", packet, x, x.Live)
			}
		}
	}

	// In audit mode: what would be dropped passes, and is shown so.
	if err := l.exchange(ctx, flow{place: GlobexA, network: "tcp", to: netip.AddrPortFrom(InnerB, portWeb)}, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if f := fw.flow(ctx, t, control.FlowQuery{Audit: true}, portWeb); f.Tenant != "globex" || f.WouldBe != "drop" || f.Reason != "tenant_default" || f.Verdict != "accept" {
		t.Errorf("in audit mode: %+v", f)
	}
	tenants, err := fw.Tenants(ctx)
	if err != nil || len(tenants) != 2 || tenants[0].FlowsNow < 2 || tenants[1].Audited == 0 || tenants[1].Last == nil {
		t.Errorf("%+v, %v", tenants, err)
	}
	rules, err := fw.Rules(ctx)
	if err != nil || len(rules) != 4 || rules[1].Rule != "acme/web" || rules[1].Flows != 2 || rules[1].First == nil || rules[2].UnusedSince == nil {
		t.Errorf("%+v, %v", rules, err)
	}

	// What a rule rejects.
	if c, err := l.dial(ctx, flow{place: AcmeA, network: "tcp", to: netip.AddrPortFrom(InnerB, portTelnet)}); err == nil {
		c.Close()
		t.Error("what is rejected is connected")
	}
	wanted := map[string]string{control.EventFlow: "acme/web", control.EventWouldDrop: "", control.EventReject: "acme/refused"}
	for len(wanted) > 0 {
		select {
		case e := <-events:
			if rule, want := wanted[e.Type]; want && e.Rule == rule && e.Protocol == "tcp" {
				delete(wanted, e.Type)
			}
		case <-ctx.Done():
			t.Fatalf("no event %v", wanted)
		}
	}
}

func TestTheControlSocketReloadsWhileTrafficRuns(t *testing.T) {
	if !Inside(t) {
		return
	}
	l := policyLab(t)
	ctx := bounded(t)
	accepts, denies := fmt.Sprintf(policyRules, "accept"), fmt.Sprintf(policyRules, "drop")
	fw := l.ask(t, accepts)
	web, err := l.dial(ctx, flow{place: AcmeA, network: "tcp", to: netip.AddrPortFrom(InnerB, portWeb)})
	if err != nil {
		t.Fatal(err)
	}
	defer web.Close()
	transferred := make(chan error, 1)
	go func() {
		_, err := l.transfer(ctx, flow{place: AcmeA, network: "tcp", to: netip.AddrPortFrom(InnerB, portBulk)}, download, 50<<20)
		transferred <- err
	}()
	for i := range 20 {
		done, err := fw.Reload(ctx)
		if err != nil || done.FlowsEnded != 0 || done.Tenants != 2 || done.Rules != 4 {
			t.Fatalf("reload %d: %+v, %v", i, done, err)
		}
		broken := accepts + "tenant {"
		fw.rules.Store(&broken)
		if _, err := fw.Reload(ctx); err == nil || !strings.Contains(err.Error(), "no rules") {
			t.Fatalf("a broken file: %v", err)
		}
		fw.rules.Store(&accepts)
		if _, err := fw.Flows(ctx, control.FlowQuery{}); err != nil {
			t.Fatal(err)
		}
	}
	here := web.LocalAddr().String()
	denies = strings.Replace(denies, `rule "echo"`, `rule "echo-2"`, 1)
	fw.rules.Store(&denies)
	if done, err := fw.Reload(ctx); err != nil || done.FlowsEnded != 1 {
		t.Errorf("the rules that deny a flow: %+v, %v", done, err)
	}
	x, err := fw.Explain(ctx, control.ExplainRequest{Context: 100, Packet: fmt.Sprintf("tcp %s > %s syn", here, web.RemoteAddr())})
	if err != nil || x.Action != "drop" || x.Rule != "acme/web" || x.Live.Flow != nil {
		t.Errorf("a flow that has ended: %+v, %v", x, err)
	}
	rules, err := fw.Rules(ctx)
	if err != nil || len(rules) != 4 || rules[0].Rule != "acme/refused" || rules[3].Rule != "acme/echo-2" ||
		!rules[3].UnusedSince.After(*rules[0].UnusedSince) {
		t.Errorf("%+v, %v", rules, err)
	}
	if err := <-transferred; err != nil {
		t.Error("the transfer:", err)
	}
}
