package conntrack_test

import (
	"sync"
	"testing"

	"sttwall/conntrack"
	"sttwall/inspect"
	"sttwall/reason"
)

func c2s(tb testing.TB, seq, ack uint32, flags uint16, n int) *conntrack.Packet {
	return inner(tb, clientV4, serverV4, 6, tcpBytes(40000, 80, seq, ack, flags, 500, nil, n))
}

func s2c(tb testing.TB, seq, ack uint32, flags uint16, n int) *conntrack.Packet {
	return back(inner(tb, serverV4, clientV4, 6, tcpBytes(80, 40000, seq, ack, flags, 500, nil, n)))
}

const fin, syn, rst, ackF = inspect.FIN, inspect.SYN, inspect.RST, inspect.ACK

func TestHalfOpenLimitHoldsUnderWorkers(t *testing.T) {
	for range 50 {
		tab := newTable(t, conntrack.Config{MaxFlows: 100000})
		var wg sync.WaitGroup
		for w := range 8 {
			wg.Go(func() {
				for i := range 50 {
					offer(tab, 1, inner(t, clientV4, serverV4, 6, tcpBytes(uint16(1000+w*50+i), 80, 1, 0, syn, 100, nil, 0)), conntrack.Limits{HalfOpen: 10})
				}
			})
		}
		wg.Wait()
		if _, half := tab.TenantStats(1); half > 10 {
			t.Fatalf("%d half-open, limit 10", half)
		}
	}
}

func closed(t *testing.T) *conntrack.Table {
	tab := newTable(t, conntrack.Config{})
	hs(t, tab)
	for _, p := range []*conntrack.Packet{c2s(t, 1001, 5001, fin|ackF, 0), s2c(t, 5001, 1002, fin|ackF, 0), c2s(t, 1002, 5002, ackF, 0)} {
		if r := offer(tab, 2, p, conntrack.Limits{}); r.State == conntrack.StateInvalid {
			t.Fatal(r.Reason)
		}
	}
	return tab
}

func TestADeniedSynLeavesTimeWait(t *testing.T) {
	tab := closed(t)
	p := c2s(t, 900000, 0, syn, 0)
	p.Trusted = false
	var r conntrack.Result
	tab.Track(3, 1, p, &r) // and the rules deny it: no Create
	if r := offer(tab, 4, s2c(t, 5001, 1002, fin|ackF, 0), conntrack.Limits{}); r.State != conntrack.StateReply {
		t.Errorf("the FIN sent again after a denied SYN: %v %v", r.State, r.Reason)
	}
}

func TestDataBehindFIN(t *testing.T) {
	tab := newTable(t, conntrack.Config{})
	hs(t, tab)
	offer(tab, 2, c2s(t, 1001, 5001, fin|ackF, 0), conntrack.Limits{})
	if r := offer(tab, 3, c2s(t, 1002, 5001, ackF, 100), conntrack.Limits{}); r.State != conntrack.StateInvalid {
		t.Errorf("data behind the FIN: %v", r.State)
	}
}

func TestFINInTheMiddleDoesNotClose(t *testing.T) {
	tab := newTable(t, conntrack.Config{})
	hs(t, tab)
	offer(tab, 2, c2s(t, 1001, 5001, ackF, 1000), conntrack.Limits{})
	offer(tab, 2, s2c(t, 5001, 2001, ackF, 0), conntrack.Limits{})
	offer(tab, 2, c2s(t, 1500, 5001, fin|ackF, 0), conntrack.Limits{}) // below what was sent and acknowledged
	tab.Sweep(3, func(_ conntrack.Handle, f *conntrack.Flow, _ *inspect.Frame) bool {
		if f.Status != "established" {
			t.Errorf("status %s", f.Status)
		}
		return true
	})
}

func TestDataInAnswerToSYN(t *testing.T) {
	tab := newTable(t, conntrack.Config{})
	offer(tab, 1, c2s(t, 1000, 0, syn, 0), conntrack.Limits{})
	if r := offer(tab, 2, s2c(t, 77, 88, ackF, 100), conntrack.Limits{}); r.State != conntrack.StateInvalid {
		t.Errorf("data without a handshake: %v", r.State)
	}
}

func TestSynAckWithNewNumberInEstablished(t *testing.T) {
	tab := newTable(t, conntrack.Config{})
	hs(t, tab)
	if r := offer(tab, 2, s2c(t, 5200, 1001, syn|ackF, 0), conntrack.Limits{}); r.State != conntrack.StateInvalid {
		t.Errorf("SYN+ACK with another number inside the window: %v", r.State)
	}
	if r := offer(tab, 2, s2c(t, 5000, 1001, syn|ackF, 0), conntrack.Limits{}); r.State != conntrack.StateReply {
		t.Errorf("the SYN+ACK sent again: %v %v", r.State, r.Reason)
	}
}

func TestSweepAndLimitsOfHugeTenant(t *testing.T) {
	tab := newTable(t, conntrack.Config{})
	p := inner(t, clientV4, serverV4, 17, udpBytes(1, 2, 0))
	p.Tenant = 1 << 20
	n := testing.AllocsPerRun(1, func() { offer(tab, 1, p, conntrack.Limits{}) })
	if n > 1000 {
		t.Errorf("a tenant numbered 2^20: %v allocations", n)
	}
}

func TestAcknowledgedByRSTAfterLoss(t *testing.T) {
	tab := newTable(t, conntrack.Config{})
	hs(t, tab)
	for _, seq := range []uint32{1002, 1000, 1500, 4001} {
		if r := offer(tab, 2, c2s(t, seq, 0, rst, 0), conntrack.Limits{}); r.Reason != reason.TCPReset {
			t.Errorf("RST at %d: %v %v", seq, r.State, r.Reason)
		}
	}
	if r := offer(tab, 2, c2s(t, 1001, 0, rst, 0), conntrack.Limits{}); r.State != conntrack.StateOriginal {
		t.Errorf("RST at the expected number: %v %v", r.State, r.Reason)
	}
}
