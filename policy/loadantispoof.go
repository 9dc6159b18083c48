package policy

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"sttwall/binding"
	"sttwall/policy/classify"
)

// Defaults of the anti_spoof block.
const (
	defaultBindingExpiry = 10 * time.Minute
	defaultMoveAfter     = time.Second
)

// maxDeclared bounds the ranges that the bindings of a tenant declare, and how
// many of them there may be for a value, summed over all values.
const maxDeclared = 1 << 20

// antiSpoof compiles the anti_spoof block of a tenant, whose attributes are known.
func (l *loader) antiSpoof(b *hclsyntax.Block, t *tenant) *AntiSpoof {
	l.check(b.Body, b.DefRange(), antiSpoofSchema)
	a := &AntiSpoof{Expiry: defaultBindingExpiry, MoveAfter: defaultMoveAfter}
	a.learn[binding.Address] = true
	var shared valueLists
	attributes := b.Body.Attributes
	if x := attributes["learn"]; x != nil {
		l.learn(x, t, a)
	}
	for _, x := range sortedAttributes(b.Body) {
		switch x.Name {
		case "within":
			a.within = l.addressList(l.list(x, addressExample, "Leave within out to learn any address."))
		case "shared_macs":
			for _, s := range l.hostMACs(x) {
				shared.macs = append(shared.macs, oneNumber(s.lo, s.hi, 0))
			}
		case "shared_ingress_ports":
			if l.needsOVN(x, t) {
				for _, s := range l.ingressPorts(x) {
					shared.ports = append(shared.ports, oneNumber(portValue(uint16(s.lo), 0), portValue(uint16(s.hi), lastDatapath), 0))
				}
			}
		case "shared_datapaths":
			if l.needsOVN(x, t) {
				a.routers = l.datapathNumbers(x, "none")
			}
		case "expiry":
			a.Expiry = l.duration(x)
		case "move_after":
			a.MoveAfter = l.duration(x)
		}
	}
	a.shared.macs, a.shared.ports = narrowed(shared.macs), narrowed(shared.ports)
	if x := cmp.Or(attributes["move_after"], attributes["expiry"]); x != nil && a.MoveAfter >= a.Expiry && l.errors == 0 {
		l.errorf(x.Expr.Range(), "Forgotten before it moves", "Expected move_after (%s) to be less than expiry (%s): a binding that is forgotten does not move, and nobody hears of it.", durationText(a.MoveAfter), durationText(a.Expiry))
	}
	l.bindings(b, t, a)
	l.bindsSomething(b, t, a)
	return a
}

// learn compiles what is bound where it is first seen.
func (l *loader) learn(x *hclsyntax.Attribute, t *tenant, a *AntiSpoof) {
	const example = `["address", "mac"]`
	a.learn = [binding.Kinds]bool{}
	before := l.errors
	defer func() {
		if l.errors > before { // what it is to be is not known: no more is said of it
			a.learn = [binding.Kinds]bool{true, true, true}
		}
	}()
	if v := l.value(x.Expr); v.failed || v.kind == kindList && len(v.items) == 0 {
		return // nothing is learned
	}
	words := make([]string, binding.Kinds)
	for k := range binding.Kinds {
		words[k] = k.String()
	}
	for _, v := range l.list(x, example, "") {
		k := slices.Index(words, v.text)
		if v.kind != kindString || k < 0 {
			l.errorf(v.at, "Invalid learn", "Expected %s, in quotes; this is %s.%s", oneOf(words), v.source, didYouMean(v.text, words))
			continue
		}
		a.learn[k] = true
		if binding.Kind(k) == binding.IngressPort && !t.OVN {
			l.errorf(v.at, "No OVN layout", `Expected "ingress_port" only with context_layout = "ovn"; elsewhere a context ID has no parts.`)
		}
	}
}

