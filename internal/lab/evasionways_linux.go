package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"sttwall/internal/evasion"
	"sttwall/reason"
)

// evasionWay is a way on which all attacks meet real queues.
type evasionWay struct {
	Name string
	rig  rigConfig
	ways evasion.Ways
	// size is what the kernel cuts super-segments to, in bytes of payload.
	size int
	// rebuild: the rules have all frames encoded anew.
	rebuild bool
	// spread: every second segment has a source port of the other queue.
	spread bool
}

// evasionWays lists them. Those with the same rig stand together.
func evasionWays() []evasionWay {
	one, two := rigConfig{Queues: 1}, rigConfig{Queues: 2}
	return []evasionWay{
		{Name: "as they came, in a known flow and in none", rig: two, ways: evasion.OnPlain | evasion.OnFlow},
		{Name: "encoded anew", rig: two, ways: evasion.OnReencoded},
		{Name: "super-segments cut to 1,400 bytes", rig: two, ways: evasion.OnGSO, size: 1400},
		{Name: "every second segment in the other queue", rig: two, ways: evasion.OnPlain | evasion.OnReencoded, spread: true},
		{Name: "super-segments, every second one in the other queue", rig: two, ways: evasion.OnGSO, size: 512, spread: true},
		{Name: "rules with forward = \"rebuild\"", rig: two, ways: evasion.OnPlain | evasion.OnFlow | evasion.OnGSO, size: 1400, rebuild: true},
		{Name: "one queue", rig: one, ways: evasion.OnPlain},
		{Name: "super-segments encoded anew, cut to 512 bytes, one queue", rig: one, ways: evasion.OnGSOReencoded, size: 512},
		{Name: "copied in part, in a known flow and in none", rig: rigConfig{Queues: 1, Part: true}, ways: evasion.OnCopied | evasion.OnFlowCopied},
	}
}

// at returns the ways with the firewall in another position.
func at(p Position, ways []evasionWay) []evasionWay {
	for i := range ways {
		ways[i].rig.Position = p
	}
	return ways
}

// evasionResult is what became of all attacks on one way.
type evasionResult struct {
	Way string
	// Attacks counts scripts, Sent their packets, Left those that reached the far side.
	Attacks, Sent, Left int
	// Accepted counts frames, Delivered what both receivers made of them over all the
	// networks that were tried, Networks these.
	Accepted, Delivered, Networks int
	// Missed counts packets that the kernel or the table kept from the queue.
	Missed int
	// Findings says what must not be and was.
	Findings []string
}

// evasionConfig says how thoroughly attacks are looked at.
type evasionConfig struct {
	// Networks is how many networks are tried for each attack; 0: all.
	Networks int
	// Only, if not nil, picks cases, by their number and the name.
	Only func(number int, c *evasion.Case) bool
	// Open: cores accept everything.
	Open bool
}

// runEvasion has all attacks meet real queues on the given ways, and tells of each way when
// it is over.
func runEvasion(ctx context.Context, c evasionConfig, ways []evasionWay, tell func(evasionResult)) error {
	return onOneCPU(func() (err error) {
		var r *rig
		defer func() {
			if r != nil {
				err = errors.Join(err, r.Close())
			}
		}()
		for i, way := range ways {
			if r == nil || way.rig != ways[i-1].rig {
				if r != nil {
					if err := r.Close(); err != nil {
						return err
					}
				}
				if r, err = newRig(way.rig); err != nil {
					return err
				}
			}
			result, err := r.all(ctx, c, way)
			if err != nil {
				return err
			}
			tell(result)
		}
		return nil
	})
}

// all sends all cases on one way.
func (r *rig) all(ctx context.Context, c evasionConfig, way evasionWay) (evasionResult, error) {
	result := evasionResult{Way: way.Name}
	for number, k := range evasion.Cases() {
		if c.Only != nil && !c.Only(number, &k) {
			continue
		}
		for _, w := range (k.On & way.ways).Each() {
			if ctx.Err() != nil {
				return result, context.Cause(ctx)
			}
			s := &evasion.Script{Way: w, Other: r.other(), Spread: way.spread, Rebuild: way.rebuild}
			k.Send(s)
			name := fmt.Sprintf("%s / %s / %s", k.Class, k.Name, w)
			r.open = c.Open
			a, err := r.attack(s, cmp.Or(way.size, 1400))
			if err != nil {
				return result, fmt.Errorf("lab: evasion: %s: %w", name, err)
			}
			why, err := a.judge(c, &k, &result)
			if err != nil {
				return result, fmt.Errorf("lab: evasion: %s: %w", name, err)
			}
			if why != "" {
				result.Findings = append(result.Findings, name+": "+why)
			}
		}
	}
	return result, nil
}

// judge looks at what became of an attack: at what receivers deliver of what left, and at
// whether the firewall behind a queue has done what its core does with the same packets.
func (a *attack) judge(c evasionConfig, k *evasion.Case, result *evasionResult) (string, error) {
	random := rand.New(rand.NewPCG(1, uint64(len(a.left))))
	networks := a.networks(random, c.Networks)
	delivered, broken := a.core.Verify(a.script, networks)
	got := a.core.Outcome()
	result.Attacks++
	result.Sent += len(a.script.Sent)
	result.Left += len(a.left)
	result.Accepted += got.Accepted
	result.Delivered += delivered
	result.Networks += len(networks)
	result.Missed += len(a.missed)
	if broken != "" {
		return broken, nil
	}
	if why := a.core.VerifyAnswers(a.script, a.answers); why != "" {
		return why, nil
	}
	if got.Answers != len(a.answers) {
		return fmt.Sprintf("%d answers were sent, and %d counted", len(a.answers), got.Answers), nil
	}
	if got.Accepted > 0 && delivered == 0 {
		return fmt.Sprintf("%d frames were accepted, and no receiver delivers one", got.Accepted), nil
	}
	if a.model == nil || a.script.Spread {
		return "", nil // what meets in two queues at once is in no order
	}
	want, err := evasion.Decide(a.model)
	if err != nil {
		return "", err
	}
	if got.Accepted != want.Accepted || got.Rewritten != want.Rewritten || got.Answers != want.Answers || !slices.Equal(got.Reasons, want.Reasons) {
		return fmt.Sprintf("behind the queue %s; the core by itself %s", outcomeOf(got), outcomeOf(want)), nil
	}
	if len(a.missed) > 0 || a.script.Part() && !a.ordered {
		return "", nil
	}
	return a.asTold(k, got), nil
}

// asTold holds an outcome to the table of cases. Of super-segments those that fit into
// one packet are none for the kernel, so that their cases end in other ways.
func (a *attack) asTold(k *evasion.Case, got *evasion.Result) string {
	if slices.ContainsFunc(a.script.Sent, func(p evasion.Sent) bool { return p.Partial }) || a.script.OneQueue() || a.spread {
		return ""
	}
	if got.Accepted != k.Accepted || got.Answers != k.Answers || !slices.Equal(got.Reasons, k.Reasons) {
		return fmt.Sprintf("%s; the table of cases says %s", outcomeOf(got), outcomeOf(&evasion.Result{Accepted: k.Accepted, Rewritten: got.Rewritten, Answers: k.Answers, Reasons: k.Reasons}))
	}
	return ""
}

func outcomeOf(r *evasion.Result) string {
	var reasons []string
	for _, why := range r.Reasons {
		reasons = append(reasons, reason.Reason(why).String())
	}
	return fmt.Sprintf("accepted %d frames, %d of them with new bytes, answered %d, dropped for [%s]", r.Accepted, r.Rewritten, r.Answers, strings.Join(reasons, " "))
}
