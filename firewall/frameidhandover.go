package firewall

import (
	"encoding/binary"

	"sttwall/handover"
)

// What a frame-ID filter hands over, numbers little endian: first, once,
//
//	64 bytes   key of the hash
//	 1 byte    size of a bitmap as a power of two
//	 8 bytes   ns until the bitmaps are turned
//	 8 bytes   ns for which the startup guard goes on; 0: it is over
//
// then each line of the two bitmaps that count in which a bit is set, in this order:
//
//	 4 bytes   its number; the top bit is set for the bitmap that is no more written
//	64 bytes   the line
const (
	filterLen     = 64 + 1 + 8 + 8
	filterLineLen = 4 + lineBits/8
	olderMap      = 1 << 31
)

// export writes the filter as it is at now. Nobody claims meanwhile.
func (f *FrameIDFilter) export(now int64, w *handover.Writer) error {
	f.turnAt(now)
	le := binary.LittleEndian
	b := f.key.append(make([]byte, 0, filterLen))
	b = append(b, filterBits(len(f.maps[0])))
	b = le.AppendUint64(b, uint64(f.turn.Load()-now))
	b = le.AppendUint64(b, uint64(max(0, f.guard.Load()-now)))
	if err := w.Record(handover.KindFilter, b); err != nil {
		return err
	}
	turns := f.turns.Load()
	for older, words := range [2]int{int(turns % 3), int((turns + 2) % 3)} {
		all := f.maps[words]
		for at := 0; at < len(all); at += lineWords {
			var line [lineWords]uint64
			set := uint64(0)
			for i := range line {
				line[i] = all[at+i].Load()
				set |= line[i]
			}
			if set == 0 {
				continue
			}
			b = le.AppendUint32(b[:0], uint32(at/lineWords)|uint32(older)*olderMap)
			for _, word := range line {
				b = le.AppendUint64(b, word)
			}
			if err := w.Record(handover.KindLines, b); err != nil {
				return err
			}
		}
	}
	return nil
}

// filterBits is the size of a bitmap of so many words as a power of two.
func filterBits(words int) (bits uint8) {
	for words*64>>bits > 1 {
		bits++
	}
	return bits
}

// filterImport is a filter that takes what another one has handed over.
type filterImport struct {
	into  *FrameIDFilter
	lines uint64 // in a bitmap of the other one
	next  uint64 // lowest number, with the top bit, that may come
	taken int
}

// begin makes an empty filter one that has the other's key and times, elapsed ns after
// the other was exported.
func (m *filterImport) begin(now, elapsed int64, b []byte) error {
	if m.lines != 0 || len(b) != filterLen {
		return handover.Broken("the frame-ID filter: %d bytes of it", len(b))
	}
	le := binary.LittleEndian
	bits, turn, guard := b[64], le.Uint64(b[65:]), le.Uint64(b[73:])
	if bits < minFrameIDBits || bits > maxFrameIDBits || turn > uint64(frameIDWindow) || guard > maxGuard {
		return handover.Broken("the frame-ID filter: 2^%d bits, turned in %d ns, guarded for %d ns", bits, turn, guard)
	}
	f := m.into
	f.key.read(b)
	// One that should have been turned meanwhile is turned at the next claim: what is
	// in it counts longer than it had to.
	f.turn.Store(now - elapsed + int64(turn))
	f.guard.Store(min(f.guard.Load(), now+max(0, int64(guard)-elapsed)))
	m.lines = 1 << bits / lineBits
	return nil
}

// maxGuard is the longest startup guard in ns that is taken for one: a year.
const maxGuard = 365 * 86400 * 1_000_000_000

// take takes lines. Where the other's bitmaps were smaller each line is wherever one of
// its frames can have its place now; where they were larger, several are one.
func (m *filterImport) take(b []byte) error {
	if m.lines == 0 || len(b)%filterLineLen != 0 {
		return handover.Broken("the frame-ID filter: %d bytes of lines", len(b))
	}
	f := m.into
	turns := f.turns.Load()
	for ; len(b) > 0; b = b[filterLineLen:] {
		number := binary.LittleEndian.Uint32(b)
		line, words := uint64(number&^olderMap), f.maps[turns%3]
		if number&olderMap != 0 {
			words = f.maps[(turns+2)%3]
		}
		if line >= m.lines || uint64(number) < m.next {
			return handover.Broken("the frame-ID filter: line %d of %d is out of order", line, m.lines)
		}
		m.next = uint64(number) + 1
		for at := line & f.mask; at <= f.mask; at += m.lines {
			for i := range lineWords {
				words[at*lineWords+uint64(i)].Or(binary.LittleEndian.Uint64(b[4+8*i:]))
			}
		}
		m.taken++
	}
	return nil
}
