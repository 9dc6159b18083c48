package evasion

import (
	"fmt"
	"strings"
)

// Catalogue returns docs/evasion.md: what is tried, and what must become of it.
func Catalogue() string {
	cases := Cases()
	var b strings.Builder
	fmt.Fprintf(&b, `# What attackers try, and what becomes of it

%d ways to lead packets around a firewall, carried over to STT. `+"`go test ./internal/evasion`"+` sends each of them through the core of sttwall. What leaves
goes through networks that lose each packet, double each packet and let packets arrive in other orders, to models of both receivers: Open vSwitch's
kernel module on Linux and its Windows extension, with the faults of the originals (`+"`internal/receiver`"+`). This page is written from the table of cases (`+"`make docs`"+`).

What must hold each time:

- No receiver delivers a frame that the rules deny, read by a plain reader of its own and by the rules engine.
- What is delivered is, byte for byte, a frame that the sender sent as one.
- Both receivers deliver the same.
- Where a receiver writes into a frame (a checksum, lengths of the pieces of a large one), nothing changes on which a decision rested.
- No receiver is brought to write outside of its memory, or to deliver memory that nobody sent.
- The firewall says what the table says: so many frames accepted, and drops for these reasons ([reasons.md](reasons.md)) and no others.

One thing no firewall can keep from Windows: where the network doubles a segment behind the firewall, its bytes are counted twice, and a frame can be
delivered with a hole in it. With one double and nothing lost, the headers are there and what was sent; the inner checksum tells the host, unless the
receiver writes that itself. Where the first segment is lost besides, the frame can come without a header, as one of Context ID 0.

Where nothing else is said the rules accept TCP to port 80 of one server, in any VLAN but 43, from listed endpoints; of one tenant only in a VLAN, of another
only in none. The last classes have rules of their own (`+"`internal/evasion/rulesets.go`"+`).
Where no ways are named, a case is sent on all of them: packets that leave as they came, that leave encoded anew, super-segments that the
kernel cuts behind the firewall (by 512 and by 1,400 bytes) of both kinds, packets of a flow that is open, and packets of which only a part was copied
from the kernel, in a flow and not. Packets of the first kind, super-segments and packets of an open flow go through a firewall that
encodes everything anew too (`+"`forward = \"rebuild\"`"+`): the outcome is the same.

## Over a real NFQUEUE

`+"`sttwall demo --evasion` (`make evasion`)"+` sends all of them, packet by packet, into a network of namespaces whose firewall host has real queues, the nftables table and
the workers of `+"`sttwall run`"+`. What comes out is caught at the far side, where no packet is missed (the kernel counts those), and goes through the networks to
the receivers. A marker follows each script through each queue, and shows that all before it has been decided; the clock is the script's. The
ways are

- as they came and encoded anew, over one queue and over two;
- super-segments, which the kernel cuts as they leave; what fits into one packet comes as such, with a checksum that is still to be written;
- every second segment with a source port that leads it into the other queue;
- by rules that have all frames encoded anew (`+"`forward = \"rebuild\"`"+`), as they came and as super-segments;
- copied in part. What is asked for whole comes again behind the others.

Besides what must hold above, firewall and queue must do with the packets what the core by itself does with the same, and each answer to what is rejected
must come out at the side on which the question came in. Packets that the kernel's IP or the table keeps from the queue (fragments, other ports and endpoints,
broken IP headers) must be such; they count as *dropped* like all others. `+"`go test ./internal/lab`"+` sends all cases on the first way and a part of them on each of the others,
and looks whether a queue that accepts everything would be noticed.
`, len(cases))
	class := ""
	for _, c := range cases {
		if c.Class != class {
			class = c.Class
			fmt.Fprintf(&b, "\n## %s\n\n| what is sent | from | what must happen | outcome |\n| --- | --- | --- | --- |\n", class)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", c.Name, c.Source, c.Expects, c.outcome())
	}
	b.WriteString(`
## Where the ideas are from

| name | work |
| --- | --- |
| Ptacek and Newsham 1998 | Insertion, Evasion, and Denial of Service: Eluding Network Intrusion Detection |
| Handley and Paxson 2001 | Network Intrusion Detection: Evasion, Traffic Normalization, and End-to-End Protocol Semantics |
| Rooij 2001 | Real Stateful TCP Packet Filtering in IP Filter |
| draft-davie-stt-08 | A Stateless Transport Tunneling Protocol for Network Virtualization |
| Open vSwitch stt.c, Stt.c | datapath/linux/compat/stt.c, datapath-windows/ovsext/Stt.c, branch-2.17 |
`)
	return b.String()
}

// outcome says what the firewall does.
func (c *Case) outcome() string {
	var parts []string
	if c.Accepted > 0 {
		parts = append(parts, fmt.Sprintf("%d accepted", c.Accepted))
	}
	for _, r := range c.Reasons {
		parts = append(parts, "`"+r.String()+"`")
	}
	if c.Answers > 0 {
		parts = append(parts, fmt.Sprintf("%d answered", c.Answers))
	}
	text := strings.Join(parts, ", ")
	switch c.On {
	case OnAll:
		return text
	case OnPackets:
		return text + " (no super-segments)"
	case OnStateless:
		return text + " (not in a flow)"
	case OnFlows:
		return text + " (in a flow)"
	}
	var ways []string
	for _, w := range c.On.Each() {
		ways = append(ways, w.String())
	}
	return fmt.Sprintf("%s (%s)", text, strings.Join(ways, "; "))
}
