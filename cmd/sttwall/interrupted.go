package main

import (
	"context"
	"fmt"
)

// interrupted is the error of a command that works in a lab of its own: where ^C or SIGTERM
// has ended it, that it was so, and how far it came; else err.
func interrupted(ctx context.Context, err error, far string, args ...any) error {
	if err == nil || ctx.Err() == nil {
		return err
	}
	return fmt.Errorf("interrupted: %s; the lab is gone", fmt.Sprintf(far, args...))
}
