package nfq

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"

	"sttwall/firewall"
	"sttwall/internal/gsoguard"
	"sttwall/policy"
)

// GuardMode says what happens about super-segments of small pieces, where
// settings.receivers is "any"; see package gsoguard.
type GuardMode uint8

const (
	// GuardAuto: they are dropped by the table where that is possible. Where it is
	// not, [Inline.GuardMissing] says why.
	GuardAuto GuardMode = iota
	// GuardRequire: the firewall does not start where it is not possible.
	GuardRequire
	// GuardOff: nothing is done about them, and nothing said.
	GuardOff
)

// ParseGuardMode reads "auto", "require" or "off".
func ParseGuardMode(word string) (GuardMode, error) {
	for _, m := range []GuardMode{GuardAuto, GuardRequire, GuardOff} {
		if word == m.String() {
			return m, nil
		}
	}
	return 0, fmt.Errorf("gso-guard=%s: want auto, require or off", word)
}

// String returns what [ParseGuardMode] reads.
func (m GuardMode) String() string {
	switch m {
	case GuardRequire:
		return "require"
	case GuardOff:
		return "off"
	}
	return "auto"
}

// What the firewall relies on is what the guard sees to: this is below 0 otherwise, and
// does not compile.
const _ = uint(gsoguard.Smallest - firewall.SmallestPiece)

// Why there is no guard, beside the errors of package gsoguard.
var (
	// ErrNoKernelGuard: nf_tables cannot run a BPF program.
	ErrNoKernelGuard = errors.New("this kernel's nf_tables cannot run BPF (it needs CONFIG_NFT_COMPAT with CONFIG_NETFILTER_XT_MATCH_BPF; try: modprobe xt_bpf)")
	// ErrGuardForeign: the table that would have the guard is not installed.
	ErrGuardForeign = errors.New("the guard is a part of the nftables table, which is left to others here (--no-nft)")
)

// smallPieces matches super-segments whose pieces are small, by the guard's program.
// Its part of the rule has no text: nft cannot write a match of xtables.
func smallPieces(g *gsoguard.Guard) part {
	// struct xt_bpf_info_v1 (linux/netfilter/xt_bpf.h), in the machine's byte order:
	// mode, number of instructions, file descriptor, room for a program or a path,
	// and a pointer of the kernel's. The kernel looks the descriptor up when it takes
	// the rule, and keeps the program.
	const (
		modeFD  = 2 // XT_BPF_MODE_FD_ELF
		infoLen = 2 + 2 + 4 + 512 + 8
	)
	info := make(xt.Unknown, infoLen)
	binary.NativeEndian.PutUint16(info, modeFD)
	binary.NativeEndian.PutUint32(info[4:], uint32(g.FD()))
	return part{"", []expr.Any{&expr.Match{Name: "bpf", Rev: 1, Info: &info}}}
}

// probeGuard finds out by trying whether this kernel's tables can run the program.
func probeGuard(ns NetNS, g *gsoguard.Guard) error {
	match := smallPieces(g).exprs
	err := tryTable(ns, nftables.TableFamilyINet, match)
	// See probeTarget for why it is tried in the ip family too.
	if err != nil && tryTable(ns, nftables.TableFamilyIPv4, match) == nil {
		err = tryTable(ns, nftables.TableFamilyINet, match)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoKernelGuard, err)
	}
	return nil
}

// loadGuard returns the guard for what the settings and the mode want; nil where they
// want none, or where there can be none and missing says why. err is not nil where
// the firewall must not run without.
func (c *InlineConfig) loadGuard(settings *policy.Settings) (g *gsoguard.Guard, missing, err error) {
	if settings.Receivers != policy.ReceiversAny {
		return nil, nil, nil
	}
	switch {
	case c.GSOGuard == GuardOff:
		return nil, nil, nil
	case c.Table == TableForeign:
		missing = ErrGuardForeign
	default:
		if g, missing = gsoguard.Load(); missing == nil {
			if missing = probeGuard(c.Queue.NetNS, g); missing != nil {
				closeGuard(g)
				g = nil
			}
		}
	}
	if missing != nil && c.GSOGuard == GuardRequire {
		return nil, missing, guardRequired(missing)
	}
	return g, missing, nil
}

// closeGuard closes a guard, if there is one. That it cannot be closed is of no
// interest: it is a descriptor, and what is asked of it is to be gone.
func closeGuard(g *gsoguard.Guard) {
	if g != nil {
		g.Close()
	}
}

// GuardMissing says why super-segments of small pieces can reach receivers, where
// settings.receivers is "any"; nil where they cannot, or by choice may ([GuardOff]).
func (in *Inline) GuardMissing() error {
	if missing := in.guardMissing.Load(); missing != nil {
		return *missing
	}
	return nil
}

// guardFor brings the guard of a table's configuration in line with the settings; see
// loadGuard. A guard that was loaded once is kept: a running firewall may have given up
// the right to load another.
func (in *Inline) guardFor(settings *policy.Settings, table *TableConfig) (missing, err error) {
	table.Guard = nil
	if settings.Receivers != policy.ReceiversAny {
		return nil, nil
	}
	if in.guard == nil {
		in.guard, missing, err = in.config.loadGuard(settings)
		if running := in.table.Load() != nil; running && errors.Is(missing, gsoguard.ErrNotPermitted) {
			missing = fmt.Errorf("%w; a firewall that runs has given it up: start it again", missing)
			if err != nil {
				err = guardRequired(missing)
			}
		}
	}
	table.Guard = in.guard
	return missing, err
}

func guardRequired(missing error) error {
	return fmt.Errorf("guard against super-segments of small pieces: %w", missing)
}

func (in *Inline) setGuardMissing(missing error) {
	if missing == nil {
		in.guardMissing.Store(nil)
		return
	}
	in.guardMissing.Store(&missing)
}
