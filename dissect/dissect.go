package dissect

import (
	"fmt"
	"slices"
	"strconv"

	"sttwall/stt"
)

// Bounds of what is shown. What is beyond one is told of in a note.
const (
	// maxOptions is how many options of a header are fields of their own; the others
	// are one.
	maxOptions = 64
	// maxTags is how many VLAN tags are read, maxExtensions how many IPv6 extension
	// headers; what follows is payload.
	maxTags, maxExtensions = 8, 16
)

// Frame is what is to be named.
type Frame struct {
	// Header is the STT frame header, nil if it is not known. Data is the beginning
	// of the inner frame. Both are borrowed until Dissect returns.
	Header, Data []byte
	// Length is that of the whole inner frame in bytes; less than len(Data): that.
	Length int
	// OVN: the context ID is of the ovn layout.
	OVN bool
}

// Layer is one header, or what follows the last one.
type Layer struct {
	Name string
	// Summary is the layer in a few words.
	Summary string
	// Note says what is wrong with the layer as a whole; "" if nothing is.
	Note string
	// InHeader: offsets are from the start of the STT frame header, else from that of
	// the inner frame.
	InHeader bool
	// Offset and Length are in bytes. Layers do not overlap, and stand in order.
	Offset, Length int
	Fields         []Field
}

// Field is a named value.
type Field struct {
	Name string
	// Value is in words, or a number.
	Value string
	// Note says what is wrong with the value; "" if nothing is.
	Note string
	// Filter is the name that the field has in Wireshark's display filters; "" if it
	// has none there.
	Filter string
	// Offset and Length are in bytes, from where the offset of the layer is from.
	Offset, Length int
	// Bits is how many bits of these bytes are the field, from the bit Bit on, the
	// most significant one being 0; 0 Bits: the bytes are it.
	Bit, Bits int
}

// Dissect names the fields of a frame.
func Dissect(f *Frame) []Layer {
	d := dissector{data: f.Data, length: max(f.Length, len(f.Data))}
	d.end = d.length
	if len(f.Header) > 0 {
		d.layers = append(d.layers, Layer{}) // its notes need the inner frame
		if len(f.Header) >= 2 {
			d.partial = f.Header[1]&stt.FlagChecksumPartial != 0
			d.verified = !d.partial && f.Header[1]&stt.FlagChecksumVerified != 0
		}
	}
	d.ethernet()
	if len(f.Header) > 0 {
		d.layers[0] = d.frameHeader(f.Header, f.OVN)
	}
	return d.layers
}

// dissector is on its way through a frame.
type dissector struct {
	data   []byte // of the inner frame, as much as there is
	length int    // of the whole inner frame
	// end is where the current packet ends as its header says, at most length.
	end     int
	at      int
	layers  []Layer
	quoted  bool // in the packet that an ICMP error quotes
	inner   innerFacts
	partial bool // flags of the frame header
	// verified: receivers take the inner checksum to be good.
	verified bool
}

// innerFacts is what the frame header can be compared with.
type innerFacts struct {
	ip         int // 4, 6, or 0
	tagged     bool
	protocol   int // of the header at l4; 0: none
	l4         int // where TCP or UDP begins; 0: there is none
	fragment   bool
	tcpPayload int // bytes; -1: not known
}

// reader reads a layer from its first bit to its last, so that fields are in order
// and lie inside of the data, whatever that says.
type reader struct {
	layer Layer
	data  []byte
	// at is the next byte, bit the next bit of it; end is where the packet ends.
	at, bit int
	end     int
	// whole is the length of all that data is the beginning of.
	whole int
	// quoted: by an ICMP error, and so hardly ever whole.
	quoted bool
	// cut: something was to be read that is not there; all that follows is nothing.
	cut bool
}

// begin starts a layer.
func (d *dissector) begin(name string) *reader {
	if d.quoted {
		name = "quoted " + name
	}
	return &reader{
		layer: Layer{Name: name, Offset: d.at}, data: d.data, at: d.at, end: d.end, whole: d.length, quoted: d.quoted,
	}
}

// done ends a layer, and goes on behind it. It reports whether all of it was there.
func (d *dissector) done(r *reader, summary string, args ...any) bool {
	r.finish()
	if summary != "" && !r.cut {
		r.layer.Summary = fmt.Sprintf(summary, args...)
	}
	d.at = r.at
	if r.layer.Length > 0 || r.layer.Note != "" {
		d.layers = append(d.layers, r.layer)
	}
	return !r.cut
}

func (r *reader) finish() {
	if r.bit > 0 {
		r.at, r.bit = r.at+1, 0
	}
	r.layer.Length = r.at - r.layer.Offset
}

// left is how many bytes there are still to read.
func (r *reader) left() int { return max(0, min(r.end, len(r.data))-r.at) }

// take returns the next n bytes, or nil if they are not all there.
func (r *reader) take(n int) []byte {
	if r.cut {
		return nil
	}
	if r.bit > 0 {
		r.at, r.bit = r.at+1, 0
	}
	if n > r.left() {
		r.lacks(n)
		return nil
	}
	b := r.data[r.at : r.at+n : r.at+n]
	r.at += n
	return b
}

