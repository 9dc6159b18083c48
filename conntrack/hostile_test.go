package conntrack_test

import (
	"testing"

	"sttwall/conntrack"
	"sttwall/inspect"
	"sttwall/reason"
)

func hs(tb testing.TB, tab *conntrack.Table) {
	o := []byte{3, 3, 7}
	for i, p := range []*conntrack.Packet{
		inner(tb, clientV4, serverV4, 6, tcpBytes(40000, 80, 1000, 0, inspect.SYN, 64000, o, 0)),
		back(inner(tb, serverV4, clientV4, 6, tcpBytes(80, 40000, 5000, 1001, inspect.SYN|inspect.ACK, 64000, o, 0))),
		inner(tb, clientV4, serverV4, 6, tcpBytes(40000, 80, 1001, 5001, inspect.ACK, 500, nil, 0)),
	} {
		if r := offer(tab, 1, p, conntrack.Limits{}); r.State != conntrack.StateOriginal && r.State != conntrack.StateReply {
			tb.Fatalf("handshake %d: %v %v", i, r.State, r.Reason)
		}
	}
}

func TestUntrustedThenAcknowledged(t *testing.T) {
	tab := newTable(t, conntrack.Config{})
	hs(t, tab)
	p := inner(t, clientV4, serverV4, 6, tcpBytes(40000, 80, 1001, 5001, inspect.ACK, 500, nil, 1000))
	p.Trusted = false
	t.Log(offer(tab, 2, p, conntrack.Limits{}).State)
	r := offer(tab, 3, back(inner(t, serverV4, clientV4, 6, tcpBytes(80, 40000, 5001, 2001, inspect.ACK, 500, nil, 0))), conntrack.Limits{})
	if r.State != conntrack.StateReply {
		t.Errorf("the acknowledgment: %v %v", r.State, r.Reason)
	}
}

func TestFragmentThenAcknowledged(t *testing.T) {
	tab := newTable(t, conntrack.Config{})
	hs(t, tab)
	d := frameBytes(clientV4, serverV4, 6, tcpBytes(40000, 80, 1001, 5001, inspect.ACK, 500, nil, 500))
	size := 20 + 20 + 300 // a first fragment: a multiple of eight behind the IP header
	d = d[:14+size]
	d[16], d[17], d[20] = byte(size>>8), byte(size), 0x20
	t.Log(offer(tab, 2, packetOf(t, d), conntrack.Limits{}).State)
	r := offer(tab, 3, back(inner(t, serverV4, clientV4, 6, tcpBytes(80, 40000, 5001, 1501, inspect.ACK, 500, nil, 0))), conntrack.Limits{})
	if r.State != conntrack.StateReply {
		t.Errorf("the acknowledgment: %v %v", r.State, r.Reason)
	}
}

func TestGroupMAC(t *testing.T) {
	tab := newTable(t, conntrack.Config{})
	d := frameBytes(clientV4, serverV4, 6, tcpBytes(40000, 80, 1001, 5001, inspect.ACK, 500, nil, 500))
	d[0] |= 1
	if r := offer(tab, 2, packetOf(t, d), conntrack.Limits{}); r.State != conntrack.StateInvalid {
		t.Errorf("mid-stream TCP to a group MAC: %v", r.State)
	}
}

func TestMulticastOuter(t *testing.T) {
	tab := newTable(t, conntrack.Config{})
	p := inner(t, clientV4, serverV4, 17, udpBytes(1, 2, 0))
	p.To = mustAddr("239.0.0.1")
	offer(tab, 1, p, conntrack.Limits{})
	if r := offer(tab, 2, back(inner(t, serverV4, clientV4, 17, udpBytes(2, 1, 0))), conntrack.Limits{}); r.State != conntrack.StateReply {
		t.Errorf("reply to a flow sent to a group: %v %v", r.State, r.Reason)
	}
}

