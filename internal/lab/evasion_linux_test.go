package lab

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sttwall/internal/evasion"
)

func TestNothingDeniedComesOutOfTheRealQueues(t *testing.T) {
	if !Inside(t) {
		return
	}
	if err := onOneCPU(func() error {
		r, err := newRig(rigConfig{Queues: 2})
		if err != nil {
			return err
		}
		defer func() {
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		}()
		n := 0
		for _, c := range evasion.Cases() {
			for _, way := range c.On.Each() {
				if way != evasion.OnPlain && way != evasion.OnReencoded && way != evasion.OnGSO && way != evasion.OnFlow {
					continue
				}
				n++
				name := fmt.Sprintf("%s/%s/%s", c.Class, c.Name, way)
				s := &evasion.Script{Way: way, Other: r.other()}
				c.Send(s)
				a, err := r.attack(s, 512)
				if err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
				random := rand.New(rand.NewPCG(1, 2))
				delivered, broken := a.core.Verify(s, a.networks(random, 8))
				if broken != "" {
					t.Errorf("%s: %s", name, broken)
				}
				got := a.core.Outcome()
				want, err := evasion.Run(a.model, random)
				if err != nil {
					return err
				}
				if diff := cmp.Diff(fmt.Sprint(want.Accepted, want.Rewritten, want.Reasons), fmt.Sprint(got.Accepted, got.Rewritten, got.Reasons)); diff != "" {
					t.Errorf("%s: missed %v: accepted, rewritten, reasons (-core +queue):\n%s", name, a.missed, diff)
				}
				if got.Accepted > 0 && delivered == 0 {
					t.Errorf("%s: nothing delivered", name)
				}
			}
		}
		t.Logf("%d attacks", n)
		return nil
	}); err != nil {
		t.Error(err)
	}
}
