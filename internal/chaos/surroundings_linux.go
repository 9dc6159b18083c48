package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"

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
				return "nothing to do for the firewall: it goes on", b.lab.SetUnderlay(lab.UnderlayB, 0, true)
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
		{
			name: "conntrack", what: "the kernel's connection tracking is full with other traffic", possible: conntrackPossible,
			run: conntrackFull, mend: conntrackMend,
		},
		{
			name: "nft-flush", what: "another program removes all nftables tables", run: flushed, once: true,
		},
		{
			name: "nft-shout", what: "the same with --on-table-loss=shout, and a restart 1 s later", flags: []string{"--on-table-loss", "shout"},
			run: flushedAloud, once: true, ends: true,
		},
	}
}

// fillBound is how long it may take to fill connection tracking.
const fillBound = time.Minute

// mostTracked is up to how many entries connection tracking is filled.
const mostTracked = 1 << 19

// trackedMost reads nf_conntrack_max, which is one for the whole host.
func trackedMost() (int, error) { return numberIn("/proc/sys/net/netfilter/nf_conntrack_max") }

func numberIn(path string) (int, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}

func conntrackPossible(*bench) string {
	n, err := trackedMost()
	switch {
	case err != nil:
		return err.Error()
	case n > mostTracked:
		return fmt.Sprintf("nf_conntrack_max is %d, more than is filled here, and can be changed for the whole host alone", n)
	}
	return ""
}

// trackTable is a table of another program: it has the kernel track connections.
const trackTable = "chaos_track"

func conntrackMend(_ context.Context, b *bench) error {
	return b.lab.Do(lab.Firewall, func() error {
		c, err := nftables.New()
		if err != nil {
			return err
		}
		c.DelTable(c.AddTable(&nftables.Table{Name: trackTable, Family: nftables.TableFamilyINet}))
		netlink.ConntrackTableFlush(netlink.ConntrackTable) // else they stay for a while, and do no harm
		return c.Flush()
	})
}

// conntrackFull has all that is forwarded tracked, fills the table with other traffic, and
// looks whether STT, which is not tracked, goes on.
func conntrackFull(ctx context.Context, b *bench) (string, error) {
	if err := b.lab.Do(lab.Firewall, func() error {
		c, err := nftables.New()
		if err != nil {
			return err
		}
		table := c.AddTable(&nftables.Table{Name: trackTable, Family: nftables.TableFamilyINet})
		accept := nftables.ChainPolicyAccept
		chain := c.AddChain(&nftables.Chain{Name: "track", Table: table, Type: nftables.ChainTypeFilter,
			Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter, Policy: &accept})
		// Who asks for the state has the kernel track. What is invalid is dropped, as many
		// hosts do.
		c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{
			&expr.Ct{Key: expr.CtKeySTATE, Register: 1},
			&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: []byte{1, 0, 0, 0}, Xor: []byte{0, 0, 0, 0}},
			&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: []byte{0, 0, 0, 0}},
			&expr.Verdict{Kind: expr.VerdictDrop},
		}})
		return c.Flush()
	}); err != nil {
		return "", fmt.Errorf("a table that tracks connections: %w", err)
	}
	defer conntrackMend(ctx, b)
	// What fills it stays while it is filled.
	if err := b.lab.Sysctl(lab.Firewall, "net/netfilter/nf_conntrack_udp_timeout", "120"); err != nil {
		return "", err
	}
	most, err := trackedMost()
	if err != nil {
		return "", err
	}
	r := rand.New(rand.NewPCG(uint64(most), 5))
	tracked := 0
	for begun := time.Now(); tracked < most && time.Since(begun) < fillBound; {
		for range 4096 {
			src := netip.AddrFrom4([4]byte{10, 47, 1, byte(2 + r.IntN(200))})
			p := lab.PlainUDP(netip.AddrPortFrom(src, uint16(1024+r.IntN(60000))), netip.AddrPortFrom(lab.OuterB, uint16(10000+r.IntN(50000))))
			b.lab.Inject(lab.EndpointA, p, lab.Offload{})
		}
		if err := b.lab.Do(lab.Firewall, func() (err error) {
			tracked, err = numberIn("/proc/sys/net/netfilter/nf_conntrack_count")
			return err
		}); err != nil {
			return "", err
		}
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
	}
	if tracked < most {
		return "", fmt.Errorf("only %d of %d entries were filled", tracked, most)
	}
	if err := wait(ctx, time.Second); err != nil {
		return "", err
	}
	_, err = b.steady(ctx, time.Now(), recoverBound)
	b.over()
	if err != nil {
		return "", fmt.Errorf("with connection tracking full: %w", err)
	}
	return fmt.Sprintf("%d of %d entries: STT is not tracked, and goes on meanwhile", tracked, most), nil
}

// flushed removes all tables, as `nft flush ruleset` does.
func flushed(ctx context.Context, b *bench) (string, error) {
	begun := time.Now()
	b.opened = window{from: begun} // nobody can drop in that moment
	if err := b.flush(); err != nil {
		return "", err
	}
	back, err := b.tableBack(ctx, begun)
	if err != nil {
		return "", err
	}
	b.opened.to = begun.Add(back + grace)
	return fmt.Sprintf("STT passed uninspected until the table was there again, after %v", back.Round(time.Millisecond)), nil
}

func (b *bench) flush() error {
	return b.lab.Do(lab.Firewall, func() error {
		c, err := nftables.New()
		if err != nil {
			return err
		}
		c.FlushRuleset()
		return c.Flush()
	})
}

// flushedAloud is for a firewall that only says that its table is gone.
func flushedAloud(ctx context.Context, b *bench) (string, error) {
	b.opened = window{from: time.Now()}
	if err := b.flush(); err != nil {
		return "", err
	}
	trouble, err := b.trouble(ctx, "table is gone")
	if err != nil {
		return "", err
	}
	if err := wait(ctx, time.Until(b.opened.from.Add(time.Second))); err != nil {
		return "", err
	}
	b.over()
	if err := b.end(ctx); err != nil {
		return "", err
	}
	err = b.again(ctx)
	b.opened.to = time.Now().Add(grace)
	return "STT passed uninspected until the restart; stats: " + quoted(trouble), err
}

// tableBack waits until the firewall's table is there again.
func (b *bench) tableBack(ctx context.Context, begun time.Time) (time.Duration, error) {
	for time.Since(begun) < 5*time.Second {
		there := false
		if err := b.lab.Do(lab.Firewall, func() error {
			c, err := nftables.New()
			if err != nil {
				return err
			}
			tables, err := c.ListTablesOfFamily(nftables.TableFamilyINet)
			for _, t := range tables {
				there = there || t.Name == "sttwall"
			}
			return err
		}); err != nil {
			return 0, err
		}
		if there {
			return time.Since(begun), nil
		}
		if err := wait(ctx, time.Millisecond); err != nil {
			return 0, err
		}
	}
	return 0, errors.New("the table is not there again within 5 s: STT passes uninspected")
}
