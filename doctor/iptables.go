package doctor

import (
	"net/netip"
	"strconv"
	"strings"
)

// What iptables-legacy keeps is in the kernel as it was before nftables, and its own
// program lists it: `iptables-legacy-save`.

// priorities of the tables of iptables (linux/netfilter_ipv4.h).
var tablePriorities = map[string]int{"raw": -300, "mangle": -150, "nat": -100, "filter": 0, "security": 50}

// parseSaved adds what iptables-save or ip6tables-save prints to the rules.
func (s *ruleset) parseSaved(text string, v4 bool) {
	family := "ip"
	if !v4 {
		family = "ip6"
	}
	table := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "*"):
			table = line[1:]
		case strings.HasPrefix(line, ":"):
			name, rest, _ := strings.Cut(line[1:], " ")
			c := &chain{family: family, table: table, name: name, legacy: true, nat: table == "nat"}
			if policy, _, _ := strings.Cut(rest, " "); policy != "-" {
				c.hook, c.priority, c.policyDrop = strings.ToLower(name), tablePriorities[table], policy == "DROP"
			}
			s.chains = append(s.chains, c)
		case strings.HasPrefix(line, "-A "):
			words := quotedWords(line)
			if len(words) < 3 {
				continue
			}
			if c := s.find(&chain{family: family, table: table, legacy: true}, words[1]); c != nil {
				r := savedRule{words: words[2:]}
				c.rules = append(c.rules, rule{judge: r.judge, text: func() string { return "iptables -t " + table + " " + line }})
			}
		}
	}
}

// quotedWords cuts a line at spaces, outside of double quotes.
func quotedWords(line string) (words []string) {
	var word strings.Builder
	quoted := false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '\\' && i+1 < len(line):
			i++
			word.WriteByte(line[i])
		case c == '"':
			quoted = !quoted
		case c == ' ' && !quoted:
			if word.Len() > 0 {
				words = append(words, word.String())
			}
			word.Reset()
		default:
			word.WriteByte(c)
		}
	}
	if word.Len() > 0 {
		words = append(words, word.String())
	}
	return words
}

// savedRule judges a rule by its text behind "-A CHAIN".
type savedRule struct{ words []string }

func (r savedRule) judge(p *packet) (match tri, aimed bool, acts []action) {
	match = yes
	invert := false
	words := r.words
	next := func() string {
		if len(words) < 2 {
			return ""
		}
		words = words[1:]
		return words[0]
	}
	and := func(t tri) {
		if invert {
			t = t.not()
		}
		match, invert = min(match, t), false
	}
	act := action{kind: goOn}
	for ; len(words) > 0; words = words[1:] {
		switch words[0] {
		case "!":
			invert = true
			continue
		case "-p":
			protocol := next()
			and(sure(protocol == "tcp" || protocol == "6" || protocol == "all"))
		case "-m":
			if next() == "udp" {
				and(no)
			}
		case "--comment":
			next()
		case "-i":
			and(interfaceIs(p.iif, next()))
		case "-o":
			and(interfaceIs(p.oif, next()))
		case "-s":
			and(addressIn(p.src, next()))
		case "-d":
			and(addressIn(p.dst, next()))
		case "--dport", "--dports":
			t := sure(portIn(p.port, next()))
			aimed = aimed || t == yes && !invert
			and(t)
		case "--ctstate", "--state":
			t, a := p.inState(statesOf(next()), false)
			aimed = aimed || a && !invert
			and(t)
		case "--tcp-flags":
			mask, want := next(), next()
			switch {
			case mask == "FIN,SYN,RST,ACK" && want == "SYN":
				and(no)
			default:
				and(maybe)
			}
		case "-j":
			act = targetOf(next(), false)
		case "-g":
			act = targetOf(next(), true)
		case "--queue-num":
			n, err := strconv.ParseUint(next(), 10, 16)
			if err == nil && act.kind == queued {
				act.queue = uint16(n)
			}
		case "--queue-balance":
			first, _, _ := strings.Cut(next(), ":")
			if n, err := strconv.ParseUint(first, 10, 16); err == nil {
				act.queue = uint16(n)
			}
		case "--notrack":
			act = action{kind: untracked}
		default:
			if act.kind == goOn && strings.HasPrefix(words[0], "-") {
				and(maybe) // a match that is not known here
			}
		}
	}
	if match == no {
		return no, false, nil
	}
	return match, aimed, []action{act}
}

func targetOf(name string, gone bool) action {
	switch name {
	case "ACCEPT":
		return action{kind: accepted}
	case "DROP", "REJECT":
		return action{kind: dropped}
	case "RETURN":
		return action{kind: returns}
	case "NFQUEUE":
		return action{kind: queued}
	case "NOTRACK":
		return action{kind: untracked}
	}
	if name == strings.ToUpper(name) && knownTargets[name] {
		return action{kind: goOn}
	}
	if gone {
		return action{kind: goes, chain: name}
	}
	return action{kind: jumps, chain: name}
}

// knownTargets let a packet go on to the next rule.
var knownTargets = map[string]bool{
	"AUDIT": true, "CHECKSUM": true, "CLASSIFY": true, "CONNMARK": true, "CONNSECMARK": true, "CT": true, "DSCP": true, "HL": true,
	"HMARK": true, "IDLETIMER": true, "LED": true, "LOG": true, "MARK": true, "NFLOG": true, "RATEEST": true, "SECMARK": true, "SET": true,
	"TCPMSS": true, "TCPOPTSTRIP": true, "TEE": true, "TOS": true, "TRACE": true, "TTL": true, "ULOG": true,
}

func interfaceIs(name, want string) tri {
	if name == "" {
		return maybe
	}
	if prefix, ok := strings.CutSuffix(want, "+"); ok {
		return sure(strings.HasPrefix(name, prefix))
	}
	return sure(name == want)
}

func addressIn(a netip.Addr, list string) tri {
	p, err := netip.ParsePrefix(list)
	if err != nil {
		one, err := netip.ParseAddr(list)
		if err != nil {
			return maybe
		}
		p = netip.PrefixFrom(one, one.BitLen())
	}
	switch {
	case p.Bits() == 0:
		return yes
	case !a.IsValid():
		return maybe
	}
	return sure(p.Masked().Contains(a))
}

func portIn(port uint16, list string) bool {
	for part := range strings.SplitSeq(list, ",") {
		first, last, ranged := strings.Cut(part, ":")
		if !ranged {
			last = first
		}
		if first == "" {
			first = "0"
		}
		if last == "" {
			last = "65535"
		}
		from, err1 := strconv.ParseUint(first, 10, 16)
		to, err2 := strconv.ParseUint(last, 10, 16)
		if err1 == nil && err2 == nil && uint64(port) >= from && uint64(port) <= to {
			return true
		}
	}
	return false
}

func statesOf(list string) (t tracking) {
	for word := range strings.SplitSeq(list, ",") {
		t |= map[string]tracking{"INVALID": ctInvalid, "ESTABLISHED": ctEstablished, "RELATED": ctRelated, "NEW": ctNew, "UNTRACKED": ctUntracked}[word]
	}
	return t
}
