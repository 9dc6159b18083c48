package nfq

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sttwall/limit"
)

// watched is a firewall in the test's namespace whose table is watched; what is told
// of it comes over the channel.
func watched(t *testing.T, restore bool, settings string) (in *Inline, told <-chan TableLoss) {
	t.Helper()
	return watchedBy(t, Clock(), restore, settings)
}

// watchedBy is watched with a clock of the test's.
func watchedBy(t *testing.T, clock func() int64, restore bool, settings string) (in *Inline, told <-chan TableLoss) {
	t.Helper()
	in, err := StartInline(InlineConfig{Policy: settingsPolicy(t, settings), Queue: Config{NetNS: currentNS(t)}, Queues: 2, FrameIDBits: 10})
	must(t, err)
	in.clock = clock
	return in, watchIt(t, in, restore)
}

// watchIt watches the table of a firewall until the test ends.
func watchIt(t *testing.T, in *Inline, restore bool) <-chan TableLoss {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	losses := make(chan TableLoss, 100)
	watch, err := in.WatchTable(restore, func(l TableLoss) { losses <- l })
	must(t, err)
	ended := make(chan struct{})
	go func() { defer close(ended); watch.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		<-ended
		in.closeQueues()
	})
	return losses
}

func lossOf(t *testing.T, told <-chan TableLoss) TableLoss {
	t.Helper()
	select {
	case loss := <-told:
		return loss
	case <-time.After(patience):
		t.Fatal("nothing is told of the table")
		return TableLoss{}
	}
}

// What passed while the table was lost is in no filter of frame IDs.
func TestATableThatWasLostHasFrameIDsGuarded(t *testing.T) {
	needCommand(t, "nft")
	lose := func(t *testing.T, in *Inline, restore, lost bool) {
		run(t, "nft", "flush", "ruleset")
		if loss, news := in.lookAtTable("", restore); !news || loss.Restored == lost {
			t.Fatalf("got %+v", loss)
		}
	}
	for _, c := range []struct {
		name  string
		guard time.Duration
		do    func(t *testing.T, in *Inline)
		want  bool
	}{
		{"a table that is there", time.Minute, func(t *testing.T, in *Inline) { in.lookAtTable("", true) }, false},
		{"a reload of one that is there", time.Minute, func(t *testing.T, in *Inline) {
			_, err := in.Reload(settingsPolicy(t, `endpoints = ["10.0.0.0/9"]`))
			must(t, err)
		}, false},
		{"restored", time.Minute, func(t *testing.T, in *Inline) { lose(t, in, true, false) }, true},
		{"lost, and left so", time.Minute, func(t *testing.T, in *Inline) { lose(t, in, false, true) }, true},
		{"put in by a reload, before anybody looked", time.Minute, func(t *testing.T, in *Inline) {
			run(t, "nft", "flush", "ruleset")
			_, err := in.Reload(settingsPolicy(t, `endpoints = ["10.0.0.0/9"]`))
			must(t, err)
		}, true},
		{"no guard is wanted", 0, func(t *testing.T, in *Inline) { lose(t, in, true, false) }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			in, err := StartInline(InlineConfig{
				Policy: settingsPolicy(t, `endpoints = ["10.0.0.0/8"]`), Queue: Config{NetNS: enterNS(t)}, Queues: 1, FrameIDBits: 10,
			})
			must(t, err)
			t.Cleanup(in.closeQueues)
			in.watch.budget = limit.NewBucket(limit.Rate{Per: time.Second, Events: restoreRate, Burst: restoreBurst})
			in.config.StartupGuard = c.guard // that of the start is over
			before := in.clock()
			c.do(t, in)
			if got := in.shared.FrameIDsGuarded(before + int64(c.guard) - 1); got != c.want {
				t.Errorf("guarded: got %v, want %v", got, c.want)
			}
		})
	}
}

