package firewall

import (
	"math"

	"sttwall/policy"
	"sttwall/reason"
	"sttwall/reassembly"
	"sttwall/stt"
)

// leave decides how an accepted frame leaves, and appends its verdicts: as it
// came, or encoded anew. cut says that only a part of its single packet was
// copied from the kernel, changed that data is not what came. A reason other than None means that there is no
// safe way to let it out; no verdict is appended then.
func (f *Firewall) leave(now int64, fr *reassembly.Frame, data []byte, cut, changed bool, out *Verdicts) reason.Reason {
	e := &f.event
	header := canonicalHeader(&e.Header, &e.Inner, f.standing.settings.Receivers)
	// Receivers read the headers from the packet at offset 0 before they
	// know the rest.
	needed := stt.FrameHeaderLen + max(e.Inner.HeaderBytes, f.result.HeaderBytes)
	recut := fr.Packets[0].Length < needed || fr.Packets[0].GSO && needed > f.smallestPiece()
	if recut && !canRecut(fr.Packets, needed) {
		return reason.SegmentTooSmall
	}
	rebuild := f.standing.rebuild
	rewrite := rebuild || changed || recut || header != e.Header || !f.canonicalPackets(fr.Packets)
	if rewrite && cut {
		return reason.CopyTooShort
	}

	id, ok := f.leavingID(now, fr)
	switch {
	case !ok:
		return reason.FrameIDExhausted
	case id != fr.FrameID && cut:
		return reason.CopyTooShort
	case id != fr.FrameID:
		rewrite = true
		f.counts.frameIDsReplaced++
	}

	switch {
	case !rewrite:
		for i := range fr.Packets {
			out.accept(fr.Packets[i].ID)
		}
	case recut, rebuild && canRecut(fr.Packets, needed):
		f.recut(fr, data, changed, id, &header, out)
	default:
		f.reencode(fr, data, changed, id, &header, out)
	}
	e.Rewritten = rewrite
	return reason.None
}

// SmallestPiece is what the kernel cuts super-segments to at least, in bytes of payload,
// where settings.receivers is "any": smaller ones do not reach the firewall then
// (package gsoguard).
const SmallestPiece = 512

// smallestPiece is how many bytes of a super-segment leave in its first packet at
// least, whatever size the kernel cuts it by. Linux' receiver does not mind.
func (f *Firewall) smallestPiece() int {
	if f.standing.settings.Receivers == policy.ReceiversLinux {
		return math.MaxInt
	}
	return SmallestPiece
}

// canRecut reports whether the frame can leave in packets none of which is
// larger than the largest that came, the first holding the needed bytes.
// Super-segments cannot be recut: how the kernel cuts them is not known here.
func canRecut(packets []reassembly.Packet, needed int) bool {
	largest := 0
	for i := range packets {
		if packets[i].GSO {
			return false
		}
		largest = max(largest, packets[i].Length)
	}
	return largest >= needed
}

// reencode writes each packet of the frame anew, cut as it came.
func (f *Firewall) reencode(fr *reassembly.Frame, data []byte, changed bool, id uint32, header *stt.FrameHeader, out *Verdicts) {
	plain, ce := f.survey(fr.Packets)
	var first uint16
	for i := range fr.Packets {
		p := &fr.Packets[i]
		path := f.canonicalPath(fr, p, ce)
		if i == 0 {
			first = path.ID
		}
		if plain {
			path.ID = first + uint16(i)
		}
		piece := stt.Piece{
			FrameID: id, FrameLength: fr.FrameLength,
			Offset: p.Offset, Payload: data[p.Offset : p.Offset+p.Length],
			Sum: p.Sum, HasSum: p.Summed && !changed,
		}
		if i == 0 {
			piece.Header = header
		}
		if p.GSO {
			// The kernel computes the checksum of every piece that it cuts.
			piece.Checksum = stt.ChecksumPartial
		}
		out.replace(p.ID, &path, &piece)
	}
}

// recut spreads the frame over its packets from the first on, each as large
// as the largest that came; packets that are left over are dropped.
func (f *Firewall) recut(fr *reassembly.Frame, data []byte, changed bool, id uint32, header *stt.FrameHeader, out *Verdicts) {
	_, ce := f.survey(fr.Packets)
	size := 0
	for i := range fr.Packets {
		size = max(size, fr.Packets[i].Length)
	}
	path := f.canonicalPath(fr, &fr.Packets[0], ce)
	at := 0
	for i := range fr.Packets {
		if at >= fr.FrameLength {
			out.drop(fr.Packets[i].ID)
			continue
		}
		piece := stt.Piece{
			FrameID: id, FrameLength: fr.FrameLength,
			Offset: at, Payload: data[at:min(at+size, fr.FrameLength)],
		}
		if p := &fr.Packets[i]; p.Offset == at && p.Length == len(piece.Payload) {
			piece.Sum, piece.HasSum = p.Sum, p.Summed && !changed
		}
		if at == 0 {
			piece.Header = header
		}
		out.replace(fr.Packets[i].ID, &path, &piece)
		path.ID++
		at += size
	}
}

// survey reports whether no packet is a super-segment, whose pieces would use
// up IP IDs of their own, and whether any carries congestion experienced.
func (f *Firewall) survey(packets []reassembly.Packet) (plain, ce bool) {
	plain = true
	for i := range packets {
		plain = plain && !packets[i].GSO
		ce = ce || packets[i].TOS&3 == 3
	}
	return plain, ce
}

// canonicalPath is the path of a packet of the frame when it is encoded anew.
func (f *Firewall) canonicalPath(fr *reassembly.Frame, p *reassembly.Packet, ce bool) stt.Path {
	return stt.Path{
		Src: fr.Src, Dst: fr.Dst, SrcPort: fr.SrcPort, DstPort: fr.DstPort,
		TTL: p.TTL, TOS: canonicalTOS(p.TOS, &f.event.Inner, f.standing.settings.Receivers, ce),
		ID: p.IPID, DontFragment: p.DontFragment, FlowLabel: p.FlowLabel,
	}
}
