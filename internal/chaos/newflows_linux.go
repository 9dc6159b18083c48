package chaos

import (
	"context"
	"fmt"
	"time"

	"sttwall/internal/lab"
)

// newFlows begins flows that the rules accept while the flow table has no room for all of
// them, and wants each to pass, or not each. One way: without a flow an answer would have
// to be accepted by itself.
func (b *bench) newFlows(ctx context.Context, each bool) error {
	const tries = 40
	before := b.traffic.begun.Load()
	for i := range tries {
		c, err := b.traffic.dial(lab.AcmeA, "udp4", portSink, stalled)
		if err != nil {
			return err
		}
		_, err = c.Write(fill(uint64(i)))
		c.Close()
		if err != nil {
			return err
		}
		if err := wait(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
	if err := wait(ctx, settle); err != nil {
		return err
	}
	switch n := b.traffic.begun.Load() - before; {
	case each && n < tries:
		return fmt.Errorf("%d of %d new flows passed, and all were to", n, tries)
	case !each && n == tries:
		return fmt.Errorf("all of %d new flows passed, and the table was to be full", tries)
	}
	return nil
}
