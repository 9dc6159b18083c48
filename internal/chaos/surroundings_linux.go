package chaos

import (
	"context"
	"time"

	"sttwall/internal/lab"
)

// surroundings are faults of the host and of its network.
func surroundings() []*fault {
	up := func(_ context.Context, b *bench) error { return b.lab.SetUnderlay(lab.UnderlayB, 1500, true) }
	return []*fault{
		{
			name: "link", what: "the interface towards endpoint B goes down for 1 s",
			run: func(ctx context.Context, b *bench) (string, error) {
				if err := b.lab.SetUnderlay(lab.UnderlayB, 0, false); err != nil {
					return "", err
				}
				if err := wait(ctx, time.Second); err != nil {
					return "", err
				}
				b.over()
				return "the firewall goes on", b.lab.SetUnderlay(lab.UnderlayB, 0, true)
			},
			mend: up,
		},
		{
			name: "mtu", what: "the MTU towards endpoint B is 1,000 for 2 s, then 1,500 again",
			run: func(ctx context.Context, b *bench) (string, error) {
				if err := b.lab.SetUnderlay(lab.UnderlayB, 1000, true); err != nil {
					return "", err
				}
				if err := wait(ctx, 2*time.Second); err != nil {
					return "", err
				}
				b.over()
				return "large packets do not get through meanwhile, small ones do", b.lab.SetUnderlay(lab.UnderlayB, 1500, true)
			},
			mend: up,
		},
	}
}
