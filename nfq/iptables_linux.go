package nfq

import (
	"fmt"
	"math/rand/v2"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Family is an IP version.
type Family uint8

const (
	// IPv4 is for iptables.
	IPv4 Family = 4
	// IPv6 is for ip6tables.
	IPv6 Family = 6
)

// Chains in the raw table of xtables.
const (
	xtMain    = "STTWALL"
	xtSTT     = "STTWALL-STT"
	xtFirst   = "STTWALL-FIRST"
	xtFrom    = "STTWALL-FROM"
	xtSource  = "STTWALL-SOURCE"
	xtDest    = "STTWALL-DEST"
	xtBetween = "STTWALL-BETWEEN"
	xtOn      = "STTWALL-ON"
)

// AppendIPTables appends the rules of the table as a file for `iptables-restore
// --noflush` (or ip6tables-restore), for hosts that manage their rules so. A
// comment in it says what differs from the nftables table.
func AppendIPTables(dst []byte, c TableConfig, f Family) ([]byte, error) {
	if err := c.Validate(); err != nil {
		return dst, err
	}
	if f != IPv4 && f != IPv6 {
		return dst, fmt.Errorf("iptables rules: no such IP version: %d", f)
	}
	if c.Hooks.Has(HookOutput) || c.Hooks.Has(HookBridge) {
		return dst, fmt.Errorf("iptables rules: hook %v: they are written for prerouting alone; load the form for nft", c.Hooks)
	}
	return c.appendIPTables(dst, f), nil
}

func (c TableConfig) appendIPTables(dst []byte, f Family) []byte {
	command := "iptables"
	if f == IPv6 {
		command = "ip6tables"
	}
	restricted := len(c.Endpoints) > 0
	endpoints := c.endpoints(f == IPv4)

	dst = fmt.Appendf(dst, `# STT to the sttwall firewall, IPv%[1]d. Load once, while sttwall listens:
#   %[2]s-restore --noflush FILE
# Take away:
#   %[2]s -t raw -D PREROUTING -j %[3]s
# What differs from the nftables table:
# - IPv4 and IPv6 are loaded one after the other, and not in the place of rules
#   loaded before.
# - Queues share the packets by another hash of the source port (xt_bpf), whose
#   secret is in this file.
# - What comes into a VRF is queued where it comes in and once more for the VRF, and
#   is lost there: iptables does not know kinds of interfaces. Use the nft form.
# - Counters are per rule (%[2]s -t raw -vL), without names.
`, f, command, xtMain)
	if c.FailOpenAbsent {
		dst = append(dst, "# Without a listener STT passes uninspected (--queue-bypass).\n"...)
	} else {
		dst = append(dst, "# Without a listener the kernel drops STT.\n"...)
	}
	dst = append(dst, "*raw\n"...)
	chains := []string{xtMain, xtSTT}
	if f == IPv6 {
		chains = append(chains, xtFirst)
	}
	if restricted {
		chains = append(chains, xtFrom, xtSource, xtDest, xtBetween)
	}
	if len(c.Bound) > 0 {
		chains = append(chains, xtOn)
	}
	for _, chain := range chains {
		dst = fmt.Appendf(dst, ":%s - [0:0]\n", chain)
	}
	add := func(format string, args ...any) {
		dst = fmt.Appendf(append(dst, "-A "...), format+"\n", args...)
	}

	add("PREROUTING -j %s", xtMain)
	for _, p := range c.ports() {
		add("%s %s-p tcp --dport %d -j %s", xtMain, notLater(f), p, xtSTT)
	}
	if f == IPv6 {
		add("%s -m frag --fragfirst -j %s", xtMain, xtFirst)
	}
	if restricted {
		add("%s -j %s", xtMain, xtSource)
	}

	add("%s -j CT --notrack", xtSTT)
	if f == IPv4 {
		add(`%s -m u32 --u32 "4&0x2000=0x2000" -j DROP`, xtSTT) // more fragments
	} else {
		add("%s -m frag --fragfirst -j DROP", xtSTT)
		add("%s -m frag -j RETURN", xtSTT) // no port was in it
	}
	if restricted {
		add("%s -j %s", xtSTT, xtFrom)
	}
	if len(c.Bound) > 0 {
		add("%s -j %s", xtSTT, xtOn)
	}
	c.appendRate(add, f)
	for i := range c.Queues {
		add("%s%s -j NFQUEUE --queue-num %d%s", xtSTT, c.sourcePortShare(f, i), int(c.FirstQueue)+i, c.bypass())
	}
	add("%s -j DROP", xtSTT)

	if f == IPv6 {
		// Whatever hides its protocol or its port matches neither.
		add("%s ! -p tcp -j RETURN", xtFirst)
		add("%s -p tcp --dport 0:65535 -j RETURN", xtFirst)
		add("%s -j DROP", xtFirst)
	}
	if len(c.Bound) > 0 {
		c.appendInterfaces(add, f == IPv4)
	}
	if restricted {
		c.appendBetween(add, endpoints, f)
	}
	return append(dst, "COMMIT\n"...)
}

// appendBetween adds the rules that know the endpoints.
func (c TableConfig) appendBetween(add func(string, ...any), endpoints []netip.Prefix, f Family) {
	for _, p := range endpoints {
		add("%s -s %s -j RETURN", xtFrom, p)
	}
	add("%s -j DROP", xtFrom)
	for _, p := range endpoints {
		add("%s -s %s -g %s", xtSource, p, xtDest)
	}
	for _, p := range endpoints {
		add("%s -d %s -g %s", xtDest, p, xtBetween)
	}
	if !c.PassOtherTunnels {
		for _, p := range tunnelProtocols() {
			if f == IPv6 && p == unix.IPPROTO_AH {
				continue // an extension header: what is behind it is looked at
			}
			add("%s -p %d -j DROP", xtBetween, p)
		}
		for _, p := range tunnelPorts() {
			add("%s %s-p udp --dport %d -j DROP", xtBetween, notLater(f), p)
		}
	}
	if f == IPv4 {
		add("%s -p tcp -f -j DROP", xtBetween)
	} else {
		local := ""
		if c.OnlySTT {
			local = " -m addrtype --dst-type LOCAL"
		}
		add("%s -m frag --fragfirst%s -j RETURN", xtBetween, local)
		add("%s ! -p tcp%s -j RETURN", xtBetween, local)
		add("%s -m frag -j DROP", xtBetween)
	}
	if !c.OnlySTT {
		return
	}
	add("%s -m addrtype --dst-type LOCAL -j RETURN", xtBetween)
	if f == IPv4 {
		for _, t := range icmpErrors() {
			add("%s ! -f -p icmp --icmp-type %d -j RETURN", xtBetween, t)
		}
	} else {
		for _, t := range icmpv6Needed() {
			add("%s -p icmpv6 --icmpv6-type %d -j RETURN", xtBetween, t)
		}
	}
	add("%s -j DROP", xtBetween)
}

func (c TableConfig) bypass() string {
	if c.FailOpenAbsent {
		return " --queue-bypass"
	}
	return ""
}

// notLater leaves out later IPv4 fragments, in whose payload iptables on nftables
// reads for ports.
func notLater(f Family) string {
	if f == IPv4 {
		return "! -f "
	}
	return ""
}

// sourcePortShare matches the share of the source ports that goes to queue i: a
// classic BPF program, which xt_bpf runs from the IP header on. It takes the upper
// half of a*port+b, which is a universal hash (Dietzfelbinger 1996) with a and b
// from the seed. IPv4 finds the port behind the header length, IPv6 behind the
// fixed header (packets with extension headers go to any queue: they are dropped
// there).
func (c TableConfig) sourcePortShare(f Family, i int) string {
	if c.Queues == 1 {
		return ""
	}
	random := rand.New(rand.NewPCG(uint64(c.Seed), 0))
	a, b := random.Uint32()|1, random.Uint32()
	program := []unix.SockFilter{
		{Code: unix.BPF_LDX | unix.BPF_B | unix.BPF_MSH},
		{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_IND},
	}
	if f == IPv6 {
		program = []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_ABS, K: 40}}
	}
	program = append(program,
		unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_MUL | unix.BPF_K, K: a},
		unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_ADD | unix.BPF_K, K: b},
		unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_RSH | unix.BPF_K, K: 16},
		unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_MUL | unix.BPF_K, K: uint32(c.Queues)},
		unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_RSH | unix.BPF_K, K: 16},
		unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(i), Jf: 1},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: 1},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: 0},
	)
	text := fmt.Sprint(len(program))
	for _, p := range program {
		text += fmt.Sprintf(",%d %d %d %d", p.Code, p.Jt, p.Jf, p.K)
	}
	return fmt.Sprintf(" -m bpf --bytecode %q", text)
}
