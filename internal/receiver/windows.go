package receiver

import "slices"

// How long the Windows extension keeps things, in ns.
const (
	windowsLife    = 30e9 // after the first segment, and then until the cleaner comes
	windowsCleaner = 30e9
)

// WindowsConfig makes a [Windows].
type WindowsConfig struct {
	// IPv6: outer IPv6 is taken too.
	IPv6 bool
	// KeepsTOS: the inner TOS byte stays as it was. The original works out a new
	// one from the outer header (DSCP copied, CE set); in branch-2.17 it may write
	// it into a copy. False is the worse of the two.
	KeepsTOS bool
}

// Windows is the model of Open vSwitch's Windows extension.
type Windows struct {
	outer    outerReader
	keepsTOS bool
	frames   map[key]*windowsFrame
	swept    int64
	faults   Faults
}

// windowsFrame is a frame of which segments wait.
type windowsFrame struct {
	until    int64
	data     []byte // the inner frame; of the length that the first segment named
	have     []bool
	received uint32 // inner bytes, each as often as it came
	header   []byte // zero until the segment at offset 0 is there
	ce       bool
}

// NewWindows makes a receiver without any frames.
func NewWindows(c WindowsConfig) *Windows {
	return &Windows{
		outer: outerReader{port: Port, ipv6: c.IPv6}, keepsTOS: c.KeepsTOS,
		frames: map[key]*windowsFrame{},
	}
}

// Faults implements [Receiver].
func (w *Windows) Faults() Faults { return w.faults }

// Receive implements [Receiver]. All CPUs share one table.
func (w *Windows) Receive(now int64, _ int, packet []byte) *Delivered {
	w.clean(now)
	d := w.outer.read(packet)
	if d == nil || !d.checksumGood() {
		return nil
	}
	// The data offset is believed.
	skip := int(d.segment[12]>>4) * 4
	if skip > len(d.segment) {
		return nil
	}
	payload := d.segment[skip:]
	if len(payload) != d.total() {
		return w.add(now, d, payload)
	}
	if len(payload) < frameHeaderLen {
		return nil
	}
	frame := payload[frameHeaderLen:]
	return w.finish(d, payload[:frameHeaderLen], frame, nil, d.ce())
}

// add keeps a segment. It computes in 32 bits without a sign, as the original.
func (w *Windows) add(now int64, d *datagram, payload []byte) *Delivered {
	if d.total() < frameHeaderLen {
		return nil // nobody has memory for a length below zero
	}
	inner := uint32(d.total() - frameHeaderLen)
	at, size := uint32(0), uint32(len(payload))
	var head []byte
	if d.offset() == 0 {
		if len(payload) < frameHeaderLen {
			return nil
		}
		head, payload = payload[:frameHeaderLen], payload[frameHeaderLen:]
		size -= frameHeaderLen
	} else {
		at = uint32(d.offset()) - frameHeaderLen // wraps for 1 to 17
	}
	if at+size > inner {
		return nil
	}
	f := w.frames[d.key()]
	first := f == nil
	if first {
		f = &windowsFrame{
			until: now + windowsLife, data: make([]byte, inner), have: make([]bool, inner),
			header: make([]byte, frameHeaderLen),
		}
		w.frames[d.key()] = f
	} else if at+size > uint32(len(f.data)) {
		return nil
	}
	if head != nil {
		f.header = slices.Clone(head)
	}
	f.ce = f.ce || d.ce()
	if uint64(at)+uint64(size) > uint64(len(f.data)) {
		w.faults.WritesOutside++
	} else {
		// What was there is written over.
		copy(f.data[at:], payload)
		for i := range payload {
			f.have[int(at)+i] = true
		}
	}
	f.received += size
	// The total of the segment at hand counts, and a first one completes nothing.
	if first || f.received != inner {
		return nil
	}
	delete(w.frames, d.key())
	frame, undefined := f.take(int(inner))
	return w.finish(d, f.header, frame, undefined, f.ce)
}

// take returns the frame with the length that the last segment named, and what of it
// is memory that nobody has written.
func (f *windowsFrame) take(inner int) ([]byte, []Range) {
	frame := make([]byte, inner)
	copy(frame, f.data)
	var undefined []Range
	for i := range frame {
		if i < len(f.have) && f.have[i] {
			continue
		}
		if n := len(undefined); n > 0 && undefined[n-1].To == i {
			undefined[n-1].To++
		} else {
			undefined = append(undefined, Range{i, i + 1})
		}
	}
	return frame, undefined
}

// clean drops what is too old; it looks every 30 s, and nobody else looks at the age.
func (w *Windows) clean(now int64) {
	tick := now / windowsCleaner * windowsCleaner
	if tick <= w.swept {
		return
	}
	w.swept = tick
	for k, f := range w.frames {
		if f.until < tick {
			delete(w.frames, k)
		}
	}
}

// finish does what the frame header says. Its version is not looked at.
func (w *Windows) finish(d *datagram, head, frame []byte, undefined []Range, ce bool) *Delivered {
	h := readHeader(head)
	out := &Delivered{
		Src: d.src, Dst: d.dst, Context: h.context,
		// Only with V, and a tag that is all zero besides is none for NDIS.
		Tagged: h.tci&0x1000 != 0 && h.tci&^0x1000 != 0, TCI: h.tci &^ 0x1000,
		Frame: frame, Undefined: undefined, CE: ce,
	}
	marked := slices.Clone(frame)
	tos := d.tos
	if ce {
		tos |= 3
	}
	if !w.keepsTOS && tos != 0 {
		out.Written = mark(marked, tos)
	}
	// Verified wins over partial.
	if h.flags&flagVerified != 0 || h.flags&flagPartial == 0 {
		out.Trusted = h.flags&flagVerified != 0
		out.Packets = [][]byte{marked}
		return out
	}
	out.Trusted = true
	l4 := 8
	if h.flags&flagTCP != 0 {
		l4 = 20
	}
	if len(frame) < int(h.l4Offset)+l4 {
		w.faults.WritesOutside++
		return nil
	}
	out.Frame = marked
	ok := out.offload(h, int(h.l4Offset))
	out.Frame = frame
	if !ok {
		return nil
	}
	return out
}

// mark writes what the outer TOS byte makes of the inner one, and returns where.
func mark(frame []byte, tos uint8) []Range {
	if len(frame) < ethernetLen {
		return nil
	}
	at, kind := ethernetLen, be16(frame[12:])
	if kind == 0x8100 && len(frame) >= at+4 {
		at, kind = at+4, be16(frame[at+2:])
	}
	switch {
	case kind == 0x0800 && len(frame) >= at+20:
		headerLen := int(frame[at]&15) * 4
		if headerLen < 20 || len(frame) < at+headerLen {
			return nil
		}
		ecn := frame[at+1] & 3
		if tos&3 == 3 {
			ecn = 3
		}
		frame[at+1] = tos&^3 | ecn
		put16(frame[at+10:], 0)
		put16(frame[at+10:], ^sum(frame[at:at+headerLen]))
		return []Range{{at + 1, at + 2}, {at + 10, at + 12}}
	case kind == 0x86dd && len(frame) >= at+40:
		// The fields are mixed up: ECN and a part of the flow label become the high
		// half of the traffic class.
		label := frame[at+1]
		frame[at] = frame[at]&0xf0 | tos&3 | label&3<<2
		frame[at+1] = label&0x0f | tos<<4
		return []Range{{at, at + 2}}
	}
	return nil
}
