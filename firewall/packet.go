package firewall

import "sttwall/stt"

// ChecksumState is what is known of a packet's outer TCP checksum when it
// reaches the firewall.
type ChecksumState uint8

const (
	// ChecksumUnverified: nobody looked; the firewall verifies it.
	ChecksumUnverified ChecksumState = iota
	// ChecksumGood: the kernel or the network card found it right.
	ChecksumGood
	// ChecksumPartial: an offload still has to finish it; the field holds
	// the pseudo-header sum alone.
	ChecksumPartial
)

// Packet is one outer IP packet on its way through the firewall.
type Packet struct {
	// ID names the packet in its verdict. The firewall never looks into it.
	ID uint64
	// Data is the packet from its outer IP header on. Borrowed until
	// [Firewall.ProcessBatch] returns.
	Data []byte
	// Length is the length of the packet on the wire in bytes; more than
	// len(Data) where the kernel copied only a part.
	Length int
	// More: the kernel still has all of the packet and can be asked for it, with the
	// verdict [Again].
	More bool
	// Checksum is what is known of the outer TCP checksum.
	Checksum ChecksumState
	// GSO: the packet is a super-segment that the kernel cuts up when it leaves.
	GSO bool
	// Device is the index of the network device that it came in on; 0 if unknown.
	Device int
}

// Action is what happens to a packet. The zero value drops it.
type Action uint8

const (
	// Drop: the packet does not leave.
	Drop Action = iota
	// Accept: the packet leaves.
	Accept
	// Again: too little of the packet was copied to decide it. It comes again, whole,
	// as another packet. Only a packet with More gets it.
	Again
)

// String returns "drop", "accept" or "again".
func (a Action) String() string {
	switch a {
	case Accept:
		return "accept"
	case Again:
		return "again"
	}
	return "drop"
}

// Verdict decides one packet.
type Verdict struct {
	// ID is that of the [Packet].
	ID uint64
	// Action says whether the packet leaves.
	Action Action
	// Payload, if not nil, leaves in the packet's place, from the outer IP
	// header on. Valid until [Verdicts.Reset].
	Payload []byte
}

// Verdicts collects verdicts in the order in which the packets must leave.
// The zero value is ready. One goroutine at a time.
type Verdicts struct {
	// List holds the verdicts since the last Reset.
	List []Verdict
	// Answers holds the packets to be sent besides, since the last Reset.
	Answers []Answer

	arena []byte
}

// Reset forgets all verdicts and takes the memory of their payloads back.
func (v *Verdicts) Reset() {
	v.List = v.List[:0]
	v.Answers = v.Answers[:0]
	v.arena = v.arena[:0]
}

// allDrop makes drops of all verdicts from n on.
func (v *Verdicts) allDrop(n int) {
	for i := range v.List[n:] {
		d := &v.List[n+i]
		d.Action, d.Payload = Drop, nil
	}
}

func (v *Verdicts) drop(id uint64)   { v.List = append(v.List, Verdict{ID: id}) }
func (v *Verdicts) accept(id uint64) { v.List = append(v.List, Verdict{ID: id, Action: Accept}) }

// replace accepts the packet with new bytes in its place.
func (v *Verdicts) replace(id uint64, path *stt.Path, piece *stt.Piece) {
	start := len(v.arena)
	v.arena = stt.AppendSegment(v.arena, path, piece)
	v.List = append(v.List, Verdict{ID: id, Action: Accept, Payload: v.arena[start:len(v.arena):len(v.arena)]})
}