// bindsSomething refuses a block, or a part of it, without effect.
func (l *loader) bindsSomething(b *hclsyntax.Block, t *tenant, a *AntiSpoof) {
	for _, x := range []struct {
		attribute string
		kind      binding.Kind
	}{{"within", binding.Address}, {"shared_macs", binding.MAC}, {"shared_ingress_ports", binding.IngressPort}} {
		if at := b.Body.Attributes[x.attribute]; at != nil && !a.learn[x.kind] && (t.OVN || x.kind != binding.IngressPort) {
			l.errorf(at.NameRange, "Nothing learned", "Expected %s only with %q in learn; it says what of that is learned.", x.attribute, x.kind)
		}
	}
	if at := b.Body.Attributes["shared_datapaths"]; at != nil && t.OVN && !a.learn[binding.MAC] && !a.learn[binding.IngressPort] {
		l.errorf(at.NameRange, "Nothing learned", "Expected shared_datapaths only with %q or %q in learn; it says what of that is learned.", binding.MAC, binding.IngressPort)
	}
	if a.Learns() {
		return
	}
	for _, name := range []string{"expiry", "move_after"} {
		if at := b.Body.Attributes[name]; at != nil {
			l.errorf(at.NameRange, "Nothing learned", "Expected %s only where something is learned; declared bindings do not expire and do not move.", name)
		}
	}
	if len(a.names) == 0 && l.errors == 0 {
		l.errorf(b.DefRange(), "Binds nothing", "Expected binding blocks, or something in learn; this anti_spoof does nothing.")
	}
}

// bindings compiles the binding blocks, and puts the owners of all that they
// declare together.
func (l *loader) bindings(b *hclsyntax.Block, t *tenant, a *AntiSpoof) {
	names := make(map[string]hcl.Range)
	var (
		declared valueLists
		sets     []*classify.Addresses
	)
	for _, x := range b.Body.Blocks {
		if x.Type != bindingSchema.blockType() {
			continue
		}
		name, ok := l.name(x)
		if ok {
			l.declare(names, x.Type, name, x.LabelRanges[0])
		}
		endpoints := l.declaration(x, t, int32(len(sets)), &declared)
		a.names, a.sources, sets = append(a.names, name), append(a.sources, endpoints), append(sets, prefixSet(endpoints))
	}
	if l.errors > 0 {
		return
	}
	budget := maxDeclared
	known := make(map[string]int32)
	var key []byte
	number := func(bindings []int32) int32 {
		key = key[:0]
		for _, i := range bindings {
			key = binary.BigEndian.AppendUint32(key, uint32(i))
		}
		if n, ok := known[string(key)]; ok {
			return n
		}
		n := int32(len(a.owners))
		known[string(key)] = n
		o := owner{endpoints: sets[bindings[0]], bindings: slices.Clone(bindings)}
		if len(bindings) > 1 {
			o.endpoints = new(classify.Addresses)
			for _, i := range bindings {
				addSet(o.endpoints, sets[i])
				budget -= len(sets[i].V4) + len(sets[i].V6)
			}
			finish(o.endpoints)
		}
		a.owners = append(a.owners, o)
		return n
	}
	for _, x := range []*valueRanges{&declared.v4, &declared.v6, &declared.macs, &declared.ports} {
		ok := len(*x) <= maxDeclared
		if ok {
			*x, ok = cutApart(*x, &budget, number)
		}
		if !ok || budget < 0 {
			l.errorf(b.DefRange(), "Bindings overlap too much", "Expected at most %d ranges of addresses, MACs and ports in the bindings of a tenant, counted once for each binding that they are in.", maxDeclared)
			return
		}
	}
	a.owned = values{v4: narrowed(declared.v4), v6: declared.v6, macs: narrowed(declared.macs), ports: narrowed(declared.ports)}
}

const lastDatapath = 1<<ovnDatapathBits - 1

// declaration compiles a binding block: it adds what is declared to out, with the
// binding's number, and returns the endpoints.
func (l *loader) declaration(b *hclsyntax.Block, t *tenant, number int32, out *valueLists) (endpoints []netip.Prefix) {
	l.check(b.Body, b.DefRange(), bindingSchema)
	attributes := b.Body.Attributes
	if x := attributes["endpoints"]; x != nil {
		endpoints = l.bindingEndpoints(x, t)
	}
	if attributes["addresses"] == nil && attributes["macs"] == nil && attributes["ingress_ports"] == nil {
		l.errorf(b.DefRange(), "Nothing declared", `Expected "addresses", "macs" or "ingress_ports" in a binding: what comes from its endpoints alone.`)
	}
	if x := attributes["addresses"]; x != nil {
		set := l.addressList(l.list(x, addressExample, "Leave addresses out to declare none."))
		if set == nil {
			set = &classify.Addresses{V4: []classify.Range4{allV4}, V6: []classify.Range6{allV6}}
		}
		for _, r := range set.V4 {
			out.v4 = append(out.v4, oneNumber(uint64(r.Lo), uint64(r.Hi), number))
		}
		for _, r := range set.V6 {
			out.v6 = append(out.v6, valueRange{r.Lo, r.Hi, number})
		}
	}
	if x := attributes["macs"]; x != nil {
		for _, s := range l.hostMACs(x) {
			out.macs = append(out.macs, oneNumber(s.lo, s.hi, number))
		}
	}
	l.declaredPorts(b, t, number, out)
	return endpoints
}

