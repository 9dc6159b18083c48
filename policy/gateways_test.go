package policy

import (
	"fmt"
	"strings"
	"testing"

	"sttwall/policy/analyze"
)

func TestDefaultsThatGatewaysWouldNotSurviveAreNamed(t *testing.T) {
	const (
		ovn   = "tenant \"net\" {\n context_layout = \"ovn\"\n datapaths = [7]\n rule \"vrrp\" {\n action = \"accept\"\n services = [\"vrrp\"]\n }\n}\n"
		plain = "tenant \"net\" {\n context_ids = [7]\n%s}\n"
		rule  = " rule \"r\" {\n action = %q\n services = [%q]\n }\n"
	)
	gateway := func(rule string) string { return "tenant \"gateways\" {\n context_ids = [0]\n" + rule + "}\n" }
	for _, test := range []struct {
		name, rules string
		want        string
	}{
		{"nobody claims context 0", ovn, "gateway_bfd 4"},
		{"a tenant lets BFD pass there", ovn + gateway(fmt.Sprintf(rule, "accept", "bfd")), ""},
		{"a tenant lets all UDP pass there", ovn + gateway(fmt.Sprintf(rule, "accept", "udp")), ""},
		{"a tenant drops BFD there", ovn + gateway(fmt.Sprintf(rule, "drop", "bfd")), "gateway_note 12, gateway_bfd 4"},
		{"a tenant lets something else pass there", ovn + gateway(fmt.Sprintf(rule, "accept", "udp/3785")), "gateway_note 12, gateway_bfd 4"},
		{"a tenant in audit mode is there", ovn + gateway(" mode = \"audit\"\n"), ""},
		{"rules for all tenants let it pass, but there is no tenant", ovn + "before_tenants {\n" + fmt.Sprintf(rule, "accept", "bfd") + "}\n", "gateway_bfd 4"},
		{"rules for all tenants let it pass", ovn + gateway("") + "after_tenants {\n" + fmt.Sprintf(rule, "accept", "bfd") + "}\n", ""},
		{"a plain tenant drops both", fmt.Sprintf(plain, ""), "gateway_note 4"},
		{"a plain tenant accepts one of them", fmt.Sprintf(plain, fmt.Sprintf(rule, "accept", "vrrp")), ""},
		{"a plain tenant accepts by default", fmt.Sprintf(plain, " default_action = \"accept\"\n"), ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := mustLoad(t, "settings {\n endpoints = [\"any\"]\n}\n"+test.rules)
			var got []string
			for _, f := range p.Lint() {
				if f.Kind == analyze.GatewayBFD || f.Kind == analyze.GatewayNote {
					got = append(got, fmt.Sprintf("%s %d", f.Kind, f.At.Start.Line))
					if f.Kind.Note() != (f.Kind == analyze.GatewayNote) || !strings.Contains(f.Message, "BFD") {
						t.Errorf("%+v", f)
					}
				}
			}
			if got := strings.Join(got, ", "); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
