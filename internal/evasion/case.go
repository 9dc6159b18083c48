package evasion

import (
	"slices"
	"time"

	"sttwall/reason"
)

// Rules are what the attacked firewall enforces: one tenant's web traffic, and
// nothing else. Context IDs 100 and 0x1000 to 0x1fff are decided packet by packet,
// 200 by flows. In 300 there must be a VLAN, in 301 none.
const Rules = `
settings {
  endpoints = ["192.0.2.0/24", "2001:db8:47::/64"]
  flows     = 1024
  bindings  = 1024
}
service "web" {
  protocol = "tcp"
  ports    = [80]
}
tenant "acme" {
  context_ids    = [100, "0x1000-0x1fff"]
  default_action = "drop"
  rule "web" {
    action      = "accept"
    state       = "stateless"
    vlan        = ["!43"]
    destination = ["10.1.0.10", "2001:db8:1::a"]
    services    = [service.web]
  }
}
tenant "tagged" {
  context_ids    = [300]
  default_action = "drop"
  rule "untagged" {
    action = "drop"
    vlan   = ["none"]
  }
  rule "web" {
    action      = "accept"
    state       = "stateless"
    destination = ["10.1.0.10", "2001:db8:1::a"]
    services    = [service.web]
  }
}
tenant "untagged" {
  context_ids    = [301]
  default_action = "drop"
  rule "web" {
    action      = "accept"
    state       = "stateless"
    vlan        = ["none"]
    destination = ["10.1.0.10", "2001:db8:1::a"]
    services    = [service.web]
  }
}
tenant "careful" {
  context_ids    = [200]
  default_action = "drop"
  rule "web" {
    action      = "accept"
    vlan        = ["!43"]
    destination = ["10.1.0.10", "2001:db8:1::a"]
    services    = [service.web]
  }
}
`

// Case is one attempt to get something past the firewall, or to have it stop what it
// should not.
type Case struct {
	// Name says what is sent; it is unique.
	Name string
	// Class groups cases, Source is where the idea is from.
	Class, Source string
	// Expects says what must happen, in words.
	Expects string
	// Accepted is how many frames the firewall lets out, Reasons why it drops others,
	// each once, in the order of their declaration.
	Accepted int
	Reasons  []reason.Reason
	// Answers is how many packets the firewall sends by itself.
	Answers int
	// On says on which ways the case is sent; 0 means [OnAll].
	On Ways
	// Send makes the packets.
	Send func(*Script)
}

// Ways is a set of ways from what is sent to what leaves.
type Ways uint8

// The ways. Reencoded packets come with a TCP window that no sender has, so they leave
// with new bytes; super-segments are cut by the kernel behind the firewall. In a known
// flow a frame is decided by what was accepted before. Of packets that are copied in
// part the kernel hands over [CopyRange] bytes and keeps the rest.
const (
	OnPlain Ways = 1 << iota
	OnReencoded
	OnGSO
	OnGSOReencoded
	OnFlow
	OnCopied
	OnFlowCopied

	OnAll = OnPlain | OnReencoded | OnGSO | OnGSOReencoded | OnFlow | OnCopied | OnFlowCopied
	// OnPackets are those where each packet is one of the wire.
	OnPackets = OnAll &^ (OnGSO | OnGSOReencoded)
	// OnFlows are those in a flow, OnStateless those that look at none.
	OnFlows     = OnFlow | OnFlowCopied
	OnStateless = OnAll &^ OnFlows
)

var wayNames = []string{
	"as it came", "encoded anew", "super-segments", "super-segments encoded anew", "in a known flow",
	"copied in part", "in a known flow, copied in part",
}

// Each returns the ways in the set, one by one.
func (w Ways) Each() []Ways {
	var list []Ways
	for i := range wayNames {
		if w&(1<<i) != 0 {
			list = append(list, 1<<i)
		}
	}
	return list
}

// String names the first of the ways.
func (w Ways) String() string {
	for i, name := range wayNames {
		if w&(1<<i) != 0 {
			return name
		}
	}
	return "no way"
}

// CopyRange is how many bytes of a packet are copied where only a part is: enough for
// the headers of most frames.
const CopyRange = 20 + 20 + needed + 20

// gso reports whether packets are super-segments, reencoded whether they are to leave
// with other bytes.
func (w Ways) gso() bool       { return w&(OnGSO|OnGSOReencoded) != 0 }
func (w Ways) reencoded() bool { return w&(OnReencoded|OnGSOReencoded) != 0 }

// part reports whether packets are copied in part.
func (w Ways) part() bool { return w&(OnCopied|OnFlowCopied) != 0 }

// Sent is one packet of a script.
type Sent struct {
	// At is when it is sent, from the start of the script on.
	At time.Duration
	// Packet is all of it, from the outer IP header on.
	Packet []byte
	// GSO: it is a super-segment, its TCP checksum the pseudo-header sum. Partial: it
	// is none, and its checksum that sum all the same.
	GSO, Partial bool
	// Part: only [CopyRange] bytes of it are copied from the kernel at first.
	Part bool
	// Before: it left before the firewall was started, which never sees it.
	Before bool
	// Rules, if not nil, come in force now, and there is no packet.
	Rules *RuleSet
}

