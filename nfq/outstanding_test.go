package nfq

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"sttwall/firewall"
)

// kernelList is nfnetlink_queue's list of packets as one reads it there: each
// packet that nobody decided yet, in the order of queueing.
type kernelList struct {
	t         testing.TB
	last      uint32 // ID of the last packet queued
	copyRange uint32
	list      []queued
	repeated  []queued // queued anew
	left      []string // what left, in order
}

type queued struct {
	id    uint32
	name  string
	whole bool
}

// push queues a packet; lost ones take an ID and no place.
func (k *kernelList) push(name string, lost bool) (id uint32) {
	k.last++
	if !lost {
		k.list = append(k.list, queued{k.last, name, false})
	}
	return k.last
}

// carryOut carries out a datagram of verdict messages as the kernel does
// (nfqnl_recv_verdict, nfqnl_recv_verdict_batch), which compares IDs as
// differences of 32 bits. It returns what became of each packet by its name.
func (k *kernelList) carryOut(datagram []byte, became map[string]string) {
	for len(datagram) > 0 {
		m, rest, ok := nextMessage(datagram)
		if !ok {
			k.t.Fatalf("no message: %x", datagram)
		}
		datagram = rest
		if m.typ == msgConfig {
			k.copyRange = binary.BigEndian.Uint32(m.body[netfilterHeaderLen+attrHeaderLen:])
			continue
		}
		action, id, payload := readAnswer(k.t, &m)
		switch m.typ {
		case msgVerdict:
			at := slices.IndexFunc(k.list, func(q queued) bool { return q.id == id })
			if at < 0 {
				k.t.Fatalf("verdict for packet %d, which the kernel does not hold", id)
			}
			q := k.list[at]
			k.list = slices.Delete(k.list, at, at+1)
			k.reinject(q, action, payload, became)
		case msgVerdictBatch:
			n := 0
			for n < len(k.list) && int32(k.list[n].id-id) <= 0 {
				if action == netfilterRepeat {
					k.t.Fatal("a batch verdict to repeat packets")
				}
				k.reinject(k.list[n], action, payload, became)
				n++
			}
			if n == 0 || payload != nil {
				k.t.Fatalf("batch verdict up to %d for %d packets, payload %q", id, n, payload)
			}
			k.list = slices.Delete(k.list, 0, n)
		default:
			k.t.Fatalf("got message type %#x", m.typ)
		}
	}
}

func (k *kernelList) reinject(q queued, action uint32, payload []byte, became map[string]string) {
	what := "drop"
	if action == netfilterAccept {
		what = "accept" + string(payload)
		k.left = append(k.left, q.name)
	}
	if action == netfilterRepeat {
		what = "again"
		k.last++
		q = queued{k.last, q.name, k.copyRange == wholePacket}
		k.list = append(k.list, q)
		k.repeated = append(k.repeated, q)
	}
	if _, twice := became[q.name]; twice {
		k.t.Fatalf("packet %s got two verdicts", q.name)
	}
	became[q.name] = what
}

// readAnswer reads a verdict message, single or batch.
func readAnswer(t testing.TB, m *message) (action, id uint32, payload []byte) {
	t.Helper()
	if binary.BigEndian.Uint16(m.body[2:]) != testQueue {
		t.Fatalf("message for another queue: %x", m.body)
	}
	for rest := m.body[netfilterHeaderLen:]; len(rest) > 0; {
		size := int(binary.NativeEndian.Uint16(rest))
		switch value := rest[attrHeaderLen:size]; binary.NativeEndian.Uint16(rest[2:]) {
		case attrVerdictHeader:
			action, id = binary.BigEndian.Uint32(value), binary.BigEndian.Uint32(value[4:])
		case attrPayload:
			payload = value
		default:
			t.Fatalf("attribute of an unknown type: %x", rest)
		}
		rest = rest[min((size+3)&^3, len(rest)):]
	}
	return action, id, payload
}

const testQueue = 17

// answerModel drives answers against the kernel's list: packets come, some are
// lost, some are held for long, and lists of verdicts in any order, with IDs
// twice and unknown ones among them, are carried out.
type answerModel struct {
	t      testing.TB
	kernel kernelList
	held   outstanding
	ranges copyRange
	a      *answers
	socket []byte // what the kernel carries out

	names   int
	waiting []received
}

type received struct {
	id   uint64
	name string
	more bool
}

