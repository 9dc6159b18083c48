package evasion

import (
	"fmt"
	"math/rand/v2"
	"slices"
)

// Wire is a packet between the firewall and a receiver.
type Wire struct {
	// At is when it left, in ns.
	At     int64
	Packet []byte
}

// burst is how far packets may be apart, in ns, that a network reorders.
const burst = 1e9

// Network is what a network made of the packets that left.
type Network struct {
	Name    string
	Packets []Wire
	// Doubled: a packet came twice. Windows counts its bytes twice then, and may take
	// a frame for whole that is not; no firewall can keep it from that.
	Doubled bool
}

// each is how many packets are lost and doubled one by one; of more, so many by chance.
const each = 32

// Networks returns what networks may make of packets: all of them as they left, each
// one lost, each one doubled at once and late, in all orders where four or fewer left
// together, and in some random ones, with a loss in every second of these.
func Networks(left []Wire, random *rand.Rand) []Network {
	list := []Network{{Name: "all", Packets: left}}
	if len(left) == 0 {
		return list
	}
	for _, i := range random.Perm(len(left))[:min(len(left), each)] {
		list = append(list, Network{Name: fmt.Sprintf("packet %d lost", i), Packets: without(left, i)})
		twice := slices.Insert(slices.Clone(left), i, left[i])
		list = append(list, Network{fmt.Sprintf("packet %d twice", i), twice, true})
		late := append(slices.Clone(left[:bound(left, i)]), Wire{left[bound(left, i)-1].At, left[i].Packet})
		list = append(list, Network{fmt.Sprintf("packet %d once more, late", i), append(late, left[bound(left, i):]...), true})
	}
	for from := 0; from < len(left); {
		to := bound(left, from)
		if n := to - from; n > 1 && n <= 4 {
			permute(left[from:to], func(order []Wire) {
				list = append(list, Network{Name: "another order", Packets: slices.Concat(left[:from], order, left[to:])})
			})
		}
		from = to
	}
	for i := range 16 {
		order := slices.Clone(left)
		for from := 0; from < len(order); {
			to := bound(left, from)
			part := order[from:to]
			random.Shuffle(len(part), func(a, b int) { part[a].Packet, part[b].Packet = part[b].Packet, part[a].Packet })
			from = to
		}
		if i%2 == 1 {
			order = without(order, random.IntN(len(order)))
		}
		list = append(list, Network{Name: fmt.Sprintf("random order %d", i), Packets: order})
	}
	return list
}

// bound returns where the burst ends in which packet i left.
func bound(left []Wire, i int) int {
	end := i
	for end < len(left) && left[end].At-left[i].At < burst {
		end++
	}
	return end
}

func without(left []Wire, i int) []Wire { return slices.Delete(slices.Clone(left), i, i+1) }

// permute calls f with all orders of packets; the times stay in order.
func permute(list []Wire, f func([]Wire)) {
	order := slices.Clone(list)
	var place func(k int)
	place = func(k int) {
		if k == len(order) {
			f(slices.Clone(order))
			return
		}
		for i := k; i < len(order); i++ {
			order[k].Packet, order[i].Packet = order[i].Packet, order[k].Packet
			place(k + 1)
			order[k].Packet, order[i].Packet = order[i].Packet, order[k].Packet
		}
	}
	place(0)
}

// PayloadLength is how many bytes of a super-segment are behind its headers.
func PayloadLength(packet []byte) int {
	if packet[0]>>4 == 6 {
		return len(packet) - 60
	}
	return len(packet) - 40
}

// Segmentize cuts a super-segment as the kernel does when it leaves (tcp_gso_segment):
// size bytes of payload each, the sequence number counted on, PSH and FIN on the last
// alone, and the checksum finished from what its field holds.
func Segmentize(packet []byte, size int) [][]byte {
	ip := 20
	if packet[0]>>4 == 6 {
		ip = 40
	}
	headers := ip + 20
	payload := packet[headers:]
	var list [][]byte
	for from := 0; from < len(payload) || from == 0; from += size {
		to := min(from+size, len(payload))
		b := slices.Concat(packet[:headers], payload[from:to])
		tcp := b[ip:]
		put32(tcp[4:], get32(tcp[4:])+uint32(from))
		if to < len(payload) {
			tcp[13] &^= 0x09
		}
		put16(tcp[16:], sum(tcp[16:18], word(len(tcp)), word(int(^uint16(len(packet)-ip)))))
		put16(tcp[16:], ^sum(tcp))
		if ip == 40 {
			put16(b[4:], uint16(len(tcp)))
		} else {
			put16(b[2:], uint16(len(b)))
			put16(b[4:], get16(b[4:])+uint16(len(list)))
			put16(b[10:], 0)
			put16(b[10:], ^sum(b[:20]))
		}
		list = append(list, b)
	}
	return list
}
