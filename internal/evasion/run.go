package evasion

import (
	"math/rand/v2"
	"slices"
	"time"

	"sttwall/reason"
)

// Result is what became of a script.
type Result struct {
	// Accepted counts the frames that left, Reasons why others did not, each once.
	Accepted int
	Reasons  []reason.Reason
	// Rewritten counts the frames that left with new bytes.
	Rewritten int
	// Left are the packets that left, with super-segments cut small.
	Left []Wire
	// Answers counts the packets that the firewall sent by itself.
	Answers int
	// Networks counts the networks that were tried, Delivered the frames that both
	// receivers made of what came through them.
	Networks, Delivered int
	// Broken says what must never be and was; "" is well.
	Broken string
}

// Run sends a script through a firewall and what leaves through networks to both
// receivers. random draws the networks.
func Run(s *Script, random *rand.Rand) (*Result, error) {
	return run(s, random, false)
}

// Try is [Run] for a script whose frames may be spliced: what is delivered must be
// frames that the core has seen whole, whoever meant to send them. It tries a few
// networks only, and receivers with two CPUs too.
func Try(s *Script, random *rand.Rand) (*Result, error) {
	return run(s, random, true)
}

// Decide is [Run] without networks and receivers: what the core alone does.
func Decide(s *Script) (*Result, error) {
	c, err := decide(s)
	if err != nil {
		return nil, err
	}
	return c.Outcome(), nil
}

// decide sends all of a script through a core.
func decide(s *Script) (*Core, error) {
	c, err := NewCore(s)
	if err != nil {
		return nil, err
	}
	for _, p := range s.Sent {
		if p.Before {
			c.leave(p)
			continue
		}
		if p.Rules != nil {
			c.pass(c.start + int64(p.At))
			if err := c.Reload(c.now, p.Rules); err != nil {
				return nil, err
			}
			continue
		}
		c.send(p)
		c.take()
	}
	c.pass(c.start + int64(s.now+After))
	for _, w := range c.workers {
		w.Flush(&c.out)
	}
	c.take()
	return c, nil
}

func run(s *Script, random *rand.Rand, spliced bool) (*Result, error) {
	c, err := decide(s)
	if err != nil {
		return nil, err
	}
	r := c.Outcome()
	r.Left = c.left[0]
	if r.Broken = c.VerifyAnswers(s, c.answers); r.Broken != "" {
		return r, nil
	}
	for i := range c.sizes {
		if i > 0 && !slices.ContainsFunc(s.Sent, func(p Sent) bool { return p.GSO }) {
			break // nothing is cut: the same packets once more
		}
		networks := Networks(c.left[i], random)
		v := &verifier{frames: s.Frames, rules: c.rules}
		if spliced {
			v.frames, v.random = c.accepted, random
			random.Shuffle(len(networks), func(a, b int) { networks[a], networks[b] = networks[b], networks[a] })
			networks = networks[:min(len(networks), 6)]
		}
		if r.Broken = v.all(networks); r.Broken != "" {
			return r, nil
		}
		r.Networks += len(networks)
		r.Delivered += v.delivered
	}
	return r, nil
}

// After is how long a firewall is watched when a script is over: by then all that it
// held is dropped.
const After = 10 * time.Minute
