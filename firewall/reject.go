package firewall

import (
	"sttwall/policy"
	"sttwall/reassembly"
	"sttwall/rewrite"
	"sttwall/stt"
)

// Answer is a packet that the firewall sends by itself: the answer to a frame
// that a rule rejects, encoded for the endpoint that sent it.
type Answer struct {
	// Data is the packet from its outer IP header on. Valid until
	// [Verdicts.Reset].
	Data []byte
	// Device is the index of the network device that the refused packet came in
	// on, and that the answer must leave through; 0 where it is not known.
	Device int
}

// answerTTL is the outer TTL of answers.
const answerTTL = 64

// reject appends the answer to a rejected frame, if it may have one. Only those
// who passed the list of endpoints are answered, so that nobody can aim answers
// at others: without a list there are none.
func (f *Firewall) reject(now int64, fr *reassembly.Frame, out *Verdicts) {
	e := &f.event
	if f.standing.endpoints == nil {
		f.counts.rejectsRefused++
		return
	}
	context, ok := f.answerContext(e.Header.ContextID, &e.Decision)
	if !ok {
		f.counts.rejectsRefused++
		return
	}
	header := stt.FrameHeader{ContextID: context}
	if e.Header.Tagged() {
		header.TCI = e.Header.TCI | stt.TagPresent
	}
	f.answer = append(f.answer[:0], make([]byte, stt.FrameHeaderLen)...) // the header goes over them
	var why rewrite.Refusal
	if f.answer, why = rewrite.AppendReject(f.answer, e.InnerData, &e.Inner); why != rewrite.Answered {
		f.counts.rejectsRefused++
		return
	}
	if !f.standing.rejects.Take(now, 1) {
		f.counts.rejectsLimited++
		return
	}
	path := stt.Path{
		Src: fr.Dst, Dst: fr.Src, SrcPort: fr.SrcPort, DstPort: fr.DstPort,
		TTL: answerTTL, ID: uint16(f.random.Uint64()), DontFragment: true,
	}
	// It leaves in one packet, so its frame ID is never looked up.
	start := len(out.arena)
	out.arena = stt.AppendSegment(out.arena, &path, &stt.Piece{
		FrameID: uint32(f.random.Uint64()), FrameLength: len(f.answer), Payload: f.answer, Header: &header,
	})
	out.Answers = append(out.Answers, Answer{Data: out.arena[start:len(out.arena):len(out.arena)], Device: f.device})
	f.counts.rejectsSent++
}

// answerContext returns the context ID with which the answer goes back: that of
// the other direction if the flow has one, else the same. In the OVN layout the
// ports are swapped; a multicast group is no ingress port.
func (f *Firewall) answerContext(id uint64, d *policy.Decision) (uint64, bool) {
	if d.TenantIndex >= 0 && f.standing.policy.Tenant(d.TenantIndex).OVN {
		return policy.OVNReverse(id)
	}
	if f.result.HasReverseContext {
		return f.result.ReverseContext, true
	}
	return id, true
}
