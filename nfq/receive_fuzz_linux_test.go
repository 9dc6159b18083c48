package nfq

import (
	"encoding/binary"
	"slices"
	"strconv"
	"testing"

	"github.com/mdlayher/netlink"

	"sttwall/firewall"
)

// fuzzSlots is how many datagrams an input is cut into at most.
const fuzzSlots = 6

// FuzzReceive: whatever datagrams the kernel sends, cut anywhere, each message of them
// counts once: as a packet that is handed out, as an answer, or as one that nobody can
// read. Packets are whole parts of their datagram with IDs that go up. And then each
// packet that the kernel holds and has named gets its own verdict, and no other.
func FuzzReceive(f *testing.F) {
	id := func(n uint32) netlink.Attribute {
		return netlink.Attribute{Type: attrPacketHeader, Data: append(be32(n), 8, 0, 0)}
	}
	data := netlink.Attribute{Type: attrPayload, Data: outer{}.bytes()}
	cut := netlink.Attribute{Type: attrCapLen, Data: be32(1500)}
	failed := func(seq, errno uint32) []byte {
		m := endMessage(binary.NativeEndian.AppendUint32(appendHeader(nil, msgError, 0, 0)[:netlinkHeaderLen], -errno), 0)
		binary.NativeEndian.PutUint32(m[8:], seq)
		return m
	}
	f.Add(slices.Concat(packetMessage(f, id(1), data), packetMessage(f, id(2), data), packetMessage(f, id(3), cut, data)), []byte{}, uint8(2))
	f.Add(slices.Concat(packetMessage(f, id(1), data), packetMessage(f, id(2)), packetMessage(f, id(3), data)), []byte{20, 20}, uint8(1))
	f.Add(slices.Concat(packetMessage(f, id(1), data), packetMessage(f, id(1), data), packetMessage(f, id(9), data)), []byte{}, uint8(3))
	f.Add(slices.Concat(failed(0, 2), packetMessage(f, id(7), data), failed(seqWake, 0), failed(0, 12), failed(seqStart, 1), packetMessage(f, id(8), data)), []byte{}, uint8(8))
	f.Add(slices.Concat(packetMessage(f, data), packetMessage(f, id(1<<31), data), packetMessage(f, id(1<<32-1), data), packetMessage(f, id(3), data)), []byte{9}, uint8(8))
	memory := make([]byte, fuzzSlots*slotLen)
	f.Fuzz(func(t *testing.T, stream, cuts []byte, size uint8) {
		var handed []firewall.Packet
		q := &fast{number: testQueue, sock: new(socket)}
		q.memory = memory
		datagrams := cutInto(stream, cuts)
		for i, d := range datagrams {
			q.headers[i].length = uint32(copy(memory[i*slotLen:(i+1)*slotLen], d))
			datagrams[i] = d[:q.headers[i].length]
		}
		q.filled = len(datagrams)
		named, ascending := namedIn(datagrams)
		kernel := kernelList{t: t, copyRange: 256}
		for i, n := range named {
			kernel.list = append(kernel.list, queued{n, strconv.Itoa(i), false})
		}
		became := map[string]string{}
		q.sock.copyRange.bytes = 256
		q.answers = newAnswers(testQueue, &q.held, &q.sock.copyRange, 1<<17, func(pieces [][]byte) error {
			sent := slices.Concat(pieces...)
			for m, rest, ok := nextMessage(sent); ok; m, rest, ok = nextMessage(rest) {
				if m.typ == msgVerdictBatch && q.held.unsure {
					t.Fatal("a batch verdict, and the kernel may hold packets that nobody knows")
				}
			}
			if ascending {
				kernel.carryOut(sent, became)
			}
			return nil
		})

		batch := make([]firewall.Packet, size%16+1)
		for {
			q.batch, q.n = batch, 0
			q.take()
			for i := range batch[:q.n] {
				p := &batch[i]
				if n := len(handed); n > 0 && p.ID <= handed[n-1].ID || p.Length < len(p.Data) || cap(p.Data) != len(p.Data) {
					t.Fatalf("packet %d of %d bytes with %d in memory, room for %d", p.ID, p.Length, len(p.Data), cap(p.Data))
				}
				handed = append(handed, *p)
			}
			if q.n < len(batch) {
				break
			}
		}
		unreadable := q.count.unreadable.Load()
		if got, want := unreadable+uint64(len(handed)), messagesIn(datagrams, false); q.cause == nil && got != want {
			t.Fatalf("%d packets and %d messages that cannot be read, of %d", len(handed), unreadable, want)
		}
		if q.cause != nil {
			if messagesIn(datagrams, true) == 0 {
				t.Fatalf("without an answer from the kernel: %v", q.cause)
			}
			return
		}
		var list []firewall.Verdict
		for i, p := range handed {
			list = append(list, firewall.Verdict{ID: p.ID, Action: []firewall.Action{firewall.Accept, firewall.Drop, firewall.Accept}[i%3]})
		}
		must(t, q.SetVerdicts(list))
		if !ascending {
			return
		}
		if left := len(kernel.list); left > 0 {
			t.Fatalf("%d of %d packets have no verdict: %v", left, len(named), kernel.list)
		}
		accepted := 0
		for _, what := range became {
			if what == "accept" {
				accepted++
			}
		}
		if want := (len(handed)+2)/3 + len(handed)/3; accepted != want {
			t.Fatalf("%d packets were accepted, want %d of %d", accepted, want, len(handed))
		}
	})
}

// cutInto cuts a stream into datagrams, each some words long and the last one the rest.
func cutInto(stream, cuts []byte) (datagrams [][]byte) {
	for _, c := range cuts {
		if n := int(c) * 4; len(datagrams) < fuzzSlots-1 && 0 < n && n < len(stream) {
			datagrams, stream = append(datagrams, stream[:n]), stream[n:]
		}
	}
	return append(datagrams, stream)
}

// namedIn returns the IDs of the packets that datagrams name, and whether they go up
// one behind the other, as the kernel's do.
func namedIn(datagrams [][]byte) (ids []uint32, ascending bool) {
	ascending = true
	last := uint32(0)
	for _, d := range datagrams {
		for m, rest, ok := nextMessage(d); ok; m, rest, ok = nextMessage(rest) {
			var p firewall.Packet
			if m.typ != msgPacket {
				continue
			}
			if known, _ := m.packet(testQueue, &p); known {
				ascending = ascending && uint32(p.ID) > last
				last = uint32(p.ID)
				ids = append(ids, last)
			}
		}
	}
	return ids, ascending
}

// messagesIn counts messages, and what is left of a datagram as one: all but the answers
// to requests, or these alone.
func messagesIn(datagrams [][]byte, answers bool) (n uint64) {
	for _, d := range datagrams {
		if len(d) == 0 && !answers {
			n++ // no message is none either
		}
		for len(d) > 0 {
			length := uint64(len(d)) + 1
			if len(d) >= 16 {
				length = uint64(binary.NativeEndian.Uint32(d))
			}
			if length < 16 || length > uint64(len(d)) {
				if !answers {
					n++
				}
				break
			}
			if isAnswer := binary.NativeEndian.Uint16(d[4:]) == 2 && length >= 20; isAnswer == answers {
				n++
			}
			d = d[min((length+3)/4*4, uint64(len(d))):]
		}
	}
	return n
}
