package bench

import (
	"context"
	"errors"
	"fmt"

	"sttwall/firewall"
	"sttwall/internal/benchreport"
	"sttwall/internal/vitals"
	"sttwall/nfq"
	"sttwall/reason"
)

// acceptAll is a core that decides nothing.
type acceptAll struct{}

func (acceptAll) ProcessBatch(_ int64, packets []firewall.Packet, out *firewall.Verdicts) {
	for i := range packets {
		out.List = append(out.List, firewall.Verdict{ID: packets[i].ID, Action: firewall.Accept})
	}
}

func (acceptAll) Expire(int64, *firewall.Verdicts)  {}
func (acceptAll) NextDeadline() (at int64, is bool) { return 0, false }
func (acceptAll) Flush(*firewall.Verdicts)          {}
func (acceptAll) Rest()                             {}

// under is what packets have to get through; nil is nothing but the kernel.
type under struct {
	inline *nfq.Inline
	stop   context.CancelFunc
	ended  chan error
}

// start has a way take packets, in the namespace of c.
func start(way benchreport.Way, c nfq.InlineConfig) (*under, error) {
	switch way {
	case benchreport.Forward:
		return nil, nil
	case benchreport.Accept:
		c.Observer = nil
		c.Wrap = func(*firewall.Firewall) nfq.Core { return acceptAll{} }
	}
	inline, err := nfq.StartInline(c)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	u := &under{inline, stop, make(chan error, 1)}
	go func() { u.ended <- inline.Run(ctx) }()
	return u, nil
}

// end ends it and takes its table away.
func (u *under) end() error {
	if u == nil {
		return nil
	}
	u.stop()
	return errors.Join(<-u.ended, u.inline.Table().Remove())
}

// blame says who has dropped packets that should have passed, most first; "" is nobody
// that counts.
func (u *under) blame() string {
	if u == nil {
		return ""
	}
	worst, text := uint64(0), ""
	take := func(n uint64, reason, meaning, remedy string) {
		if n > worst {
			worst, text = n, fmt.Sprintf("%d dropped as %s: %s (%s)", n, reason, meaning, remedy)
		}
	}
	totals := u.inline.Totals()
	for i, n := range totals.Reasons {
		r := reason.Reason(i)
		take(n, r.String(), r.Meaning(), r.Remedy())
	}
	for _, d := range vitals.Drops(u.inline) {
		take(d.Count, d.Reason, d.Meaning, d.Remedy)
	}
	return text
}
