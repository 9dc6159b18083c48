// Package onlooker asks a firewall what the live screen asks it, for those who measure
// what somebody who watches costs.
package onlooker

import (
	"context"
	"errors"

	"sttwall/control"
)

// Look asks once for all that the screens of `sttwall top` show, over the control
// socket. The error joins those of all questions.
func Look(ctx context.Context, c *control.Client) error {
	var errs []error
	ask := func(_ any, err error) { errs = append(errs, err) }
	ask(c.Status(ctx))
	ask(c.History(ctx))
	ask(c.Flows(ctx, control.FlowQuery{Sort: "rate", Descending: true, Limit: 200}))
	ask(c.Tenants(ctx))
	ask(c.Rules(ctx))
	ask(c.Drops(ctx))
	ask(c.Health(ctx))
	ask(c.RecentDrops(ctx, control.FrameQuery{}))
	return errors.Join(errs...)
}