// harm is what another program does to the table.
var harm = []struct {
	name, command string
	want          error
}{
	{"all rules are flushed", "nft flush ruleset", ErrTableGone},
	{"the table is deleted", "nft delete table inet sttwall", ErrTableGone},
	{"the table is put to sleep", "nft add table inet sttwall { flags dormant; }", ErrTableChanged},
	{"a rule stands in front", "nft insert rule inet sttwall guard accept", ErrTableChanged},
	{"a rule stands behind", "nft add rule inet sttwall stt accept", ErrTableChanged},
	{"a chain has lost its rules", "nft flush chain inet sttwall guard", ErrTableChanged},
	{"an endpoint more", "nft add element inet sttwall endpoints4 { 192.0.2.1 }", ErrTableChanged},
	{"a port less", "nft delete element inet sttwall stt_ports { 7471 }", ErrTableChanged},
	{"a chain that accepts", "nft add chain inet sttwall early { type filter hook prerouting priority -400; }", ErrTableChanged},
	{"a rule is replaced", "nft replace rule inet sttwall guard handle HANDLE accept", ErrTableChanged},
	{"another table with the name", "nft flush ruleset && nft add table inet sttwall", nil}, // gone, or changed
}

func TestATableThatIsLostIsRestored(t *testing.T) {
	needCommand(t, "nft")
	for _, c := range harm {
		t.Run(c.name, func(t *testing.T) {
			enterNS(t)
			start := time.Now()
			in, told := watched(t, true, `endpoints = ["10.0.0.0/8"]`)
			before := run(t, "nft", "list", "ruleset")
			hurt(t, c.command)
			loss := lossOf(t, told)
			if !loss.Restored || c.want != nil && !errors.Is(loss.Why, c.want) {
				t.Errorf("got %+v, want %v, restored", loss, c.want)
			}
			// On a busy machine this may have been the look without a word from the
			// kernel, which does not tell who it was.
			looks := time.Since(start) >= lookAnyway*lookAgain
			if !strings.HasPrefix(loss.By, "nft (") && !(looks && loss.By == "") {
				t.Errorf("got %+v, want nft's doing", loss)
			}
			for strings.Contains(c.command, "&&") && run(t, "nft", "list", "ruleset") != before {
				lossOf(t, told) // the second command may have come before the table was there again
			}
			if after := run(t, "nft", "list", "ruleset"); after != before {
				t.Errorf("got %s, want %s", after, before)
			}
			if h := in.TableHealth(); h.Lost != nil || h.Losses == 0 || h.Restored == 0 {
				t.Errorf("got %+v", h)
			}
		})
	}
}

func hurt(t *testing.T, commands string) {
	t.Helper()
	if strings.Contains(commands, "HANDLE") {
		list := run(t, "nft", "-a", "list", "chain", "inet", "sttwall", "guard")
		_, handle, _ := strings.Cut(list, "jump stt # handle ")
		handle, _, _ = strings.Cut(handle, "\n")
		commands = strings.ReplaceAll(commands, "HANDLE", handle)
	}
	for command := range strings.SplitSeq(commands, " && ") {
		words := strings.Fields(command)
		if i := strings.Index(command, "{"); i >= 0 {
			words = append(strings.Fields(command[:i]), command[i:])
		}
		run(t, words[0], words[1:]...)
	}
}

func TestATableThatIsLostIsToldAloneWhereThatIsWanted(t *testing.T) {
	needCommand(t, "nft")
	enterNS(t)
	in, told := watched(t, false, `endpoints = ["10.0.0.0/8"]`)
	run(t, "nft", "flush", "ruleset")
	if loss := lossOf(t, told); loss.Restored || loss.Failed != nil || !errors.Is(loss.Why, ErrTableGone) {
		t.Errorf("got %+v", loss)
	}
	if h := in.TableHealth(); !errors.Is(h.Lost, ErrTableGone) || h.Losses != 1 || h.Restored != 0 {
		t.Errorf("got %+v", h)
	}
	if rules := run(t, "nft", "list", "ruleset"); rules != "" {
		t.Errorf("got %s", rules)
	}
	// A reload that changes the table puts it in.
	_, err := in.Reload(settingsPolicy(t, `endpoints = ["10.0.0.0/9"]`))
	must(t, err)
	if h := in.TableHealth(); h.Lost != nil {
		t.Errorf("after a reload: got %+v", h)
	}
}

// Two programs that undo each other's work must not take all of the processor.
func TestRestoringHasABound(t *testing.T) {
	ns := enterNS(t)
	var now atomic.Int64
	in, told := watchedBy(t, now.Load, true, `endpoints = ["10.0.0.0/8"]`)
	for n := range restoreBurst {
		must(t, RemoveTable(ns))
		if loss := lossOf(t, told); !loss.Restored {
			t.Fatalf("loss %d: got %+v", n, loss)
		}
	}
	must(t, RemoveTable(ns))
	if loss := lossOf(t, told); loss.Restored || !errors.Is(loss.Failed, ErrTooManyLosses) {
		t.Errorf("got %+v, want %v", loss, ErrTooManyLosses)
	}
	now.Add(int64(time.Second) / restoreRate) // and then again
	if loss := lossOf(t, told); !loss.Restored {
		t.Errorf("got %+v", loss)
	}
	if _, err := in.Table().check(); err != nil {
		t.Error(err)
	}
}