func TestNegativeTenant(t *testing.T) {
	defer func() {
		if e := recover(); e != nil {
			t.Errorf("panic: %v", e)
		}
	}()
	tab := newTable(t, conntrack.Config{})
	p := inner(t, clientV4, serverV4, 17, udpBytes(1, 2, 0))
	p.Tenant = -1
	offer(tab, 1, p, conntrack.Limits{})
}

func TestTFORetransmit(t *testing.T) {
	tab := newTable(t, conntrack.Config{})
	offer(tab, 1, inner(t, clientV4, serverV4, 6, tcpBytes(40000, 80, 1000, 0, inspect.SYN, 64000, nil, 100)), conntrack.Limits{})
	offer(tab, 1, back(inner(t, serverV4, clientV4, 6, tcpBytes(80, 40000, 5000, 1001, inspect.SYN|inspect.ACK, 64000, nil, 0))), conntrack.Limits{})
	if r := offer(tab, 1, inner(t, clientV4, serverV4, 6, tcpBytes(40000, 80, 1000, 0, inspect.SYN, 64000, nil, 0)), conntrack.Limits{}); r.State != conntrack.StateOriginal {
		t.Errorf("SYN without its data: %v %v", r.State, r.Reason)
	}
}

func TestBlindSynAck(t *testing.T) {
	tab := newTable(t, conntrack.Config{})
	offer(tab, 1, inner(t, clientV4, serverV4, 6, tcpBytes(40000, 80, 5000, 0, inspect.SYN, 64000, nil, 0)), conntrack.Limits{})
	if r := offer(tab, 1, back(inner(t, serverV4, clientV4, 6, tcpBytes(80, 40000, 0, 4000, inspect.RST|inspect.ACK, 0, nil, 0))), conntrack.Limits{}); r.State != conntrack.StateInvalid {
		t.Errorf("RST that acknowledges what was never sent: %v", r.State)
	}
}

func TestShortErrorCopy(t *testing.T) {
	tab := newTable(t, conntrack.Config{})
	u := udpBytes(1, 2, 0)
	offer(tab, 1, inner(t, clientV4, serverV4, 17, u), conntrack.Limits{})
	e := back(inner(t, serverV4, clientV4, 1, icmpBytes(3, 3, 0, ipBytes(clientV4, serverV4, 17, u)...)))
	e.Data = e.Data[:e.Frame.HeaderBytes]
	r := offer(tab, 1, e, conntrack.Limits{})
	t.Logf("short copy of an ICMP error: %v %v", r.State, r.Reason)
	if r.State == conntrack.StateUntracked || r.State == conntrack.StateNew {
		t.Error("an error whose quote was not copied is left to the rules")
	}
}

// A packet that its flow does not allow moves no side, whatever is known of where
// its sender lives.
func TestAFlowDoesNotMoveForAPacketThatIsRefused(t *testing.T) {
	tab := newTable(t, conntrack.Config{})
	hs(t, tab)
	blind := s2c(t, 123456789, 0, rst, 0)
	blind.From, blind.MayMove = endpointC, true
	if r := offer(tab, 2, blind, conntrack.Limits{}); r.Reason != reason.TCPReset || r.MovedFrom.IsValid() {
		t.Errorf("%v, moved from %v", r.Reason, r.MovedFrom)
	}
	next := s2c(t, 5001, 1001, ackF, 10)
	if r := offer(tab, 3, next, conntrack.Limits{}); r.State != conntrack.StateReply {
		t.Errorf("the real one: %v %v", r.State, r.Reason)
	}
	next = s2c(t, 5011, 1001, ackF, 10)
	next.From, next.MayMove = endpointC, true
	if r := offer(tab, 4, next, conntrack.Limits{}); r.State != conntrack.StateReply || r.MovedFrom != endpointB {
		t.Errorf("one that is allowed: %v %v, moved from %v", r.State, r.Reason, r.MovedFrom)
	}
}
