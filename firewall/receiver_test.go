package firewall

import (
	"encoding/binary"

	"sttwall/stt"
)

// receiver is a model of Open vSwitch's Linux receiver (datapath/linux/compat/
// stt.c, branch 2.17): it looks at addresses, port and frame ID, not at flags;
// a segment as long as its frame is a frame at once; a later overlapping
// segment is dropped; a frame is complete when the received lengths add up to
// the total that the first-arrived segment named.
type receiver struct {
	frames map[receiverKey]*receiverFrame
}

type receiverKey struct {
	addresses [8]byte
	id        uint32
}

type receiverFrame struct {
	total, received int
	data            []byte
	have            []bool
}

// take hands the receiver an outer IPv4 packet; it returns the STT frame that
// is delivered, or nil.
func (r *receiver) take(b []byte) []byte {
	if len(b) < 40 || b[0]>>4 != 4 || b[9] != 6 || binary.BigEndian.Uint16(b[22:]) != stt.Port {
		return nil
	}
	payload := b[int(b[0]&15)*4+20 : binary.BigEndian.Uint16(b[2:])]
	total, offset := int(binary.BigEndian.Uint16(b[24:])), int(binary.BigEndian.Uint16(b[26:]))
	if len(payload) == total {
		return payload
	}
	if r.frames == nil {
		r.frames = map[receiverKey]*receiverFrame{}
	}
	key := receiverKey{[8]byte(b[12:20]), binary.BigEndian.Uint32(b[28:])}
	f := r.frames[key]
	if f == nil {
		f = &receiverFrame{total: total}
		r.frames[key] = f
	}
	if need := offset + len(payload) - len(f.data); need > 0 {
		f.data = append(f.data, make([]byte, need)...)
		f.have = append(f.have, make([]bool, need)...)
	}
	for i := range payload {
		if f.have[offset+i] {
			return nil
		}
	}
	for i, v := range payload {
		f.data[offset+i], f.have[offset+i] = v, true
	}
	f.received += len(payload)
	if f.received < f.total {
		return nil
	}
	delete(r.frames, key)
	// Gaps are not noticed: the pieces are laid end to end.
	var out []byte
	for i := range f.data {
		if f.have[i] {
			out = append(out, f.data[i])
		}
	}
	return out
}
