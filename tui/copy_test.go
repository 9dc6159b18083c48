package tui

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	tea "charm.land/bubbletea/v2"

	"sttwall/control"
	"sttwall/filter"
)

func TestWhatIsCopiedFromEachScreen(t *testing.T) {
	for _, tt := range []struct {
		keys []string
		want string
	}{
		{[]string{"2"}, "+ accept\tglobex\ttcp\t10.1.0.7:45500\t"},
		{[]string{"2", "enter"}, "tenant:globex proto:tcp src:10.1.0.7 dst:10.1.0.10 sport:45500 dport:5201 context:0x1000"},
		{[]string{"3"}, "acme\tenforce\t"},
		{[]string{"4"}, "acme/web\trules.hcl:22\t"},
		{[]string{"4", "enter"}, "rule \"web\" {\n    action"},
		{[]string{"5", "enter"}, "! reject  rule_reject  acme  tcp 10.1.0.9:40001 > 10.1.0.10:23"},
	} {
		t.Run(fmt.Sprint(tt.keys), func(t *testing.T) {
			f := newBusy()
			d := drive(t, f, 150, 40)
			d.press(tt.keys...)
			d.tick()
			d.press("y")
			d.shows("copied ", "OSC 52")
			// Bubble Tea keeps its message of the clipboard to itself.
			if !slices.ContainsFunc(d.other, func(m tea.Msg) bool { return strings.HasPrefix(fmt.Sprint(m), tt.want) }) {
				text, _ := d.top().(copier).Copy()
				t.Errorf("copied is\n%s\nwant\n%s...", text, tt.want)
			}
		})
	}
	d := drive(t, newFake(), 100, 30)
	d.press("?", "y")
	d.shows("there is nothing to copy here")
}

func TestTheFilterOfAFlowSelectsIt(t *testing.T) {
	f := newFake()
	for i := range f.flows {
		selects, err := filter.Parse(flowFilter(&f.flows[i]))
		if err != nil {
			t.Fatal(err)
		}
		for j := range f.flows {
			if got := selects.Match(recordOf(&f.flows[j])); got != (i == j) {
				t.Errorf("%s selects flow %s: %v", selects, f.flows[j].ID, got)
			}
		}
	}
	odd := f.flows[0]
	odd.Tenant = `two words, "quoted" \ and*`
	if _, err := filter.Parse(flowFilter(&odd)); err != nil {
		t.Error(err)
	}
}

func TestContextIDsAreReadAsOVNPacksThem(t *testing.T) {
	for _, tt := range []struct {
		id   uint64
		want string
	}{
		{0, "datapath 0, ingress port 0, egress port 0"},
		{7, "datapath 7, ingress port 0, egress port 0"},
		{3<<40 | 4<<24 | 7, "datapath 7, ingress port 3, egress port 4"},
		{1<<55 - 1, "datapath 16777215, ingress port 32767, egress port 65535"},
		{1<<63 | 1<<55 | 7, "datapath 7, ingress port 0, egress port 0, reserved bits 0x101: not from OVN"},
	} {
		if got := ovnText(tt.id); got != tt.want {
			t.Errorf("0x%x is %q, want %q", tt.id, got, tt.want)
		}
	}
}

func TestPortsAndProtocolsInWords(t *testing.T) {
	port, kind := uint16(443), uint8(128)
	f := control.Flow{Inner: control.Inner{Protocol: "icmpv6", ICMPType: &kind}}
	if got := protocolText(&f); got != "icmp6/128" {
		t.Errorf("ICMPv6 is %q", got)
	}
	if got := portText(&port) + portText(nil); got != "443" {
		t.Errorf("ports are %q", got)
	}
}