func newAnswerModel(t testing.TB, first uint32, maxSend int) *answerModel {
	m := &answerModel{t: t}
	m.ranges.bytes = 256
	m.kernel = kernelList{t: t, last: first, copyRange: m.ranges.bytes}
	m.held.last = uint64(first)
	m.a = newAnswers(testQueue, &m.held, &m.ranges, maxSend, func(pieces [][]byte) error {
		datagram := slices.Concat(pieces...)
		if len(datagram) == 0 || len(datagram) > maxSend || len(pieces) > 1024 {
			t.Fatalf("datagram of %d bytes in %d pieces", len(datagram), len(pieces))
		}
		m.socket = append(m.socket, datagram...)
		configures := false
		for next, rest, ok := nextMessage(datagram); ok; next, rest, ok = nextMessage(rest) {
			configures = configures || next.typ == msgConfig
		}
		if m.a.waits != configures {
			t.Fatalf("got %v for whether the kernel may wait, want %v, as it is configured", m.a.waits, configures)
		}
		return nil
	})
	return m
}

// come queues a packet in the kernel, and receives it unless it is lost.
func (m *answerModel) come(lost bool) {
	m.names++
	name := string(binary.BigEndian.AppendUint32(nil, uint32(m.names)))
	id := m.kernel.push(name, lost)
	if !lost {
		m.receive(queued{id: id, name: name})
	}
}

// receive receives a packet; every other one is longer than the copy range.
func (m *answerModel) receive(q queued) {
	more := !q.whole && q.name[3]%2 == 0
	long, ok := m.held.received(q.id, more)
	if !ok || uint32(long) != q.id {
		m.t.Fatalf("packet %d was received as %d, %v", q.id, long, ok)
	}
	m.waiting = append(m.waiting, received{long, q.name, more})
}

// decide gives the verdicts and looks what became of the packets. The list names
// waiting packets by index; an index out of range is an ID that nobody holds.
func (m *answerModel) decide(list []choice) {
	var verdicts []firewall.Verdict
	want := map[string]string{}
	var leave []string
	late := uint64(0)
	for _, c := range list {
		v := firewall.Verdict{ID: uint64(m.kernel.last)<<8 | 0xff<<40, Action: c.action, Payload: c.payload}
		if c.packet < len(m.waiting) {
			p := m.waiting[c.packet]
			v.ID = p.id
			if _, twice := want[p.name]; !twice {
				want[p.name] = "drop"
				if c.action == firewall.Again && p.more {
					want[p.name] = "again"
				}
				if c.action == firewall.Accept && (c.payload == nil || sendable(c.payload)) {
					want[p.name] = "accept" + string(c.payload)
					leave = append(leave, p.name)
				}
			} else {
				late++
			}
		} else {
			late++
		}
		verdicts = append(verdicts, v)
	}
	must(m.t, m.a.give(verdicts))
	if m.a.late != late {
		m.t.Fatalf("got %d late verdicts counted, want %d", m.a.late, late)
	}
	m.kernel.left = nil
	got := map[string]string{}
	m.kernel.carryOut(m.socket, got)
	m.socket = m.socket[:0]
	if len(got) != len(want) {
		m.t.Fatalf("%d packets got verdicts, want %d", len(got), len(want))
	}
	for name, what := range want {
		if got[name] != what {
			m.t.Fatalf("packet %x: got %q, want %q", name, got[name], what)
		}
	}
	if !slices.Equal(m.kernel.left, leave) {
		m.t.Fatalf("left as %x, want %x", m.kernel.left, leave)
	}
	if m.kernel.copyRange != m.ranges.bytes {
		m.t.Fatalf("the copy range stays at %d, want %d", m.kernel.copyRange, m.ranges.bytes)
	}
	m.waiting = slices.DeleteFunc(m.waiting, func(p received) bool { _, done := want[p.name]; return done })
	for _, q := range m.kernel.repeated {
		if !q.whole {
			m.t.Fatalf("packet %x comes again and is not whole", q.name)
		}
		m.receive(q)
	}
	m.kernel.repeated = nil
	if alive := len(m.held.entries) - m.held.head - m.held.done; alive != len(m.waiting) {
		m.t.Fatalf("%d packets are outstanding, want %d", alive, len(m.waiting))
	}
	if got, most := len(m.held.entries), 5*len(m.waiting)+keepEntries+4096; got > most {
		m.t.Fatalf("%d entries for %d packets, want at most %d", got, len(m.waiting), most)
	}
}

