package policy

import "sttwall/inspect"

// matcher finds the first rule of a tenant that matches a frame. It goes through
// them one by one; all that the rest of the package knows of it is first.
type matcher struct{ rules []rule }

// rule is one compiled rule block.
type rule struct {
	action      Action
	log         bool
	source      addressMatch
	destination addressMatch
	services    []service // empty: any IP packet
}

// first returns the index of the first rule that matches f, or -1.
func (m *matcher) first(f *inspect.Frame) int {
	if len(m.rules) == 0 {
		return -1
	}
	source, destination := keyOf(f.Src), keyOf(f.Dst)
	for i := range m.rules {
		r := &m.rules[i]
		if r.matchServices(f) && r.source.match(&source) && r.destination.match(&destination) {
			return i
		}
	}
	return -1
}

func (r *rule) matchServices(f *inspect.Frame) bool {
	if len(r.services) == 0 {
		return f.IP != 0
	}
	for i := range r.services {
		if r.services[i].match(f) {
			return true
		}
	}
	return false
}

// serviceKind says which fields of a service count.
type serviceKind uint8

const (
	serviceAny       serviceKind = iota // every IP packet
	serviceProtocol                     // protocol
	servicePorts                        // protocol, source, destination
	serviceICMP                         // protocol, typeLo..typeHi, code
	serviceARP                          // EtherType 0x0806
	serviceEtherType                    // etherType
)

// service is one compiled entry of a services list.
type service struct {
	kind           serviceKind
	protocol       uint8
	typeLo, typeHi uint8
	code           int16  // -1: any
	etherType      uint16 // of a frame that is neither IP nor ARP

	source, destination []portRange // nil: any port
}

// portRange is a range of ports, both ends inclusive.
type portRange struct{ lo, hi uint16 }

// match reports whether the frame is of this service. A condition on ports or
// on an ICMP type never holds for a frame without them: a later fragment. The
// protocol alone stands in the IP header, so it holds for fragments too.
func (s *service) match(f *inspect.Frame) bool {
	switch s.kind {
	case serviceAny:
		return f.IP != 0
	case serviceProtocol:
		return f.IP != 0 && f.Protocol == s.protocol
	case servicePorts:
		return f.IP != 0 && f.Protocol == s.protocol && f.HasPorts &&
			matchPorts(s.destination, f.DstPort) && matchPorts(s.source, f.SrcPort)
	case serviceICMP:
		return f.IP != 0 && f.Protocol == s.protocol && f.HasICMP &&
			s.typeLo <= f.ICMPType && f.ICMPType <= s.typeHi &&
			(s.code < 0 || s.code == int16(f.ICMPCode))
	case serviceARP:
		return f.IP == 0 && f.EtherType == inspect.EtherTypeARP
	case serviceEtherType:
		return f.IP == 0 && f.EtherType == s.etherType
	}
	return false
}

func matchPorts(ranges []portRange, port uint16) bool {
	if ranges == nil {
		return true
	}
	for _, r := range ranges {
		if r.lo <= port && port <= r.hi {
			return true
		}
	}
	return false
}
