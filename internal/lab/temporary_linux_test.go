package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sttwall/firewall"
	"sttwall/inspect"
	"sttwall/policy"
	"sttwall/reason"
	"sttwall/temporary"
)

// temporaryRules are those of the lab's firewall.
func (l *Lab) temporaryRules(t *testing.T) *temporary.List {
	t.Helper()
	list, err := temporary.Open(temporary.Config{Policy: l.firewall.Shared().Policy()})
	if err != nil {
		t.Fatal(err)
	}
	list.Start(l.firewall)
	return list
}

func setTemporary(t *testing.T, list *temporary.List, r temporary.Request) (name string, ended int) {
	t.Helper()
	s, ended, err := list.Add(r)
	if err != nil {
		t.Fatal(err)
	}
	return s.Name, ended
}

func isSYN(e *firewall.FrameEvent) bool {
	return e.Inner.HasTCP && e.Inner.TCPFlags&(inspect.SYN|inspect.ACK) == inspect.SYN
}

func TestABlockEndsARealConnectionAndIsGoneAfterItsTime(t *testing.T) {
	if !Inside(t) {
		return
	}
	l := policyLab(t)
	ctx := bounded(t)
	list := l.temporaryRules(t)
	web := flow{place: AcmeA, network: "tcp", to: netip.AddrPortFrom(InnerB, portWeb)}
	connect := func() net.Conn {
		t.Helper()
		c, err := l.dial(ctx, web)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		deadline, _ := ctx.Deadline()
		if err := c.SetDeadline(deadline); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
		return c
	}
	pattern := fmt.Sprintf("tenant:acme tcp any > %s:%d", InnerB, portWeb)

	// One that runs, and hears no more.
	running := connect()
	block, ended := setTemporary(t, list, temporary.Request{Pattern: pattern, For: time.Hour})
	if ended != 1 {
		t.Errorf("%d flows ended, want the running one", ended)
	}
	if _, err := running.Write([]byte("anybody?")); err != nil {
		t.Fatal(err)
	}
	by := func(name string) func(e *firewall.FrameEvent) bool {
		return func(e *firewall.FrameEvent) bool {
			return e.Verdict == firewall.Drop && e.Decision.Rule == policy.TemporaryPrefix+name && e.Reason == reason.RuleDrop
		}
	}
	if _, err := l.WaitEvent(ctx, "the running connection's next words", by(block)); err != nil {
		t.Error(err)
	}

	// A new one does not come about, until the block is taken away.
	dialed := make(chan error, 1)
	go func() { dialed <- l.exchange(ctx, web, []byte("now?")) }()
	if _, err := l.WaitEvent(ctx, "a SYN while it is blocked", func(e *firewall.FrameEvent) bool { return isSYN(e) && by(block)(e) }); err != nil {
		t.Error(err)
	}
	if _, _, err := list.Remove(block); err != nil {
		t.Fatal(err)
	}
	if err := <-dialed; err != nil {
		t.Errorf("after unblock: %v", err)
	}

	// One that is told.
	running = connect()
	if _, ended = setTemporary(t, list, temporary.Request{Action: policy.Reject, Name: "reject", Pattern: pattern, For: time.Hour}); ended < 1 {
		t.Errorf("%d flows ended", ended)
	}
	if _, err := running.Write([]byte("anybody?")); err != nil {
		t.Fatal(err)
	}
	if _, err := running.Read(make([]byte, 8)); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("a rejected connection: %v, want a reset", err)
	}

	// And nobody needs to do anything for it to be gone: the kernel's next SYN
	// passes.
	setTemporary(t, list, temporary.Request{Name: "short", Pattern: pattern, For: time.Second})
	if _, _, err := list.Remove("reject"); err != nil {
		t.Fatal(err)
	}
	if err := l.exchange(ctx, web, []byte("and now?")); err != nil {
		t.Errorf("after its time: %v", err)
	}
	if left := list.Rules(); len(left) != 0 {
		t.Errorf("a connection comes about while there is %+v", left)
	}
}

func TestARealConnectionEndsWithTheAllowThatItNeeds(t *testing.T) {
	if !Inside(t) {
		return
	}
	l := policyLab(t)
	ctx := bounded(t)
	list := l.temporaryRules(t)
	telnet := flow{place: AcmeA, network: "tcp", to: netip.AddrPortFrom(InnerB, portTelnet)}
	if _, err := l.dial(ctx, telnet); !errors.Is(err, unix.ECONNREFUSED) {
		t.Fatalf("before it is allowed: %v", err)
	}
	pattern := fmt.Sprintf("tenant:acme tcp any > %s:%d", InnerB, portTelnet)
	setTemporary(t, list, temporary.Request{Action: policy.Accept, Name: "long", Pattern: pattern, For: time.Hour})
	c, err := l.dial(ctx, telnet)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	deadline, _ := ctx.Deadline()
	// The kernel says a word each second, so that nobody here needs to.
	if err := errors.Join(c.SetDeadline(deadline), c.(*net.TCPConn).SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: time.Second, Interval: time.Second})); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	setTemporary(t, list, temporary.Request{Action: policy.Accept, Name: "short", Pattern: pattern, For: time.Second})
	if _, ended, err := list.Remove("long"); err != nil || ended > 1 {
		t.Fatalf("%d flows ended: %v", ended, err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("when the allow has expired: %v, want a reset", err)
	}
	if left := list.Rules(); len(left) != 0 {
		t.Errorf("it ends while there is %+v", left)
	}
}
