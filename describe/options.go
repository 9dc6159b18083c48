package describe

import (
	"net"
	"net/netip"
	"slices"
	"strings"

	"sttwall/inspect"
)

var flagWords = []string{"fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ae"}

const optionWords = "vlan, pcp, dscp, ttl, mac, len, seq, ack-number, win, mss, wscale, id, frag, target, solicited, from or to"

// options reads what follows the addresses, in any order.
func (p *parser) options(b *builder) error {
	for {
		w, ok := p.peek()
		if !ok || w.text == ")" {
			return nil
		}
		p.words = p.words[1:]
		if w.text == "," {
			continue
		}
		if i := slices.Index(flagWords, w.text); i >= 0 && b.kind == kindIP && b.protocol == inspect.ProtocolTCP {
			b.flags |= 1 << i
			b.hasFlags = true
			continue
		}
		if err := p.option(w, b); err != nil {
			return err
		}
	}
}

func (p *parser) option(w word, b *builder) (err error) {
	var n int
	isTCP := b.kind == kindIP && b.protocol == inspect.ProtocolTCP
	isDiscovery := b.protocol == inspect.ProtocolICMPv6 && (b.icmpType == 135 || b.icmpType == 136)
	switch {
	case w.text == "vlan":
		if n, err = p.number("a VLAN ID from 0 to 4095", 0, 4095); err == nil {
			if len(b.tags) == inspect.MaxTags {
				return p.errorf(w, "expected at most %d tags", inspect.MaxTags)
			}
			b.tags = append(b.tags, uint16(n))
		}
	case w.text == "pcp":
		if n, err = p.number("a priority from 0 to 7", 0, 7); err == nil {
			if len(b.tags) == 0 {
				return p.errorf(w, "expected vlan before pcp")
			}
			b.tags[len(b.tags)-1] |= uint16(n) << 13
		}
	case w.text == "mac":
		return p.macs(b)
	case w.text == "len":
		b.payload, err = p.number("a payload of 0 to 9000 bytes", 0, MaxPayload)
	case w.text == "from":
		b.from, err = p.endpoint()
	case w.text == "to":
		b.to, err = p.endpoint()
	case b.kind != kindIP:
		return p.errorf(w, "expected an option of every frame: vlan, pcp, mac, len, from or to; this is %q", w.text)
	case w.text == "dscp":
		if n, err = p.number("a DSCP from 0 to 63", 0, 63); err == nil {
			b.tos = uint8(n) << 2
		}
	case w.text == "ttl":
		n, err = p.number("a TTL from 0 to 255", 0, 255)
		b.ttl = uint8(n)
	case w.text == "id":
		n, err = p.number("an identifier from 0 to 65535", 0, 0xffff)
		b.id = uint16(n)
	case w.text == "frag":
		return p.fragment(b)
	case w.text == "target" && isDiscovery:
		if b.target, _, err = p.address(false, 0); err == nil && !b.target.Is6() {
			return p.errorf(w, "expected an IPv6 address behind target; this is %s", b.target)
		}
	case w.text == "solicited" && isDiscovery:
		b.solicited = true
	case w.text == "seq" && isTCP:
		b.seq, err = p.long("a sequence number")
		b.numbers = true
	case w.text == "ack-number" && isTCP:
		b.ackNumber, err = p.long("an acknowledgment number")
		b.numbers = true
	case w.text == "win" && isTCP:
		n, err = p.number("a window from 0 to 65535", 0, 0xffff)
		b.window = uint16(n)
	case w.text == "mss" && isTCP:
		b.mss, err = p.number("an MSS from 1 to 65535", 1, 0xffff)
	case w.text == "wscale" && isTCP:
		b.scale, err = p.number("a window scale from 0 to 14", 0, 14)
	case isTCP:
		return p.errorf(w, "expected TCP flags (%s) or %s; this is %q", strings.Join(flagWords, ", "), optionWords, w.text)
	default:
		return p.errorf(w, "expected %s; this is %q", optionWords, w.text)
	}
	return err
}

func (p *parser) fragment(b *builder) error {
	w, err := p.next(`"first" or "later"`)
	if err != nil {
		return err
	}
	switch w.text {
	case "first":
		b.fragment = fragmentFirst
	case "later":
		b.fragment = fragmentLater
	default:
		return p.errorf(w, `expected "first" or "later"; this is %q`, w.text)
	}
	return nil
}

func (p *parser) endpoint() (netip.Addr, error) {
	w, err := p.next("the outer address of an endpoint")
	if err != nil {
		return netip.Addr{}, err
	}
	a, err := netip.ParseAddr(w.text)
	if err != nil || a.Zone() != "" {
		return a, p.errorf(w, "expected the outer address of an endpoint; this is %q", w.text)
	}
	return a, nil
}

// macs reads SRC > DST.
func (p *parser) macs(b *builder) error {
	for i, mac := range []*[6]byte{&b.ethSrc, &b.ethDst} {
		if i == 1 {
			if w, err := p.next(`">" and a MAC address`); err != nil {
				return err
			} else if w.text != ">" {
				return p.errorf(w, `expected ">" between two MAC addresses; this is %q`, w.text)
			}
		}
		w, err := p.next("a MAC address such as 02:00:00:00:00:01")
		if err != nil {
			return err
		}
		m, err := net.ParseMAC(w.text)
		if err != nil || len(m) != len(mac) {
			return p.errorf(w, "expected a MAC address such as 02:00:00:00:00:01; this is %q", w.text)
		}
		*mac = [6]byte(m)
	}
	b.macs = true
	return nil
}
