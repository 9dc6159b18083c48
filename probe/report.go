package probe

import (
	"net/netip"
	"time"
)

// Report is what a run has found. Lengths are in bytes.
type Report struct {
	Remote    netip.Addr `json:"remote"`
	ContextID uint64     `json:"context_id"`
	// Answered: there was an answer at all; else the rest is empty.
	Answered bool `json:"answered"`
	// PathMTU is the MTU that this endpoint believes in: that of the route or of --mtu.
	PathMTU int `json:"path_mtu"`
	// RemoteMTU is what the other side believes in.
	RemoteMTU int `json:"remote_mtu"`
	// Sizes are the outer packets that were tried, in the order in which they were.
	Sizes []Size `json:"sizes"`
	// MTUForward and MTUBack are the largest outer packets that have passed with DF;
	// 0: none did. What is above PathMTU was not tried, and the way
	// back not above MTUForward and RemoteMTU.
	MTUForward int `json:"mtu_forward"`
	MTUBack    int `json:"mtu_back"`
	// Cut is the length of the packets that Frames and the series were cut into: the
	// smaller one of MTUForward and MTUBack.
	Cut int `json:"cut"`
	// Frames are STT frames of rising length.
	Frames []Frame `json:"frames"`
	// Forward is from here to the remote, Back the other way.
	Forward Way `json:"forward"`
	Back    Way `json:"back"`
	// Limited are questions that the other side had, and did not answer: too many a second.
	Limited int `json:"limited"`
	RTT     RTT `json:"rtt"`
	// Changes is who rewrote what.
	Changes []Change `json:"changes"`
	// Findings is what hurts, in words.
	Findings []string `json:"findings"`
}

// Size is what became of outer packets of one length.
type Size struct {
	Length  int  `json:"length"`
	Forward bool `json:"forward"`
	// Back is false too where it was not tried.
	Back bool `json:"back"`
}

// Frame is what became of frames of one length.
type Frame struct {
	// Segments is how many packets it was cut into, Length that of the STT frame.
	Segments int `json:"segments"`
	Length   int `json:"length"`
	// Forward and Back are how many of Tried passed. The way back is tried where the
	// way forward passed: of as many.
	Tried   int `json:"tried"`
	Forward int `json:"forward"`
	Back    int `json:"back"`
}

// Way is what became of the frames of the series in one direction.
type Way struct {
	Sent       int `json:"sent"`
	Received   int `json:"received"`
	Lost       int `json:"lost"`
	Duplicates int `json:"duplicates"`
	// Reordered came behind one that was sent later (RFC 4737).
	Reordered int `json:"reordered"`
	// Hops is by how much the TTL fell, -1 if that is not known.
	Hops int `json:"hops"`
	// BadChecksum are packets with a wrong TCP checksum, Refused those that were no
	// segments for another reason.
	BadChecksum int `json:"bad_checksum"`
	Refused     int `json:"refused"`
}

// RTT is how long answers took, in ns.
type RTT struct {
	Min    time.Duration `json:"min"`
	Median time.Duration `json:"median"`
	Max    time.Duration `json:"max"`
}

// Direction names one of the two.
type Direction string

// The directions.
const (
	Forward Direction = "forward"
	Back    Direction = "back"
)

// Change is something that was rewritten on the way.
type Change struct {
	Direction Direction `json:"direction"`
	// Field is a stable name.
	Field string `json:"field"`
	// Sent and Seen are of the first frame that shows it.
	Sent string `json:"sent"`
	Seen string `json:"seen"`
	// Frames is how many of Of showed it.
	Frames int `json:"frames"`
	Of     int `json:"of"`
	// Hurts: it is a finding.
	Hurts bool `json:"hurts"`
	// Means says who does such a thing, or what comes of it.
	Means string `json:"means"`
}
