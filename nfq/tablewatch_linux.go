package nfq

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"sttwall/limit"
	"sttwall/policy"
)

const (
	// restoreBurst and restoreRate bound how often the table is put in again, so that
	// two programs that undo each other's work leave processor time for packets.
	restoreBurst = 64
	restoreRate  = 8 // a second
	// lookAgain is how often a lost table is looked at without a word from the kernel.
	lookAgain = time.Second
	// lookAnyway is how many times that passes until rules that have changed are read
	// although the kernel said nothing of our table.
	lookAnyway = 10
	// watchBuffer is the receive buffer for what the kernel tells of changed rules.
	watchBuffer = 4 << 20
)

// TableLoss tells of a table that is no longer as it was installed.
type TableLoss struct {
	// Why is [ErrTableGone], [ErrTableChanged], [ErrBridgePasses], or that it cannot be read.
	Why error
	// By is the program that did it, with its thread's number: "nft (4711)"; "" where
	// it is not known.
	By string
	// Restored: the table is as it was.
	Restored bool
	// Failed is why it was not restored; nil where that was not tried.
	Failed error
}

// ErrTooManyLosses: the table is restored later, since it was lost too often.
var ErrTooManyLosses = errors.New("it is lost more often than it is restored: another program removes it again and again")

// TableHealth is how the table has fared.
type TableHealth struct {
	// Lost says why it is not as it was installed; nil if it is, or nobody watches.
	Lost error
	// Losses is how often it was lost, and Restored how often put in again.
	Losses, Restored uint64
}

// tableState is how the table fares.
type tableState struct {
	mu               sync.Mutex // held while the table is changed or looked at
	lost             atomic.Pointer[error]
	losses, restored atomic.Uint64
	last             uint32 // generation of the rules that were looked at last
	failed           string // why the table was not restored last
	budget           *limit.Bucket
}

// TableHealth returns how the table has fared.
func (in *Inline) TableHealth() TableHealth {
	h := TableHealth{Losses: in.watch.losses.Load(), Restored: in.watch.restored.Load()}
	if lost := in.watch.lost.Load(); lost != nil {
		h.Lost = *lost
	}
	return h
}

// BridgeLeft says why br_netfilter is still as an earlier table with [HookBridge] wanted it,
// which this one does not have; nil where it is not. It was tried at the start.
func (in *Inline) BridgeLeft() error { return in.bridgeLeft }

// TableWatch looks after the table of an [Inline]: [Inline.WatchTable] begins it, and
// [TableWatch.Run] goes on with it and ends it.
type TableWatch struct {
	in      *Inline
	conn    *netlink.Conn // nil where the table is somebody else's
	restore bool
	tell    func(TableLoss)
}

// WatchTable begins to look after the table: from its return on, each change by another
// program is noticed, with who made it. Whenever the table is removed or changed, it is
// put in again if restore is set, and tell is called. The kernel tells of each change
// (NFNLGRP_NFTABLES), so that little passes meanwhile. What happened before is noticed
// in here. Run must be called, and tell is not called by two at a time.
func (in *Inline) WatchTable(restore bool, tell func(TableLoss)) (*TableWatch, error) {
	w := &TableWatch{in: in, restore: restore, tell: tell}
	if in.table.Load() == nil {
		return w, nil
	}
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: int(in.config.Queue.NetNS)})
	if err != nil {
		return nil, fmt.Errorf("table %s: watch: %w", TableName, err)
	}
	raw, err := conn.SyscallConn()
	if err == nil {
		err = control(raw, func(fd int) error {
			_, err := setBuffer(fd, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, watchBuffer)
			return err
		})
	}
	if err == nil {
		err = conn.JoinGroup(unix.NFNLGRP_NFTABLES)
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("table %s: watch: %w", TableName, err)
	}
	w.conn = conn
	in.watch.budget = limit.NewBucket(limit.Rate{Per: time.Second, Events: restoreRate, Burst: restoreBurst})
	w.look("")
	return w, nil
}

func (w *TableWatch) look(by string) {
	if loss, news := w.in.lookAtTable(by, w.restore); news {
		w.tell(loss)
	}
}

// Run looks after the table until ctx ends. It returns at once where the table is
// somebody else's.
func (w *TableWatch) Run(ctx context.Context) {
	if w.conn == nil {
		return
	}
	stop := context.AfterFunc(ctx, func() { w.conn.Close() })
	defer stop()
	changes := make(chan string, 1)
	var listening sync.WaitGroup
	listening.Go(func() {
		defer close(changes)
		listenForChanges(ctx, w.conn, changes)
	})
	defer listening.Wait()
	defer w.conn.Close()
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	every := lookAnyway
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case by, open := <-changes:
			if !open { // the kernel tells no more
				changes, every = nil, 1
				continue
			}
			w.look(by)
		case <-tick.C:
			if w.in.watch.lost.Load() != nil || w.in.table.Load().shown() != nil || n%every == 0 && w.in.rulesHaveChanged() {
				w.look("")
			}
		}
	}
}

