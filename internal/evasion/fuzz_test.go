package evasion

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// choices reads what a fuzz target does from its input.
type choices struct{ b []byte }

func (c *choices) next() int {
	if len(c.b) == 0 {
		return 0
	}
	v := c.b[0]
	c.b = c.b[1:]
	return int(v)
}

func (c *choices) done() bool { return len(c.b) == 0 }

// menu are the frames out of which sequences are made: accepted and denied ones, of
// each kind that the rules, the flow table or a receiver treat in a way of their own.
func menu(s *Script) [][]byte {
	return [][]byte{
		s.web(300), s.ssh(300),
		s.frame(header{context: 200}, packet{payload: 300}),
		s.frame(header{context: 200}, packet{payload: 300, dstPort: 22}),
		s.partial(packet{payload: 1500}, func(h *header) { h.mss = 600 }),
		s.partial(packet{payload: 300, dstPort: 22}, nil),
		s.partial(packet{payload: 300, v6: true}, nil),
		s.frame(header{flags: 1, context: 200}, packet{payload: 200, v6: true}),
		s.frame(header{tci: 42}, packet{payload: 200}),
		s.frame(header{tci: 0x102b}, packet{payload: 200}),
		s.frame(header{tci: 0x1000}, packet{payload: 200, tags: []uint16{42}}),
		s.frame(header{}, packet{payload: 200, tags: []uint16{42, 43}}),
		s.frame(header{}, packet{payload: 400, fragment: &fragment{id: 7, more: true}}),
		s.frame(header{}, packet{fragment: &fragment{id: 7, offset: 400}}),
		s.frame(header{}, packet{payload: 400, dstPort: 22, fragment: &fragment{id: 7, more: true}}),
		s.frame(header{context: 200}, packet{v6: true, payload: 400, fragment: &fragment{id: 7, more: true}}),
		s.frame(header{context: 200}, packet{v6: true, payload: 80, fragment: &fragment{id: 7, offset: 16, more: true}}),
		s.frame(header{context: 0x1fff}, packet{options: []byte{1, 1, 1, 0}, payload: 100}),
		s.frame(header{}, packet{v6: true, extensions: []extension{{number: 60, data: make([]byte, 6)}}, payload: 100}),
		s.frame(header{}, packet{snap: true, payload: 100}),
		s.frame(header{context: 200}, packet{flags: 0x02, dstPort: 22}),
		s.frame(header{context: 200}, packet{flags: 0x14}),
	}
}

// compose makes a script out of bytes.
func compose(input []byte) *Script {
	s := &Script{Way: OnPlain}
	c := &choices{input}
	frames := menu(s)
	s.Startup = c.next()%8 == 7
	s.Held = c.next() % 4 // 0: as many as there may be
	s.Queues = s.Held == 3
	for !c.done() && len(s.Sent) < 60 {
		frame := slices.Clone(frames[c.next()%len(frames)])
		id, how := uint32(c.next()%4), c.next()
		tweak := c.next() % 24
		switch tweak {
		case 1: // the frame header
			frame[c.next()%18] ^= byte(1 + c.next())
		case 2: // the inner headers
			frame[18+c.next()%min(80, len(frame)-18)] ^= byte(1 + c.next())
		case 3:
			s.wait(time.Duration(c.next()) * 500 * time.Millisecond)
		}
		size := []int{len(frame), 72, 94, 160, 18, 90, 30, 512}[how%8]
		var at []int
		for n := size; n < len(frame); n += size {
			at = append(at, n)
		}
		parts := cut(id, frame, at...)
		if len(parts) > 12 {
			parts = cut(id, frame, size)
		}
		switch which := how / 8; which % 4 {
		case 1:
			slices.Reverse(parts)
		case 2:
			parts = parts[which/4%len(parts):][:1]
		case 3:
			parts = slices.Delete(parts, which/4%len(parts), which/4%len(parts)+1)
		}
		s.Way = OnPlain
		if len(parts) > 0 {
			p := &parts[c.next()%len(parts)]
			p.payload = slices.Clone(p.payload)
			switch tweak {
			case 4:
				p.total += c.next() - 128
			case 5:
				p.offset += c.next() - 128
			case 6:
				p.srcPort = uint16(40001 + c.next()%2)
			case 7:
				p.flags = byte(c.next())
			case 8:
				p.dataOffset = byte(c.next() % 16)
			case 9:
				p.badSum = true
			case 10:
				p.tos = byte(c.next())
			case 11:
				p.window, p.urgent, p.reserved = uint16(c.next()), uint16(c.next()), byte(c.next()%16)
			case 12:
				p.payload[c.next()%len(p.payload)] ^= byte(1 + c.next())
			case 13:
				p.place = uint16(c.next()) << 8
			case 14:
				p.options = []byte{1, 1, 1, byte(c.next())}
			case 15, 16:
				s.Way = OnGSO
			case 17:
				s.Way = OnReencoded
			case 20, 21:
				s.Way = OnCopied
			}
		}
		for i := range parts {
			switch tweak {
			case 18:
				parts[i].v6 = true
			case 19:
				parts[i].src = 3
			}
		}
		s.send(parts...)
	}
	s.Way = OnPlain
	return s
}

// FuzzSequencesAgainstReceivers sends sequences that the input makes out of a few
// frames, cut, spliced, doubled, lied about and damaged, through the core; networks
// damage what leaves; and what each receiver then delivers are frames on which the core
// decided as a whole, and that the rules accept, one by one.
func FuzzSequencesAgainstReceivers(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 3, 0, 0, 2, 1, 3, 0, 0})
	f.Add([]byte{7, 2, 0, 1, 11, 0, 0, 1, 1, 19, 0, 0, 0, 1, 3, 15, 0})
	f.Add(bytes.Repeat([]byte{0, 1, 3, 0, 0, 1, 1, 27, 0, 0}, 4))
	f.Add(bytes.Repeat([]byte{12, 1, 0, 0, 0, 13, 2, 0, 0, 0, 14, 3, 0, 0, 0}, 3))
	random := rand.New(rand.NewPCG(3, 4))
	for n := range 64 {
		b := make([]byte, 20+n)
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		if len(input) > 400 {
			return
		}
		s := compose(input)
		seed := uint64(len(input))
		for _, v := range input {
			seed = seed*31 + uint64(v)
		}
		r, err := Try(s, rand.New(rand.NewPCG(seed, 1)))
		if err != nil {
			t.Fatal(err)
		}
		if r.Broken != "" {
			t.Fatal(r.Broken)
		}
	})
}

// What the fuzzer makes has to reach the receivers, else it tests nothing.
func TestRandomSequencesReachTheReceivers(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	accepted, rewritten, delivered := 0, 0, 0
	reasons := map[string]bool{}
	for n := range 300 {
		b := make([]byte, 100)
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		r, err := Try(compose(b), random)
		if err != nil {
			t.Fatal(err)
		}
		if r.Broken != "" {
			t.Fatalf("sequence %d %x: %s", n, b, r.Broken)
		}
		accepted, rewritten, delivered = accepted+r.Accepted, rewritten+r.Rewritten, delivered+r.Delivered
		for _, why := range r.Reasons {
			reasons[why.String()] = true
		}
	}
	if accepted < 300 || rewritten < 30 || delivered < 1000 || len(reasons) < 20 {
		t.Errorf("%d frames accepted, %d of them rewritten, %d delivered, %d reasons", accepted, rewritten, delivered, len(reasons))
	}
}
