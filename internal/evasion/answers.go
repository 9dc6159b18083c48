package evasion

import (
	"bytes"
	"fmt"

	"sttwall/internal/receiver"
)

// VerifyAnswers says what is wrong with what a firewall has sent by itself, in answer to
// what it rejected: "" if each answer goes to who sent what is refused, is about that and
// nothing else, and there are no two about one.
func (c *Core) VerifyAnswers(s *Script, answers [][]byte) string {
	asked := asked(s)
	for i, a := range answers {
		d := receiver.NewLinux(receiver.LinuxConfig{IPv6: true}).Receive(0, 0, a)
		other := receiver.NewWindows(receiver.WindowsConfig{IPv6: true, KeepsTOS: true}).Receive(0, 0, a)
		if d == nil || other == nil || effect(d) != effect(other) {
			return fmt.Sprintf("answer %d: receivers do not deliver the same: %x", i, a)
		}
		answer, err := read(d, d.Frame)
		if err != nil {
			return fmt.Sprintf("answer %d cannot be read: %v", i, err)
		}
		found := false
		for k, q := range asked {
			if found = q != nil && q.answeredBy(c.rules[0].set, d, answer); found {
				asked[k] = nil
				break
			}
		}
		if !found {
			return fmt.Sprintf("answer %d is to nothing that was sent and may be answered: %x", i, a)
		}
	}
	return ""
}

// question is a frame that somebody has sent.
type question struct {
	delivered *receiver.Delivered
	*reading
}

// asked returns the frames of a script, as a receiver without a firewall would have them.
func asked(s *Script) []*question {
	var list []*question
	linux := receiver.NewLinux(receiver.LinuxConfig{IPv6: true})
	for _, p := range s.Sent {
		if p.Packet == nil {
			continue
		}
		packet := p.Packet
		if p.GSO || p.Partial {
			packet = Segmentize(packet, 1<<16)[0]
		}
		d := linux.Receive(int64(p.At), 0, packet)
		if d == nil {
			continue
		}
		if r, err := read(d, d.Frame); err == nil && r.src != nil {
			list = append(list, &question{d, r})
		}
	}
	return list
}

// answeredBy reports whether an answer is one to what was asked, and that one which may
// be answered (RFC 1122 section 3.2.2, RFC 4443 section 2.4, RFC 9293 section 3.10.7).
func (q *question) answeredBy(set *RuleSet, d *receiver.Delivered, a *reading) bool {
	const rst = 0x04
	icmp := q.protocol == protocolICMP || q.protocol == protocolICMPv6
	switch {
	case d.Src != q.delivered.Dst || d.Dst != q.delivered.Src || a.context != q.context || a.vlan != q.vlan:
		return false // another tunnel
	case !bytes.Equal(a.src, q.dst) || !bytes.Equal(a.dst, q.src) || group(q.src) || group(q.dst):
		return false
	case !bytes.Equal(d.Frame[:6], q.delivered.Frame[6:12]) || q.delivered.Frame[0]&1 != 0 || q.delivered.Frame[6]&1 != 0:
		return false
	case q.fragment != nil && q.fragment.offset > 0, q.protocol == protocolTCP && q.tcpFlags&rst != 0:
		return false
	case icmp && q.payload[0] != 8 && q.payload[0] != 128:
		return false // an error, or an answer
	case set.permits(q.reading) == "":
		return false
	case q.protocol == protocolTCP:
		return a.protocol == protocolTCP && a.tcpFlags&rst != 0 && a.srcPort == q.dstPort && a.dstPort == q.srcPort
	case a.protocol == protocolICMP:
		return bytes.Equal(a.payload[:2], []byte{3, 13})
	}
	return a.protocol == protocolICMPv6 && bytes.Equal(a.payload[:2], []byte{1, 1})
}

// group reports whether an address is not that of one host.
func group(b []byte) bool {
	if len(b) == 16 {
		return b[0] == 0xff || bytes.Equal(b, make([]byte, 16))
	}
	return b[0] >= 224 || b[0] == 0 || b[0] == 127
}