// rulesHaveChanged reports whether any rules of the network namespace have, since our
// table was looked at.
func (in *Inline) rulesHaveChanged() bool {
	in.watch.mu.Lock()
	defer in.watch.mu.Unlock()
	now, err := generationOf(in.config.Queue.NetNS)
	return err != nil || now != in.watch.last
}

// lookAtTable checks the table, and restores it if need be. It is news when the table
// is lost, when it is there again, and when why it cannot be restored is another.
func (in *Inline) lookAtTable(by string, restore bool) (loss TableLoss, news bool) {
	w := &in.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	table := in.table.Load()
	before := w.lost.Load()
	generation, why := table.check()
	w.last = generation
	if why == nil {
		if before == nil {
			return loss, false
		}
		in.guardFrameIDs()
		w.lost.Store(nil)
		return TableLoss{Why: *before, By: by, Restored: true}, true // somebody else has
	}
	in.guardFrameIDs() // again as long as it is lost: whatever is done below may fail
	w.lost.Store(&why)
	if before == nil {
		w.losses.Add(1)
		w.failed = ""
	}
	loss = TableLoss{Why: why, By: by}
	switch {
	case !restore:
	case !w.budget.Take(in.clock(), 1):
		loss.Failed = ErrTooManyLosses
	default:
		next, err := table.restore(table.config)
		if err != nil {
			loss.Failed = err
			break
		}
		in.guardFrameIDs()
		in.table.Store(next)
		w.lost.Store(nil)
		w.restored.Add(1)
		loss.Restored = true
	}
	failed := ""
	if loss.Failed != nil {
		failed = loss.Failed.Error()
	}
	news = before == nil || loss.Restored || failed != w.failed
	w.failed = failed
	return loss, news
}

// guardFrameIDs has the startup guard hold once more, from now on: what passes while the
// table is lost is in no filter of frame IDs, and receivers may hold pieces of it.
func (in *Inline) guardFrameIDs() {
	if in.config.StartupGuard > 0 {
		in.shared.GuardFrameIDs(in.clock() + int64(in.config.StartupGuard))
	}
}

// reloadTable has the table, and its guard, follow the settings.
func (in *Inline) reloadTable(settings policy.Settings) error {
	in.watch.mu.Lock()
	defer in.watch.mu.Unlock()
	table := in.table.Load()
	config := in.config.TableConfig(settings)
	missing, err := in.guardFor(&settings, &config)
	if err != nil {
		return err
	}
	if table != nil && !config.equal(table.config) {
		if err := in.changeTable(table, config); err != nil {
			return err
		}
	}
	in.setGuardMissing(missing)
	return nil
}

// changeTable puts another configuration into the table, as it is or anew. The
// watch is locked.
func (in *Inline) changeTable(table *Table, config TableConfig) error {
	table.Counters() // for those to come to go on from
	change := table.update
	_, lost := table.check()
	if lost != nil {
		change = table.restore
	}
	next, err := change(config)
	if err != nil {
		return err
	}
	if lost != nil {
		in.guardFrameIDs()
	}
	in.table.Store(next)
	in.watch.lost.Store(nil)
	return nil
}

// listenForChanges sends who has changed our table, one at a time: whoever comes
// while one waits changed it too, and is not told of.
func listenForChanges(ctx context.Context, conn *netlink.Conn, changes chan<- string) {
	ours := false // in the transaction that is being told
	for {
		messages, err := conn.Receive()
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, unix.ENOBUFS):
			// What is lost may have been about our table.
			messages, ours = nil, false
			send(changes, "")
		case err != nil:
			// The looks without a word go on.
			return
		}
		for _, m := range messages {
			if m.Header.Type>>8 != unix.NFNL_SUBSYS_NFTABLES {
				continue
			}
			if m.Header.Type&0xff != unix.NFT_MSG_NEWGEN { // the end of a transaction
				ours = ours || aboutOurTable(m)
				continue
			}
			if ours {
				send(changes, programOf(m))
			}
			ours = false
		}
	}
}

func send(changes chan<- string, by string) {
	select {
	case changes <- by:
	default:
	}
}

// programOf returns who has made a transaction: "nft (4711)".
func programOf(m netlink.Message) string {
	name := strings.TrimRight(string(attributeOf(m, unix.NFTA_GEN_PROC_NAME)), "\x00")
	id := attributeOf(m, unix.NFTA_GEN_PROC_PID)
	if name == "" || len(id) != 4 {
		return ""
	}
	return fmt.Sprintf("%s (%d)", name, binary.BigEndian.Uint32(id))
}