// declaredPorts compiles ingress_ports and the datapaths that they are of.
func (l *loader) declaredPorts(b *hclsyntax.Block, t *tenant, number int32, out *valueLists) {
	x, of := b.Body.Attributes["ingress_ports"], b.Body.Attributes["datapaths"]
	var datapaths spans
	if of != nil && l.needsOVN(of, t) {
		datapaths = l.datapathNumbers(of, "all")
		if x == nil {
			l.errorf(of.NameRange, "No ports", "Expected datapaths only with ingress_ports: it says of which datapaths they are.")
		}
	}
	if x == nil || !l.needsOVN(x, t) {
		return
	}
	for _, s := range l.ingressPorts(x) {
		if datapaths == nil {
			out.ports = append(out.ports, oneNumber(portValue(uint16(s.lo), 0), portValue(uint16(s.hi), lastDatapath), number))
			continue
		}
		for port := s.lo; port <= s.hi && len(out.ports) <= maxDeclared; port++ {
			for _, d := range datapaths {
				out.ports = append(out.ports, oneNumber(portValue(uint16(port), uint32(d.lo)), portValue(uint16(port), uint32(d.hi)), number))
			}
		}
	}
}

// bindingEndpoints compiles the endpoints of a binding: some, and such as may
// carry the tenant.
func (l *loader) bindingEndpoints(x *hclsyntax.Attribute, t *tenant) []netip.Prefix {
	before := l.errors
	endpoints := l.prefixes(x)
	if len(endpoints) == 0 && l.errors == before {
		l.errorf(x.Expr.Range(), "Bound to nothing", `Expected outer addresses, as in ["10.47.1.1"]; with "any" nothing is bound.`)
	}
	for _, p := range endpoints {
		if len(t.Endpoints) > 0 && !slices.ContainsFunc(t.Endpoints, p.Overlaps) {
			l.errorf(x.Expr.Range(), "Not an endpoint of the tenant", "Expected endpoints of the tenant; %s is in none of its endpoints, so nothing can come from there.", prefixText(p))
		}
	}
	return endpoints
}

func (l *loader) needsOVN(x *hclsyntax.Attribute, t *tenant) bool {
	if !t.OVN {
		l.errorf(x.NameRange, "No OVN layout", `Expected %s only in a tenant with context_layout = "ovn"; elsewhere a context ID has no parts.`, x.Name)
	}
	return t.OVN
}

func (l *loader) ingressPorts(x *hclsyntax.Attribute) spans {
	return l.numbers(x, &numberList{what: "ports from 0 to 32767 and ranges of them", example: `[3, "8-15"]`, limit: 1<<15 - 1, ifEmpty: "Leave " + x.Name + " out for none."})
}

func (l *loader) datapathNumbers(x *hclsyntax.Attribute, without string) spans {
	return l.numbers(x, &numberList{what: "datapaths from 0 to 16777215 and ranges of them", example: "[7]", limit: lastDatapath, ifEmpty: "Leave " + x.Name + " out for " + without + "."})
}

// hostMACs compiles a list of MACs that hosts can have: not those of groups.
func (l *loader) hostMACs(x *hclsyntax.Attribute) spans {
	macs := l.macList(x, `["02:00:00:00:00:01", "52:54:00:00:00:00/24"]`, "Leave "+x.Name+" out for none.")
	for _, s := range macs {
		if s.lo>>40&1 == 1 && s.lo>>40 == s.hi>>40 {
			l.errorf(x.Expr.Range(), "MAC of a group", "Expected MACs of hosts; nothing comes from a multicast or broadcast MAC.")
			break
		}
	}
	return macs
}
