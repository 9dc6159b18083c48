package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/pflag"

	"sttwall/nfq"
)

// tableWatchFlags say what is done when another program removes or changes the table.
type tableWatchFlags struct{ onLoss string }

func (f *tableWatchFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.onLoss, "on-table-loss", "restore", "restore or shout: put the nftables table in again when\nanother program removes or changes it, or only say so")
}

func (f *tableWatchFlags) check() error {
	if f.onLoss != "restore" && f.onLoss != "shout" {
		return fmt.Errorf("--on-table-loss=%s: want restore or shout", f.onLoss)
	}
	return nil
}

// watch begins to watch the table, and returns what goes on with it until its context
// ends.
func (f *tableWatchFlags) watch(inline *nfq.Inline, log *slog.Logger) (run func(context.Context)) {
	told := lossLog{log: log, now: time.Now}
	watch, err := inline.WatchTable(f.onLoss == "restore", func(l nfq.TableLoss) { told.tell(l, inline.TableHealth()) })
	if err != nil {
		log.Error("the nftables table is not watched: nobody notices when another program removes it", "why", err)
		return func(context.Context) {}
	}
	return watch.Run
}

// lossLogPause is how long lines about a table that is lost again and again are apart.
const lossLogPause = time.Second

// lossLog logs losses of the table, and no more than one restored one in lossLogPause.
type lossLog struct {
	log  *slog.Logger
	now  func() time.Time
	last time.Time // of the last line
}

func (l *lossLog) tell(loss nfq.TableLoss, health nfq.TableHealth) {
	fields := []any{"why", loss.Why, "losses", health.Losses, "restored", health.Restored}
	if loss.By != "" {
		fields = append(fields, "by", loss.By)
	}
	switch {
	case loss.Failed != nil:
		l.log.Error("STT passes uninspected: another program has changed the nftables table, and it is not put in again", append(fields, "failed", loss.Failed)...)
	case !loss.Restored:
		l.log.Error("STT passes uninspected: another program has changed the nftables table, and --on-table-loss=shout leaves it so", fields...)
	case l.now().Sub(l.last) < lossLogPause:
		return
	default:
		l.log.Warn("another program has changed the nftables table: it is as it was again, and what passed meanwhile was not inspected", fields...)
	}
	l.last = l.now()
}
