package load

import (
	"net/netip"
	"strings"
	"testing"
)

func TestEndsThatCannotBeSentAreRefused(t *testing.T) {
	six, four := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("10.255.255.1")
	for _, tt := range []struct {
		ends Ends
		want string
	}{
		{Ends{Left: six}, "left tunnel endpoint 2001:db8::1"}, {Ends{Right: six}, "right"}, {Ends{Client: six}, "client"}, {Ends{Server: six}, "server"},
		{Ends{Left: four, Right: four}, "both tunnel endpoints are 10.255.255.1"},
	} {
		if _, err := tt.ends.withDefaults(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: got %v, want %q", tt.ends, err, tt.want)
		}
	}
	e, err := Ends{Client: four}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	for flow, want := range map[int]string{0: "10.255.255.1:32768", 16383: "10.255.255.1:49151", 16384: "10.255.255.2:32768", 255<<portBits - 1: "10.255.255.255:49151", 255 << portBits: "invalid AddrPort"} {
		if got := e.ClientOf(flow).String(); got != want {
			t.Errorf("flow %d: got %s, want %s", flow, got, want)
		}
	}
	if most := 255 << portBits; e.checkFlows(most) != nil || e.checkFlows(most+1) == nil {
		t.Errorf("from %s on there is room for %d flows", four, most)
	}
}

func TestEndsHaveDefaults(t *testing.T) {
	e, err := Ends{}.withDefaults()
	if err != nil || e != DefaultEnds() {
		t.Errorf("got %+v, %v", e, err)
	}
	// The context ID 0 is one, where another one is for the way back.
	for _, tt := range []struct{ ends, want Ends }{{Ends{ContextID: 7}, Ends{ContextID: 7, Back: 7}}, {Ends{Back: 9}, Ends{ContextID: 0, Back: 9}}} {
		if e, err := tt.ends.withDefaults(); err != nil || e.ContextID != tt.want.ContextID || e.Back != tt.want.Back {
			t.Errorf("got %+v, %v, want %+v", e, err, tt.want)
		}
	}
}
