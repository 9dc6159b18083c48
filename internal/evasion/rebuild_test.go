package evasion

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// rebuilt are rules with which all that leaves is encoded anew.
func rebuilt(r *RuleSet) *RuleSet {
	if r == nil {
		r = usual
	}
	set := *r
	set.Text = strings.Replace(set.Text, "settings {\n", "settings {\n  forward = \"rebuild\"\n", 1)
	return &set
}

// TestNothingDeniedIsDeliveredWhereAllIsRebuilt sends every case through a firewall that
// encodes all frames anew: what it does is what the table says all the same. Ways on
// which packets are made to be encoded anew would test nothing more.
func TestNothingDeniedIsDeliveredWhereAllIsRebuilt(t *testing.T) {
	delivered := 0
	for _, c := range Cases() {
		for _, way := range (c.On & (OnPlain | OnGSO | OnFlow)).Each() {
			t.Run(fmt.Sprintf("%s/%s/%s", c.Class, c.Name, way), func(t *testing.T) {
				s := &Script{Way: way}
				c.Send(s)
				s.Rules = rebuilt(s.Rules)
				for i := range s.Sent {
					if r := s.Sent[i].Rules; r != nil {
						s.Sent[i].Rules = rebuilt(r)
					}
				}
				r, err := Run(s, rand.New(rand.NewPCG(1, uint64(way))))
				if err != nil {
					t.Fatal(err)
				}
				if r.Broken != "" {
					t.Error(r.Broken)
				}
				if r.Accepted != c.Accepted || r.Rewritten != r.Accepted {
					t.Errorf("got %d frames accepted, %d of them encoded anew, want %d", r.Accepted, r.Rewritten, c.Accepted)
				}
				if diff := cmp.Diff(fmt.Sprint(c.Reasons), fmt.Sprint(r.Reasons)); diff != "" {
					t.Errorf("reasons (-want +got):\n%s", diff)
				}
				delivered += r.Delivered
			})
		}
	}
	if delivered == 0 {
		t.Error("no receiver delivers anything")
	}
}