// Script collects what a case sends.
type Script struct {
	// Way is how the packets are to come.
	Way Ways
	// Sent are the packets in the order of sending.
	Sent []Sent
	// Startup: the firewall has just been started, so that it gives out its own
	// frame IDs.
	Startup bool
	// Rules are what the firewall enforces at first; nil: [Rules].
	Rules *RuleSet
	// Frames are the STT frames that were made, whole and as they were meant.
	Frames [][]byte
	// Held is how many frames of one source may be held; 0: the default.
	Held int
	// Queues: there are two, and the source port chooses between them.
	Queues bool
	// QueueOf says which of two queues packets with a source port go to, 0 or 1; nil:
	// even ports to the first. Other is a port of another queue than that of port
	// 40000; 0 is 40001.
	QueueOf func(port uint16) int
	Other   uint16
	// Spread: every second segment has the source port Other, which an attacker can
	// choose for each.
	Spread bool
	// Rebuild: the rules have all frames encoded anew (settings.forward).
	Rebuild bool
	// Start is when the script begins, on the clock of the firewall in ns; 0: when an
	// hour has passed.
	Start int64

	now      time.Duration
	segments int // that were sent
	twoPorts bool
}

// Length is how long the script lasts.
func (s *Script) Length() time.Duration { return s.now }

// context is the Context ID of frames that name no other.
func (s *Script) context() uint64 {
	if s.Way&OnFlows != 0 {
		return 200
	}
	return 100
}

// frame makes an STT frame, and remembers it as one that the sender sent.
func (s *Script) frame(h header, p packet) []byte { return s.raw(h, p.bytes()) }

// raw is frame with the inner bytes as given.
func (s *Script) raw(h header, inner []byte) []byte {
	h.context = or(h.context, s.context())
	b := frameOf(h, inner)
	s.Frames = append(s.Frames, b)
	return b
}

// partial makes a frame whose checksum is left to its receiver; edit changes its
// header, where it is not nil.
func (s *Script) partial(p packet, edit func(*header)) []byte {
	p.partial = true
	h := header{flags: 0x0e, l4Offset: p.l4Offset()}
	if p.v6 {
		h.flags &^= 0x04
	}
	if or(p.protocol, protocolTCP) != protocolTCP {
		h.flags &^= 0x08
	}
	if edit != nil {
		edit(&h)
	}
	return s.frame(h, p)
}

// web is a frame that the rules accept, ssh one that they deny, with that many bytes of
// payload.
func (s *Script) web(payload int) []byte { return s.frame(header{}, packet{payload: payload}) }
func (s *Script) ssh(payload int) []byte {
	return s.frame(header{}, packet{payload: payload, dstPort: 22, fill: 0x55})
}

// other is the source port of another queue than that of most packets.
func (s *Script) other() uint16 {
	s.twoPorts = true
	return or(s.Other, 40001)
}

// TwoPorts reports whether the script is about packets in two queues.
func (s *Script) TwoPorts() bool { return s.twoPorts }

// OneQueue reports whether the script is about two queues, and there is one.
func (s *Script) OneQueue() bool { return s.twoPorts && !s.Queues }

// Part reports whether packets are copied in part.
func (s *Script) Part() bool { return s.Way.part() }

// send sends segments one after the other.
func (s *Script) send(list ...segment) {
	for _, p := range list {
		if s.segments++; s.Spread && s.segments%2 == 0 && p.srcPort == 0 && !p.noPort {
			p.srcPort = or(s.Other, 40001)
		}
		if s.Way.reencoded() && p.window == 0 {
			p.window = 4711
		}
		s.Sent = append(s.Sent, Sent{At: s.now, Packet: p.bytes(s.Way.gso()), GSO: s.Way.gso(), Part: s.Way.part()})
	}
}

// before sends segments that the firewall of before has let out.
func (s *Script) before(list ...segment) {
	n := len(s.Sent)
	s.send(list...)
	for i := range s.Sent[n:] {
		s.Sent[n+i].Before = true
	}
}

// whole sends a frame in one packet.
func (s *Script) whole(frame []byte) { s.send(wholeOf(1, frame)) }

// packet sends bytes that are no segment.
func (s *Script) packet(b []byte) {
	s.Sent = append(s.Sent, Sent{At: s.now, Packet: b, Part: s.Way.part()})
}

// reload puts other rules in force.
func (s *Script) reload(r *RuleSet) { s.Sent = append(s.Sent, Sent{At: s.now, Rules: r}) }

// wait lets time pass.
func (s *Script) wait(d time.Duration) { s.now += d }

func wholeOf(id uint32, frame []byte) segment {
	return segment{total: len(frame), id: id, payload: frame}
}

// with returns a segment with a change.
func with(s segment, edit func(*segment)) segment {
	s.payload = slices.Clone(s.payload)
	edit(&s)
	return s
}
