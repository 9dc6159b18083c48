package evasion

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestNothingDeniedIsDeliveredOfWhatIsRebuilt sends every case to rules that have all
// frames encoded anew.
func TestNothingDeniedIsDeliveredOfWhatIsRebuilt(t *testing.T) {
	accepted := 0
	for _, c := range Cases() {
		for _, way := range (c.On & (OnPlain | OnGSO | OnFlow)).Each() {
			s := &Script{Way: way, Rebuild: true}
			c.Send(s)
			r, err := Run(s, rand.New(rand.NewPCG(1, uint64(way))))
			if err != nil {
				t.Fatal(err)
			}
			if r.Broken != "" {
				t.Errorf("%s/%s/%s: %s", c.Class, c.Name, way, r.Broken)
			}
			if r.Accepted != c.Accepted || r.Rewritten != r.Accepted && s.Sent[0].Rules == nil {
				t.Errorf("%s/%s/%s: %d frames accepted, %d with new bytes, want %d; dropped for %v", c.Class, c.Name, way, r.Accepted, r.Rewritten, c.Accepted, r.Reasons)
			}
			accepted += r.Accepted
		}
	}
	t.Logf("%d frames accepted", accepted)
}

// TestNothingDeniedIsDelivered sends every case on every way that it has. What the
// firewall does is what the table says, and no network makes a receiver deliver what
// nobody sent or the rules deny.
func TestNothingDeniedIsDelivered(t *testing.T) {
	networks, delivered := 0, 0
	for _, c := range Cases() {
		for _, way := range c.On.Each() {
			t.Run(fmt.Sprintf("%s/%s/%s", c.Class, c.Name, way), func(t *testing.T) {
				s := &Script{Way: way}
				c.Send(s)
				r, err := Run(s, rand.New(rand.NewPCG(1, uint64(way))))
				if err != nil {
					t.Fatal(err)
				}
				if r.Broken != "" {
					t.Error(r.Broken)
				}
				if r.Accepted != c.Accepted {
					t.Errorf("got %d frames accepted, want %d", r.Accepted, c.Accepted)
				}
				if r.Answers != c.Answers {
					t.Errorf("got %d answers, want %d", r.Answers, c.Answers)
				}
				if diff := cmp.Diff(fmt.Sprint(c.Reasons), fmt.Sprint(r.Reasons)); diff != "" {
					t.Errorf("reasons (-want +got):\n%s", diff)
				}
				if c.Accepted > 0 && r.Delivered == 0 {
					t.Error("no receiver delivers anything: the case tests nothing")
				}
				if way.reencoded() && r.Accepted > 0 && r.Rewritten != r.Accepted {
					t.Errorf("%d of %d frames left with new bytes", r.Rewritten, r.Accepted)
				}
				networks += r.Networks
				delivered += r.Delivered
			})
		}
	}
	t.Logf("%d cases, %d networks, %d frames delivered", len(Cases()), networks, delivered)
}
