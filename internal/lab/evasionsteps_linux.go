package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"sttwall/internal/evasion"
)

// evasionBound is how long all attacks on one way may take.
const evasionBound = 15 * time.Minute

// evasionSteps has all attacks of docs/evasion.md meet real queues, a line for each way.
// They have a lab of their own.
func evasionSteps(c evasionConfig, ways []evasionWay) []step {
	var list []step
	for _, way := range ways {
		list = append(list, step{
			What: "attacks, " + way.Name, Tenant: "-", Expected: "0 denied frames delivered", bound: evasionBound,
			alone: func(ctx context.Context) (happened string, err error) {
				broken := runEvasion(ctx, c, []evasionWay{way}, func(r evasionResult) { happened, err = r.happened() })
				return happened, errors.Join(broken, err)
			},
		})
	}
	return list
}

// happened says what became of all attacks on one way, in a line. The error says what
// must not be.
func (r *evasionResult) happened() (string, error) {
	if len(r.Findings) > 0 {
		return "", fmt.Errorf("%d of %d attacks: %w", len(r.Findings), r.Attacks, errors.New(r.Findings[0]))
	}
	return fmt.Sprintf("%d attacks in %d packets: 0 denied frames delivered; %d frames accepted, tried in %d networks", r.Attacks, r.Sent, r.Accepted, r.Networks), nil
}

// firstWay is what the demo shows of them.
func firstWay() (evasionConfig, []evasionWay) {
	way := evasionWays()[0]
	way.ways = evasion.OnPlain
	way.Name = fmt.Sprintf("all %d of docs/evasion.md, as they come", len(evasion.Cases()))
	return evasionConfig{Networks: 4}, []evasionWay{way}
}

// tryAlone runs a step that has a lab of its own.
func tryAlone(ctx context.Context, st step) Row {
	bound := cmp.Or(st.bound, stepBound)
	ctx, cancel := context.WithTimeoutCause(ctx, bound, fmt.Errorf("not over within %v", bound))
	defer cancel()
	row := Row{What: st.What, Tenant: st.Tenant, Expected: st.Expected}
	happened, err := st.alone(ctx)
	row.Happened, row.OK = happened, err == nil
	if err != nil {
		row.Happened = err.Error()
	}
	return row
}
