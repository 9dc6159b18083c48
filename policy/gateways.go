package policy

import (
	"fmt"

	"sttwall/inspect"
	"sttwall/policy/analyze"
)

// Gateways watch each other with BFD (RFC 5880) or VRRP (RFC 9568). Where these
// are dropped each takes the other for dead, and both take over.
const (
	portBFD      = 3784 // single hop, RFC 5881 section 4
	protocolVRRP = 112  // RFC 9568 section 5.1.1.4
)

// gatewayFindings warns of defaults that drop what gateways watch each other
// with.
func (p *Policy) gatewayFindings() (out []analyze.Finding) {
	ovn := -1
	for i := range p.tenants {
		t := &p.tenants[i]
		if t.OVN && ovn < 0 {
			ovn = i
		}
		if p.mayPass(t, inspect.ProtocolUDP, portBFD) || p.mayPass(t, protocolVRRP, 0) {
			continue
		}
		out = append(out, analyze.Finding{
			Kind: analyze.GatewayNote, At: p.headerRange(t.at),
			Message: fmt.Sprintf(`tenant %s accepts neither BFD nor VRRP: if gateways in it watch each other with one of them, they will take each other for dead. The services "bfd" and "vrrp" are these.`, t.Name),
		})
	}
	if ovn < 0 || p.acceptsBFDOfOVN() {
		return out
	}
	return append(out, analyze.Finding{
		Kind: analyze.GatewayBFD, At: p.headerRange(p.tenants[ovn].at),
		Message: `BFD at context ID 0 is dropped: OVN's gateways watch each other over the tunnel there, and will take each other for dead. A tenant with context_ids = [0] and a rule that accepts services = ["bfd"] lets it pass.`,
	})
}

// acceptsBFDOfOVN reports whether BFD between OVN's chassis may pass: it belongs
// to no logical network, and Open vSwitch sends it with a tunnel key of 0.
func (p *Policy) acceptsBFDOfOVN() bool {
	d, found := p.Find(0)
	if !found {
		return d.Action == Accept
	}
	return p.mayPass(&p.tenants[d.TenantIndex], inspect.ProtocolUDP, portBFD)
}

// mayPass reports whether the tenant lets some packet of the protocol and, if it
// has ports, to that port pass.
func (p *Policy) mayPass(t *tenant, protocol, port uint32) bool {
	if t.DefaultAction == Accept || t.Audit {
		return true
	}
	for _, list := range [...]*ruleList{&p.before, &t.rules, &p.after} {
		for i := list.start; i < list.end; i++ {
			r := &p.rules[i]
			if r.action != Accept {
				continue
			}
			for j := range r.services {
				s := &r.services[j].box
				if s.KindLo <= protocol && protocol <= s.KindHi && (port == 0 || s.DstLo <= port && port <= s.DstHi) {
					return true
				}
			}
		}
	}
	return false
}
