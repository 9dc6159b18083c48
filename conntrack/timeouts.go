package conntrack

import (
	"time"
)

// status is the state of a flow that a timeout hangs on.
type status uint8

const (
	statusSynSent status = iota
	statusSynReceived
	statusEstablished
	statusFinWait
	statusCloseWait
	statusLastAck
	statusTimeWait
	statusClose
	statusUDP
	statusUDPStream
	statusICMP
	statusICMPReplied
	statusOther
	statusOtherReplied
	statuses // how many there are
)

var statusNames = [statuses]string{
	"syn_sent", "syn_received", "established", "fin_wait", "close_wait", "last_ack", "time_wait", "close",
	"unreplied", "stream", "unreplied", "replied", "unreplied", "replied",
}

// unreplied are the statuses that are given up first when the table is full: the
// first ones, whose flows wait for an answer, by their age alone, then the others in
// this order.
var unreplied = [...]status{statusSynSent, statusUDP, statusICMP, statusOther, statusClose, statusTimeWait, statusSynReceived}

// waiting is how many of them wait for an answer.
const waiting = 4

// Timeouts are how long a flow is remembered after its last packet, by its
// state; and the inner packets that come in fragments.
type Timeouts struct {
	TCPSynSent     time.Duration // a SYN, no answer
	TCPSynReceived time.Duration // a SYN and its SYN+ACK
	TCPEstablished time.Duration
	TCPFinWait     time.Duration // one FIN
	TCPCloseWait   time.Duration // one FIN, acknowledged
	TCPLastAck     time.Duration // both FINs
	TCPTimeWait    time.Duration // both FINs, acknowledged
	TCPClose       time.Duration // a RST
	UDP            time.Duration // packets one way
	UDPStream      time.Duration // packets both ways
	ICMP           time.Duration // queries
	Other          time.Duration // other protocols
	Fragment       time.Duration // a first inner fragment, see [Fragments]
}

// DefaultTimeouts are those of Linux' nf_conntrack (nf_conntrack_proto_*.c),
// but a day for established TCP instead of five: the table is bounded.
func DefaultTimeouts() Timeouts {
	return Timeouts{
		TCPSynSent: 2 * time.Minute, TCPSynReceived: time.Minute, TCPEstablished: 24 * time.Hour,
		TCPFinWait: 2 * time.Minute, TCPCloseWait: time.Minute, TCPLastAck: 30 * time.Second,
		TCPTimeWait: 2 * time.Minute, TCPClose: 10 * time.Second,
		UDP: 30 * time.Second, UDPStream: 2 * time.Minute, ICMP: 30 * time.Second, Other: 10 * time.Minute,
		Fragment: 30 * time.Second, // as receivers wait: net.ipv4.ipfrag_time
	}
}

var timeoutNames = []string{
	"tcp_syn_sent", "tcp_syn_received", "tcp_established", "tcp_fin_wait", "tcp_close_wait", "tcp_last_ack",
	"tcp_time_wait", "tcp_close", "udp", "udp_stream", "icmp", "other", "fragment",
}

// TimeoutNames returns the names of the timeouts in the rules language. The
// slice is the caller's.
func TimeoutNames() []string { return append([]string(nil), timeoutNames...) }

// Field returns the timeout with that name, or nil.
func (t *Timeouts) Field(name string) *time.Duration {
	fields := t.fields()
	for i, n := range timeoutNames {
		if n == name {
			return fields[i]
		}
	}
	return nil
}

func (t *Timeouts) fields() [13]*time.Duration {
	return [...]*time.Duration{
		&t.TCPSynSent, &t.TCPSynReceived, &t.TCPEstablished, &t.TCPFinWait, &t.TCPCloseWait, &t.TCPLastAck,
		&t.TCPTimeWait, &t.TCPClose, &t.UDP, &t.UDPStream, &t.ICMP, &t.Other, &t.Fragment,
	}
}

func (t *Timeouts) positive() bool {
	for _, f := range t.fields() {
		if *f <= 0 {
			return false
		}
	}
	return true
}

// of returns the timeout of a status, in ns.
func (t *Timeouts) of(s status) int64 {
	switch s {
	case statusSynSent:
		return int64(t.TCPSynSent)
	case statusSynReceived:
		return int64(t.TCPSynReceived)
	case statusEstablished:
		return int64(t.TCPEstablished)
	case statusFinWait:
		return int64(t.TCPFinWait)
	case statusCloseWait:
		return int64(t.TCPCloseWait)
	case statusLastAck:
		return int64(t.TCPLastAck)
	case statusTimeWait:
		return int64(t.TCPTimeWait)
	case statusClose:
		return int64(t.TCPClose)
	case statusUDP:
		return int64(t.UDP)
	case statusUDPStream:
		return int64(t.UDPStream)
	case statusICMP, statusICMPReplied:
		return int64(t.ICMP)
	}
	return int64(t.Other)
}
