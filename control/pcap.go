package control

import (
	"encoding/binary"
	"fmt"
	"strings"

	"sttwall/capture"
	"sttwall/inspect"
	"sttwall/stt"
)

// macs is how many bytes of an Ethernet frame stand in front of its tags.
const macs = 12

// Record makes r the frame as it goes into a capture: the inner Ethernet frame with the
// tag of its frame header put back, or the outer IP packet; false if its bytes are not
// known. r borrows the frame's bytes.
func (f *Frame) Record(r *capture.Record) bool {
	*r = capture.Record{Time: f.Time.UnixNano(), Link: capture.LinkEthernet, Packet: f.Data, Missing: f.InnerBytes - len(f.Data), Comment: f.Comment()}
	if f.Outer != nil {
		r.Time, r.Link, r.Missing = f.Outer.Time.UnixNano(), capture.LinkRaw, f.Outer.Bytes-len(f.Data)
		return len(f.Data) > 0
	}
	var h stt.FrameHeader
	if h.Decode(f.Header) && h.Tagged() && len(f.Data) >= macs {
		r.Header = binary.BigEndian.AppendUint16(append([]byte(nil), f.Data[:macs]...), inspect.EtherTypeVLAN)
		r.Header = binary.BigEndian.AppendUint16(r.Header, h.TCI&^stt.TagPresent) // its place is that of DEI
		r.Packet = f.Data[macs:]
	}
	return len(f.Data) > 0
}

// Comment says what became of the frame, in words by which a display filter finds it
// (frame.comment contains "reason=tenant_default").
func (f *Frame) Comment() string {
	var words []string
	add := func(name, value string) {
		if value != "" {
			words = append(words, name+"="+value)
		}
	}
	add("verdict", f.Verdict)
	add("reason", f.Reason)
	add("would_be", f.WouldBe)
	add("tenant", f.Tenant)
	add("rule", f.Rule)
	if f.Context != nil {
		add("context", f.Context.String())
	}
	add("state", f.State)
	if f.From.IsValid() {
		add("from", f.From.String())
	}
	if f.To.IsValid() {
		add("to", f.To.String())
	}
	if o := f.Outer; o != nil && o.Alone {
		words = append(words, "alone") // of no frame that was told of
		return strings.Join(words, " ")
	} else if o != nil {
		add("segment", fmt.Sprintf("%d/%d", o.Index+1, f.Segments))
	} else {
		add("segments", fmt.Sprint(f.Segments))
	}
	add("frame_id", fmt.Sprintf("0x%08x", f.FrameID))
	add("outer_src_port", fmt.Sprint(f.SrcPort))
	if f.Rewritten {
		words = append(words, "rewritten")
	}
	return strings.Join(words, " ")
}
