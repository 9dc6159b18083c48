package nfq

import (
	"fmt"
	"net/netip"
	"strings"
)

// AppendNFT appends the table as a file for `nft -f`: the same sets, chains and
// rules that [InstallTable] installs, replacing an earlier table. It hands
// packets over with nftables' own queue statement, which kernels without
// CONFIG_NFT_QUEUE lack; for them there is [AppendIPTables].
func AppendNFT(dst []byte, c TableConfig) ([]byte, error) {
	if err := c.Validate(); err != nil {
		return dst, err
	}
	return c.appendNFT(dst, TargetNative), nil
}

func (c TableConfig) appendNFT(dst []byte, target Target) []byte {
	dst = append(dst, `#!/usr/sbin/nft -f
# STT to the sttwall firewall. It needs the kernel's queue statement
# (CONFIG_NFT_QUEUE); without that, use sttwall nft --iptables 4 and 6.
# Load it while sttwall listens: without a listener the kernel drops what it queues`...)
	if c.FailOpenAbsent {
		dst = append(dst, ", but here \"bypass\" lets it pass uninspected"...)
	}
	dst = append(dst, ".\n\n"...)
	// Added first, so that deleting it finds it.
	dst = fmt.Appendf(dst, "table inet %[1]s\ndelete table inet %[1]s\n\ntable inet %[1]s {\n", TableName)

	for _, name := range c.counters() {
		dst = fmt.Appendf(dst, "\tcounter %s {\n\t}\n\n", name)
	}
	var ports []string
	for _, p := range c.ports() {
		ports = append(ports, fmt.Sprint(p))
	}
	dst = appendSet(dst, setPorts, "inet_service", "", ports)
	for _, s := range c.boundSets() {
		kind, _ := s.kind()
		dst = appendSet(dst, s.name, kind, "interval", s.texts())
	}
	if len(c.Endpoints) > 0 {
		dst = appendSet(dst, setEndpoints4, "ipv4_addr", "interval", prefixTexts(c.endpoints(true)))
		dst = appendSet(dst, setEndpoints6, "ipv6_addr", "interval", prefixTexts(c.endpoints(false)))
	}
	dst = c.appendRateSets(dst)

	rules := c.rules(target)
	for i, chain := range c.chains() {
		if i > 0 {
			dst = append(dst, '\n')
		}
		dst = fmt.Appendf(dst, "\tchain %s {\n", chain)
		if at, isBase := baseOf(chain); isBase {
			dst = fmt.Appendf(dst, "\t\ttype filter hook %s; policy accept;\n", at.text)
		}
		for _, r := range rules {
			if r.chain == chain {
				dst = appendRule(dst, r)
			}
		}
		dst = append(dst, "\t}\n"...)
	}
	dst = append(dst, "}\n"...)
	if c.Hooks.Has(HookBridge) {
		dst = c.appendBridge(dst)
	}
	return dst
}

func appendRule(dst []byte, r rule) []byte {
	dst = append(dst, "\t\t"...)
	for i, p := range r.parts {
		if i > 0 {
			dst = append(dst, ' ')
		}
		dst = append(dst, p.text...)
	}
	if r.comment != "" {
		dst = fmt.Appendf(dst, " comment %q", r.comment)
	}
	return append(dst, '\n')
}

func appendSet(dst []byte, name, typ, flags string, elements []string) []byte {
	dst = fmt.Appendf(dst, "\tset %s {\n\t\ttype %s\n", name, typ)
	if flags != "" {
		dst = fmt.Appendf(dst, "\t\tflags %s\n", flags)
	}
	if len(elements) > 0 {
		dst = fmt.Appendf(dst, "\t\telements = { %s }\n", strings.Join(elements, ",\n\t\t\t     "))
	}
	return append(dst, "\t}\n\n"...)
}

// prefixTexts writes single addresses without a length, as nft does.
func prefixTexts(list []netip.Prefix) []string {
	var texts []string
	for _, p := range list {
		if p.IsSingleIP() {
			texts = append(texts, p.Addr().String())
		} else {
			texts = append(texts, p.String())
		}
	}
	return texts
}
