package flood

import (
	"fmt"
	"net/netip"
	"strings"
)

// rules are those of the firewall, with more lines of settings. The tables are small, so
// that each is full within seconds.
func rules(settings []string) []byte {
	return fmt.Appendf(nil, `settings {
  endpoints = ["%v", "%v", "%v", "%v"]
  flows     = %d
  bindings  = %d
%s}

tenant "good" {
  context_ids = [%d]
  endpoints   = ["%v", "%v"]
  anti_spoof {}

  rule "all" {
    action = "accept"
  }
}

tenant "attacker" {
  context_ids = ["%#x-%#x"]
  endpoints   = ["%v", "%v"]
  anti_spoof {}

  rule "denied" {
    action   = "drop"
    services = ["udp/%d"]
    log      = true
  }

  rule "all" {
    action = "accept"
    log    = true
  }
}
`, outerA, outerB, attackers, outerD, tableFlows, tableBindings, indented(settings), contextGood, outerA, outerB,
		contextBad, contextBad+0xffff, attackers, outerD, portDenied)
}

// attackers are the addresses that the attacker has.
var attackers = netip.PrefixFrom(outerC, 24).Masked()

const tableFlows, tableBindings = 65_536, 32_768

func indented(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return "  " + strings.Join(lines, "\n  ") + "\n"
}