// lacks says why n bytes are not there.
func (r *reader) lacks(n int) {
	r.cut = true
	switch {
	case r.quoted && len(r.data) >= r.end:
	case r.at+n > r.end && r.end < r.whole:
		r.notice("the packet ends in it")
	case len(r.data) < r.whole:
		r.notice("cut off: " + count(len(r.data)) + " of " + count(r.whole) + " bytes were kept")
	default:
		r.notice("the frame ends in it")
	}
}

// notice adds a note to the layer.
func (r *reader) notice(text string) { r.layer.Note = also(r.layer.Note, text) }

func also(before, text string) string {
	if before == "" {
		return text
	}
	return before + "; " + text
}

// field adds one of the n bytes that take returned last.
func (r *reader) field(name, filter string, n int, value string) {
	r.layer.Fields = append(r.layer.Fields, Field{Name: name, Filter: filter, Offset: r.at - n, Length: n, Value: value})
}

// text adds a field of n bytes; show makes words of them.
func (r *reader) text(name, filter string, n int, show func([]byte) string) []byte {
	b := r.take(n)
	if b != nil {
		r.field(name, filter, n, show(b))
	}
	return b
}

// How numbers are shown: in decimal, or in hexadecimal with all their digits.
type base int

const (
	decimal base = iota
	hexadecimal
)

func (b base) show(v uint64, bits int) string {
	if b == hexadecimal {
		return fmt.Sprintf("0x%0*x", (bits+3)/4, v)
	}
	return strconv.FormatUint(v, 10)
}

// number adds a field of n bytes, at most eight; without them it is 0.
func (r *reader) number(name, filter string, n int, as base) uint64 {
	b := r.take(n)
	if b == nil {
		return 0
	}
	v := bigEndian(b)
	r.field(name, filter, n, as.show(v, 8*n))
	return v
}

func bigEndian(b []byte) (v uint64) {
	for _, c := range b {
		v = v<<8 | uint64(c)
	}
	return v
}

// bits adds a field of so many bits, at most 32; without them it is 0.
func (r *reader) bits(name, filter string, bits int, as base) uint64 {
	if r.cut {
		return 0
	}
	n := (r.bit + bits + 7) / 8
	if n > r.left() {
		r.lacks(n)
		return 0
	}
	v := bigEndian(r.data[r.at:r.at+n]) >> (8*n - r.bit - bits) & (1<<bits - 1)
	r.layer.Fields = append(r.layer.Fields, Field{
		Name: name, Filter: filter, Offset: r.at, Length: n, Bit: r.bit, Bits: bits, Value: as.show(v, bits),
	})
	r.at, r.bit = r.at+(r.bit+bits)/8, (r.bit+bits)%8
	return v
}

// last is the field that was added last, or one that nobody sees if it was cut off.
func (r *reader) last() *Field {
	if r.cut || len(r.layer.Fields) == 0 {
		return new(Field)
	}
	return &r.layer.Fields[len(r.layer.Fields)-1]
}

// say adds words to the value read last.
func (r *reader) say(words string) {
	if f := r.last(); words != "" {
		f.Value += " " + words
	}
}

// value gives the value read last other words.
func (r *reader) value(format string, args ...any) { r.last().Value = fmt.Sprintf(format, args...) }

// note says what is wrong with the value read last.
func (r *reader) note(format string, args ...any) {
	f := r.last()
	f.Note = also(f.Note, fmt.Sprintf(format, args...))
}

// payload is what follows the last header that is known.
func (d *dissector) payload(name string) {
	if d.end <= d.at {
		return
	}
	r := d.begin(name)
	n, kept := d.end-d.at, r.left()
	if kept > 0 {
		b := r.take(kept)
		r.field("data", "", kept, plural(n, "byte")+preview(b))
	}
	if kept < n {
		r.notice(count(kept) + " of " + plural(n, "byte") + " were kept")
	}
	d.done(r, "%s", plural(n, "byte"))
}

// preview is the first words of bytes that are plain ASCII text.
func preview(b []byte) string {
	const most = 40
	end := 0
	for end < len(b) && end < most && b[end] >= ' ' && b[end] <= '~' {
		end++
	}
	if end < 8 {
		return ""
	}
	return ", begins " + strconv.Quote(string(b[:end]))
}

// trailer is what stands behind the end of the IP packet.
func (d *dissector) trailer() {
	if d.end >= d.length {
		return
	}
	d.at, d.end = max(d.at, d.end), d.length
	if d.at > len(d.data) {
		return // the layer before says so
	}
	n := d.end - d.at
	r := d.begin("trailer")
	if kept := r.left(); kept > 0 {
		words := ", all zero"
		if slices.ContainsFunc(r.take(kept), func(c byte) bool { return c != 0 }) {
			words = ", not all zero"
		}
		r.field("data", "", kept, plural(kept, "byte")+words)
	}
	if kept := r.at - r.layer.Offset; kept < n {
		r.notice(count(kept) + " of " + plural(n, "byte") + " were kept")
	}
	d.done(r, "%s behind the packet", plural(n, "byte"))
}

// count is a number with its thousands apart.
func count(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

func plural(n int, unit string) string {
	if n == 1 {
		return "1 " + unit
	}
	return count(n) + " " + unit + "s"
}
