package chaos

import (
	"context"
	"fmt"
	"time"

	"sttwall/internal/lab"
)

// newFlows begins flows that the rules accept while the flow table has no room, and
// wants them to pass, all of them, or only as far as there is room.
func (b *bench) newFlows(ctx context.Context, all bool) error {
	const tries = 20
	answered := 0
	for range tries {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		c, err := b.traffic.dial(lab.AcmeA, "udp4", portEcho, stalled)
		if err != nil {
			return err
		}
		c.SetDeadline(time.Now().Add(200 * time.Millisecond))
		c.Write(fill(0))
		if _, err := c.Read(make([]byte, probeLength)); err == nil {
			answered++
		}
		c.Close()
	}
	switch {
	case all && answered < tries:
		return fmt.Errorf("%d of %d new flows passed, and all were to", answered, tries)
	case !all && answered == tries:
		return fmt.Errorf("all of %d new flows passed, and the table was to be full", tries)
	}
	return nil
}
