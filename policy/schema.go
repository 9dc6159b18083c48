package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// schema says what may stand in a block.
type schema struct {
	where      string   // "in a rule"
	attributes []string // all of them
	required   []string // those of them that must be there
	blocks     []string
	later      []string // words that the language is to have, but this version has not
}

var (
	fileSchema = schema{
		where:  "at the top of a rules file",
		blocks: []string{"settings", "address_group", "service", "tenant"},
		later:  []string{"test", "before_tenants", "after_tenants"},
	}
	settingsSchema = schema{
		where:      "in settings",
		attributes: []string{"stt_ports", "endpoints", "receivers", "default_action"},
		later:      []string{"forward", "startup_guard", "other_tunnels", "only_stt", "mss_floor"},
	}
	groupSchema = schema{
		where:      "in an address_group",
		attributes: []string{"addresses"},
		required:   []string{"addresses"},
	}
	serviceSchema = schema{
		where:      "in a service",
		attributes: []string{"protocol", "ports", "source_ports", "icmp_type", "icmp_code"},
		required:   []string{"protocol"},
		later:      []string{"tcp_flags", "timeout"},
	}
	tenantSchema = schema{
		where:      "in a tenant",
		attributes: []string{"context_ids", "default_action"},
		required:   []string{"context_ids"},
		blocks:     []string{"rule"},
		later:      []string{"context_layout", "datapaths", "endpoints", "mode", "pairing", "tcp_loose", "limit"},
	}
	ruleSchema = schema{
		where:      "in a rule",
		attributes: []string{"action", "source", "destination", "services", "log"},
		required:   []string{"action"},
		later: []string{"state", "mode", "limit", "set", "from_endpoint", "to_endpoint", "ethertype", "vlan", "pcp",
			"source_mac", "destination_mac", "tcp_flags", "fragment", "time", "tcp_loose",
			"datapath", "ingress_port", "egress_port"},
	}
)

// check reports everything in body that the schema does not know, and what it
// misses. header is the range of the block's header.
func (l *loader) check(body *hclsyntax.Body, header hcl.Range, s *schema) {
	for _, a := range sortedAttributes(body) {
		if slices.Contains(s.attributes, a.Name) {
			continue
		}
		if slices.Contains(s.blocks, a.Name) {
			l.errorf(a.NameRange, "Not an argument", "Expected a block: %s { ... }, without \"=\".", blockForm(a.Name))
			continue
		}
		l.unknown(a.NameRange, "argument", a.Name, s)
	}
	for _, b := range body.Blocks {
		if slices.Contains(s.blocks, b.Type) {
			continue
		}
		if slices.Contains(s.attributes, b.Type) {
			l.errorf(b.TypeRange, "Not a block", "Expected an argument: %s = ...", b.Type)
			continue
		}
		l.unknown(b.TypeRange, "block", b.Type, s)
	}
	for _, name := range s.required {
		if body.Attributes[name] == nil {
			l.errorf(header, "Missing argument", "Expected %q %s.", name, s.where)
		}
	}
}

func (l *loader) unknown(at hcl.Range, kind, name string, s *schema) {
	if slices.Contains(s.later, name) {
		l.notYet(at, name)
		return
	}
	known := slices.Concat(s.attributes, s.blocks)
	hint := didYouMean(name, known)
	if hint == "" {
		hint = elsewhere(name, s)
	}
	l.errorf(at, "Unknown "+kind, "There is no %q %s; expected %s.%s", clip(name), s.where, oneOf(known), hint)
}

// elsewhere says where a word belongs that stands in the wrong block.
func elsewhere(name string, s *schema) string {
	for _, other := range []*schema{&fileSchema, &settingsSchema, &groupSchema, &serviceSchema, &tenantSchema, &ruleSchema} {
		if other != s && (slices.Contains(other.attributes, name) || slices.Contains(other.blocks, name)) {
			return fmt.Sprintf(" It belongs %s.", other.where)
		}
	}
	return ""
}

// notYet refuses a word of the language that this version does not enforce.
func (l *loader) notYet(at hcl.Range, word string) {
	l.errorf(at, "Not in this version",
		"%q is part of the rules language, but this version of sttwall does not enforce it; take it out.", word)
}

// blockForm is how a block of that type begins.
func blockForm(blockType string) string {
	if blockType == "settings" {
		return blockType
	}
	return blockType + ` "NAME"`
}

// name returns the one label of a block.
func (l *loader) name(b *hclsyntax.Block) (string, bool) {
	if len(b.Labels) == 0 {
		l.errorf(b.TypeRange, "Missing name", "Expected a name in quotes: %s { ... }.", blockForm(b.Type))
		return "", false
	}
	if len(b.Labels) > 1 {
		l.errorf(b.LabelRanges[1], "One name too many", "Expected one name: %s { ... }.", blockForm(b.Type))
		return "", false
	}
	if name := b.Labels[0]; validName(name) {
		return name, true
	}
	l.errorf(b.LabelRanges[0], "Invalid name", "Expected a name of 1 to %d letters (a-z, A-Z), digits, \"_\" and \"-\" that begins with a letter or \"_\".", maxName)
	return "", false
}

const maxName = 64

// validName holds names to what can be written in a reference and needs no
// quoting in logs, metrics and "tenant/rule".
func validName(s string) bool {
	if s == "" || len(s) > maxName {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', c == '_':
		case i > 0 && ('0' <= c && c <= '9' || c == '-'):
		default:
			return false
		}
	}
	return true
}

// declare notes that a name is taken and reports whether it was free.
func (l *loader) declare(taken map[string]hcl.Range, kind, name string, at hcl.Range) bool {
	if first, ok := taken[name]; ok {
		l.errorf(at, "Duplicate name", "Expected another name: %s %q is at %s already.", kind, name, first)
		return false
	}
	taken[name] = at
	return true
}

// sortedAttributes returns the attributes of a body in the order of the file.
func sortedAttributes(body *hclsyntax.Body) []*hclsyntax.Attribute {
	out := make([]*hclsyntax.Attribute, 0, len(body.Attributes))
	for _, a := range body.Attributes {
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b *hclsyntax.Attribute) int {
		return cmp.Compare(a.NameRange.Start.Byte, b.NameRange.Start.Byte)
	})
	return out
}

// clip shortens what the operator wrote to what fits in a message, and keeps
// control characters out of the terminal.
func clip(s string) string {
	const longest = 60
	if first, _, more := strings.Cut(s, "\n"); more {
		s = first + "..."
	}
	if len(s) > longest {
		s = s[:longest] + "..."
	}
	return strings.Map(printable, strings.ToValidUTF8(s, "\uFFFD"))
}
