package tui

import (
	"encoding/binary"
	"time"

	"sttwall/control"
)

// newFrames are frames of a TCP flow over IPv4 in both directions.
func newFrames(f *control.Flow) (frames []control.Frame) {
	for i := range 6 {
		frame := control.Frame{
			Seq: uint64(i + 1), Verdict: "accept", State: "original", FrameID: uint32(i), SrcPort: 50000, Segments: 1, InnerBytes: 54 + 100*i,
		}
		frame.Type, frame.Tenant, frame.Rule, frame.From, frame.To = control.EventAccept, f.Tenant, f.Rule, f.From, f.To
		frame.Time = fakeNow.Add(time.Duration(i-6) * 40 * time.Millisecond)
		id := f.Context
		frame.Context = &id
		frame.Inner = f.Inner
		if i%2 == 1 {
			frame.Inner.Src, frame.Inner.Dst, frame.Inner.SrcPort, frame.Inner.DstPort = f.Dst, f.Src, f.DstPort, f.SrcPort
			frame.State = "reply"
		}
		frame.Header = make([]byte, 18)
		binary.BigEndian.PutUint64(frame.Header[8:], uint64(id))
		data := make([]byte, 54)
		copy(data, []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0})
		binary.BigEndian.PutUint16(data[16:], uint16(frame.InnerBytes-14))
		data[22], data[23] = 64, 6
		copy(data[26:], frame.Inner.Src.AsSlice())
		copy(data[30:], frame.Inner.Dst.AsSlice())
		binary.BigEndian.PutUint16(data[34:], *frame.Inner.SrcPort)
		binary.BigEndian.PutUint16(data[36:], *frame.Inner.DstPort)
		data[46], data[47] = 0x50, 0x18
		frame.Data = data
		frames = append(frames, frame)
	}
	return frames
}
