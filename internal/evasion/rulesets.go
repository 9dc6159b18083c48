package evasion

import (
	"bytes"
	"fmt"
	"strings"
)

// head begins the rules files; %s are more settings.
const head = `
settings {
  endpoints = ["192.0.2.0/24", "2001:db8:47::/64"]
  flows     = 1024
  bindings  = 1024
%s}
service "web" {
  protocol = "tcp"
  ports    = [80]
}
`

// rulesOf makes a rules file of settings and tenants.
func rulesOf(settings, tenants string) string { return fmt.Sprintf(head, settings) + tenants }

var (
	// linuxAlone are [Rules] where no receiver is Windows.
	linuxAlone = &RuleSet{
		Text:  strings.Replace(Rules, "settings {\n", "settings {\n  receivers = \"linux\"\n", 1),
		Linux: true, permits: (*reading).permitted,
	}

	// closed are [Rules] when nothing may pass any more.
	closed = &RuleSet{Text: rulesOf("", `
tenant "acme" {
  context_ids    = [100, "0x1000-0x1fff"]
  default_action = "drop"
}
tenant "careful" {
  context_ids    = [200]
  default_action = "drop"
}
`), permits: func(*reading) string { return "nothing may pass" }}

	// elsewhere are [Rules] where the client's endpoint is no endpoint any more.
	elsewhere = &RuleSet{
		Text:    strings.Replace(Rules, `"192.0.2.0/24"`, `"192.0.2.2"`, 1),
		permits: (*reading).permitted,
	}

	// tagged want a priority in the outermost tag, but not 1.
	tagged = &RuleSet{Text: rulesOf("", `
tenant "acme" {
  context_ids    = [100]
  default_action = "drop"
  rule "no-priority" {
    action = "drop"
    pcp    = ["!0-7"]
  }
  rule "bulk" {
    action = "drop"
    pcp    = [1]
  }
  rule "web" {
    action   = "accept"
    state    = "stateless"
    services = [service.web]
  }
}
`), permits: func(r *reading) string {
		if r.priority < 0 || r.priority == 1 {
			return fmt.Sprintf("priority %d", r.priority)
		}
		return r.permitted()
	}}

	// untagged want no priority.
	untagged = &RuleSet{Text: rulesOf("", `
tenant "acme" {
  context_ids    = [100]
  default_action = "drop"
  rule "web" {
    action   = "accept"
    state    = "stateless"
    pcp      = ["!0-7"]
    services = [service.web]
  }
}
`), permits: func(r *reading) string {
		if r.priority >= 0 {
			return fmt.Sprintf("priority %d", r.priority)
		}
		return r.permitted()
	}}

	// changing lower the MSS and set the DSCP of what they accept.
	changing = &RuleSet{Text: rulesOf("", `
tenant "acme" {
  context_ids    = [100]
  default_action = "drop"
  rule "web" {
    action      = "accept"
    state       = "stateless"
    destination = ["10.1.0.10", "2001:db8:1::a"]
    services    = [service.web]
    set {
      mss_max = 1000
      dscp    = "ef"
    }
  }
}
`), permits: (*reading).permitted, changes: setEFandMSS}

	// refusing answer what they deny.
	refusing = &RuleSet{Text: rulesOf("  reject_rate = \"20/s\"\n", `
tenant "acme" {
  context_ids    = [100]
  default_action = "reject"
  rule "web" {
    action      = "accept"
    state       = "stateless"
    vlan        = ["!43"]
    destination = ["10.1.0.10", "2001:db8:1::a"]
    services    = [service.web]
  }
}
`), permits: (*reading).permitted}

	// virtual are those of an OVN network: datapath 7, in which port 1 may ask port 2.
	virtual = &RuleSet{Text: rulesOf("", `
tenant "acme" {
  context_layout = "ovn"
  datapaths      = [7]
  default_action = "drop"
  rule "web" {
    action       = "accept"
    state        = "stateless"
    ingress_port = [1]
    egress_port  = [2]
    services     = [service.web]
  }
}
`), permits: func(r *reading) string {
		if r.context != ovn(1, 2, 7) {
			return fmt.Sprintf("Context ID %#x", r.context)
		}
		asUsual := *r
		asUsual.context = 100
		return asUsual.permitted()
	}}

	// settled have inner addresses come from where they live: the client's is declared
	// for endpoint 1, all others are learned.
	settled = &RuleSet{Text: rulesOf("", `
tenant "acme" {
  context_ids        = [100]
  default_action     = "drop"
  neighbor_discovery = "rules"
  endpoints          = ["192.0.2.0/28"]
  anti_spoof {
    learn = ["address", "mac"]
    binding "client" {
      endpoints = ["192.0.2.1"]
      addresses = ["10.1.0.9", "2001:db8:1::9"]
    }
  }
  rule "web" {
    action      = "accept"
    state       = "stateless"
    services    = [service.web]
  }
}
`), permits: (*reading).permitted}
)

// ovn packs a Context ID of OVN.
func ovn(in, out, datapath uint64) uint64 { return in<<40 | out<<24 | datapath }

// setEFandMSS returns the inner frame of an STT frame, changed as the rules of changing
// say, one byte after the other. Where the receiver writes the checksum it is left alone.
func setEFandMSS(frame []byte) []byte {
	b, partial := bytes.Clone(frame[18:]), frame[1]&2 != 0
	at := 12
	for get16(b[at:]) == 0x8100 || get16(b[at:]) == 0x88a8 {
		at += 4
	}
	at += 2
	ether := get16(b[at-2:])
	if ether < 0x600 {
		ether = get16(b[at+6:])
		at += 8
	}
	const ef = 46
	// change writes a word, and the sum in field with it (RFC 1624).
	change := func(p, field []byte, v uint16) {
		acc := uint32(^get16(field)) + uint32(^get16(p)) + uint32(v)
		for acc > 0xffff {
			acc = acc>>16 + acc&0xffff
		}
		put16(field, ^uint16(acc))
		put16(p, v)
	}
	var l4 int
	switch {
	case ether == 0x0800:
		change(b[at:], b[at+10:], get16(b[at:])&^0xfc|ef<<2)
		if get16(b[at+6:])&0x1fff != 0 {
			return b
		}
		l4 = at + int(b[at]&15)*4
	case ether == 0x86dd:
		put16(b[at:], get16(b[at:])&^0x0fc0|ef<<6)
		if b[at+6] != protocolTCP {
			return b
		}
		l4 = at + 40
	default:
		return b
	}
	tcp := b[l4:]
	if tcp[13]&2 == 0 {
		return b
	}
	end := min(int(tcp[12]>>4)*4, len(tcp))
	for o := 20; o < end && tcp[o] != 0; {
		if tcp[o] == 1 {
			o++
			continue
		}
		if o+1 >= end || tcp[o+1] < 2 || o+int(tcp[o+1]) > end {
			break
		}
		if tcp[o] == 2 && tcp[o+1] == 4 && get16(tcp[o+2:]) > 1000 {
			if partial {
				put16(tcp[o+2:], 1000)
			} else if o%2 == 0 {
				change(tcp[o+2:], tcp[16:], 1000)
			} else {
				// Two words have a half each.
				value := []byte{1000 >> 8, 1000 & 0xff}
				change(tcp[o+1:], tcp[16:], uint16(tcp[o+1])<<8|uint16(value[0]))
				change(tcp[o+3:], tcp[16:], uint16(value[1])<<8|uint16(tcp[o+4]))
			}
		}
		o += int(tcp[o+1])
	}
	return b
}
