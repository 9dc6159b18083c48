package peers

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSuricatasRulesPassTheTenantsAndDropOtherFirstSegments(t *testing.T) {
	got := string(SuricataConfig{Tenants: []uint64{100, 0x0102030405060708}, Port: 7000}.rules())
	want := `pass tcp any any -> any 7000 (msg:"tenant 100"; content:"|00 00 00 00 00 00 00 64|"; offset:8; depth:8; sid:1;)
pass tcp any any -> any 7000 (msg:"tenant 72623859790382856"; content:"|01 02 03 04 05 06 07 08|"; offset:8; depth:8; sid:2;)
drop tcp any any -> any 7000 (msg:"other tenants"; tcp.hdr; content:"|00 00|"; offset:6; depth:2; sid:3;)
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if rules := (SuricataConfig{}).rules(); len(rules) != 0 {
		t.Errorf("rules without tenants: %s", rules)
	}
}

func TestTenantsAreAllDifferentAndTheGivenOneIsLast(t *testing.T) {
	const last = 100
	list := Tenants(1000, last)
	if len(list) != 1000 || list[999] != last {
		t.Fatalf("%d tenants, the last is %d", len(list), list[len(list)-1])
	}
	slices.Sort(list)
	if n := len(slices.Compact(list)); n != 1000 {
		t.Errorf("%d are different", n)
	}
}