// What others do to their own tables, and we to ours, is no loss.
func TestWhatIsNoLossIsNone(t *testing.T) {
	needCommand(t, "nft")
	ns := enterNS(t)
	in, told := watched(t, true, `endpoints = ["10.0.0.0/8"]`)
	run(t, "nft", "add", "table", "inet", "other")
	run(t, "nft", "add", "table", "ip", "sttwall") // of another family
	for i := range 3 {
		_, err := in.Reload(settingsPolicy(t, fmt.Sprintf(`endpoints = ["10.0.0.0/%d"]`, 9+i)))
		must(t, err)
	}
	run(t, "nft", "reset", "counters")
	must(t, RemoveTable(ns)) // the first that is told
	if loss := lossOf(t, told); !errors.Is(loss.Why, ErrTableGone) || !loss.Restored {
		t.Errorf("got %+v", loss)
	}
	if h := in.TableHealth(); h.Losses != 1 {
		t.Errorf("got %d losses, want 1", h.Losses)
	}
}

func TestCountersGoOnWhenTheTableIsRestored(t *testing.T) {
	w := newWire(t)
	in, told := watched(t, true, `endpoints = ["10.0.0.0/8"]`)
	w.send(t, outer{id: 1}.bytes(), udp(outer{}, 4789).bytes())
	for start := time.Now(); ; {
		c, err := in.Table().Counters()
		must(t, err)
		if c.Queued == 1 && c.OtherTunnel == 1 {
			break
		}
		if time.Since(start) > patience {
			t.Fatalf("got %+v", c)
		}
	}
	must(t, RemoveTable(w.near))
	lossOf(t, told)
	if c, err := in.Table().Counters(); err != nil || c.Queued != 1 || c.OtherTunnel != 1 {
		t.Errorf("got %+v, %v", c, err)
	}
	_, err := in.Reload(settingsPolicy(t, `endpoints = ["10.0.0.0/9"]`))
	must(t, err)
	if c, err := in.Table().Counters(); err != nil || c.Queued != 1 || c.OtherTunnel != 1 {
		t.Errorf("after a reload: got %+v, %v", c, err)
	}
}

// A reload that changes the table loses no packet that waits in a queue: the base
// chains stay.
func TestAReloadKeepsWhatWaitsInTheQueue(t *testing.T) {
	w := newWire(t)
	in, err := StartInline(InlineConfig{Policy: settingsPolicy(t, `endpoints = ["10.0.0.0/8"]`), Queue: Config{NetNS: w.near}, Queues: 1, FrameIDBits: 10})
	must(t, err)
	defer in.closeQueues()
	w.send(t, outer{id: 1}.bytes())
	held := take(t, in.queues[0], 1)
	_, err = in.Reload(settingsPolicy(t, "endpoints = [\"10.0.0.0/9\", \"10.192.0.0/16\"]\nstt_ports = [7471, 7472]\nonly_stt = true"))
	must(t, err)
	must(t, in.queues[0].SetVerdicts(accept(held...)))
	if got := w.delivered(t); len(got) != 1 || got[0] != 1 {
		t.Errorf("delivered: got %v, want the packet that waited", got)
	}
}

// What is made by a change is what is made at once.
func TestAChangedTableIsTheOneThatIsInstalled(t *testing.T) {
	enterNS(t)
	for from, first := range textCases() {
		for to, second := range textCases() {
			if first.Hooks != second.Hooks {
				continue // another start
			}
			table, err := installTable(first, targetDrop)
			must(t, err)
			changed, err := table.update(second)
			must(t, err)
			installed, err := installTable(changed.config, targetDrop) // with the same names of sets
			must(t, err)
			if changed.print != installed.print {
				t.Errorf("from %q to %q: the prints differ", from, to)
			}
			if from != to && table.print == installed.print {
				t.Errorf("%q and %q: one print", from, to)
			}
		}
	}
}