type choice struct {
	packet  int // index of those waiting
	action  firewall.Action
	payload []byte
}

var replacements = [][]byte{outer{}.bytes(), outer{payload: make([]byte, 1)}.bytes(), outer{payload: make([]byte, 700)}.bytes(), {1, 2, 3}, {}}

func TestNoPacketEverGetsAnothersVerdict(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for round := range 300 {
		// Half of them over the end of the kernel's 32 bits.
		first := uint32(0)
		if round%2 == 1 {
			first = -uint32(random.IntN(2000))
		}
		m := newAnswerModel(t, first, []int{verdictLen(make([]byte, 1000)), 4096, 1 << 20}[random.IntN(3)])
		lose, hold, drop, payload := random.Float64()*0.3, random.Float64()*0.5, random.Float64(), random.Float64()*0.3
		if random.IntN(3) == 0 {
			hold = 0
		}
		if random.IntN(3) == 0 {
			payload = 0
		}
		for range 60 {
			for range random.IntN(100) {
				m.come(random.Float64() < lose)
			}
			var list []choice
			for i := range m.waiting {
				if random.Float64() < hold {
					continue
				}
				c := choice{packet: i}
				if random.Float64() >= drop {
					c.action = firewall.Accept
				}
				if random.IntN(30) == 0 {
					c.action = firewall.Again
				}
				if random.Float64() < payload {
					c.payload = replacements[random.IntN(len(replacements))]
				}
				list = append(list, c)
				if random.IntN(50) == 0 {
					list = append(list, c) // twice
				}
				if random.IntN(50) == 0 {
					list = append(list, choice{packet: 1 << 30}) // nobody's
				}
			}
			if random.IntN(4) == 0 {
				random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
			}
			if random.IntN(20) == 0 {
				m.ranges.bytes = []uint32{128, 256, wholePacket}[random.IntN(3)]
				m.kernel.copyRange = m.ranges.bytes
			}
			m.decide(list)
		}
	}
}

// A process that was stopped for long finds that half of all IDs were lost.
func TestIDsFarFromEachOtherAreNoHindranceAndNotMistaken(t *testing.T) {
	for _, lost := range []uint32{1<<31 - 10, 1<<31 + 10, 1<<32 - 20} {
		for first, action := range []firewall.Action{firewall.Accept, firewall.Drop} {
			m := newAnswerModel(t, 7, 4096)
			for range 4 {
				m.come(false)
			}
			m.kernel.last += lost
			for range 4 {
				m.come(false)
			}
			other := []firewall.Action{firewall.Drop, firewall.Accept}[first]
			m.decide([]choice{{packet: 0, action: action}, {packet: 1, action: action}})
			m.decide([]choice{{packet: 0, action: action}, {packet: 1, action: action}, {packet: 2, action: other}})
			m.come(false)
			m.decide([]choice{{packet: 0, action: action}, {packet: 1, action: action}})
		}
	}
}

// FuzzAnswers: as above, with packets and lists that the bytes choose. The first is
// where the kernel's IDs begin; each of the others is an event.
func FuzzAnswers(f *testing.F) {
	f.Add([]byte{0, 1, 1, 1, 0x80, 0x91, 0xa2, 2})
	f.Add([]byte{7, 1, 3, 1, 1, 0xc0, 0x80, 0x81, 2, 1, 0x80, 2})
	f.Add([]byte{200, 1, 1, 1, 1, 0x92, 0x81, 0x80, 2, 0xe3, 2, 2})
	f.Fuzz(func(t *testing.T, events []byte) {
		if len(events) == 0 {
			return
		}
		m := newAnswerModel(t, -uint32(events[0]), 4096)
		var list []choice
		for _, e := range events[1:] {
			switch {
			case e&0x80 != 0: // a verdict for one of those waiting, or for none
				c := choice{packet: int(e & 0x0f), action: []firewall.Action{firewall.Accept, firewall.Drop, firewall.Again, firewall.Accept}[e>>4&3]}
				if e&0x70 == 0x70 {
					c.payload = replacements[int(e)%len(replacements)]
				}
				list = append(list, c)
			case e%4 == 0: // nothing
			case e%4 == 2: // the list is given
				m.decide(list)
				list = list[:0]
			default: // a packet comes, or is lost
				m.come(e%4 == 3)
			}
		}
		m.decide(list)
	})
}
