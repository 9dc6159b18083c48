package firewall

import (
	"sttwall/inspect"
	"sttwall/reason"
	"sttwall/reassembly"
)

// Where the kernel copied only a part of a packet and still has the rest
// ([Packet.More]), what cannot be decided on the part gets the verdict [Again]. The
// packet comes whole then, and is decided as if the part had never been seen: so the
// part may not count, and may move nothing. Therefore all that could want the rest
// is looked for before the policy is asked, which takes tokens of limits and moves
// flows:
//
//	admit        checksum to verify, part of a frame        (firewall.go)
//	judge        headers that do not end in the part        (stt/, inspect/)
//	wantsRest    what is written anew; inner checksums      (here)
//	decideFrame  a later inner fragment that has to wait    (firewall.go)
//
// What is left is a frame ID that another worker claims between the look and the
// claim. The flow has moved by then; that the packet moves it again is what a
// retransmission does.

// again asks for a packet to come again.
func (f *Firewall) again(id uint64) {
	f.out.List = append(f.out.List, Verdict{ID: id, Action: Again})
	f.repeated = true
}

// wantsRest reports whether a frame, whose headers were read and verified in the
// part of its single packet that was copied, cannot be decided or cannot leave
// without the rest.
func (f *Firewall) wantsRest(now int64, fr *reassembly.Frame) bool {
	if len(fr.Data) >= fr.FrameLength {
		return false
	}
	e, st := &f.event, f.standing
	switch {
	case st.changes(), // by a rule that may be the one
		canonicalHeader(&e.Header, &e.Inner, st.settings.Receivers) != e.Header,
		!f.canonicalPackets(fr.Packets):
		return true
	case e.Inner.HasTCP && !e.Header.ChecksumPartial() && !e.Header.ChecksumVerified():
		return true // its state moves only on a checksum that we verified
	case fr.Packets[0].GSO && !f.ids.unused(now, fr.Src, fr.Dst, fr.FrameID):
		return true
	}
	if !e.Inner.ICMPError() {
		return false
	}
	var q inspect.Quoted
	return q.Decode(e.InnerData, &e.Inner) == reason.CopyTooShort
}
