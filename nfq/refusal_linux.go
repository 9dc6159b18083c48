package nfq

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Why a queue or a table is refused. The error that wraps one says which
// object it was and what helps.
var (
	// ErrNoCapability: the caller lacks CAP_NET_ADMIN over the network namespace.
	ErrNoCapability = errors.New("CAP_NET_ADMIN is missing (run as root, or in a user namespace of your own)")
	// ErrQueueTaken: another program, or another queue of this one, listens on the number.
	ErrQueueTaken = errors.New("the queue number is already taken")
	// ErrNoKernelQueue: the kernel has no NFQUEUE.
	ErrNoKernelQueue = errors.New("this kernel has no NFQUEUE (it needs CONFIG_NETFILTER_NETLINK_QUEUE; try: modprobe nfnetlink_queue)")
	// ErrNoKernelTables: the kernel has no nf_tables.
	ErrNoKernelTables = errors.New("this kernel has no nf_tables (it needs CONFIG_NF_TABLES and CONFIG_NF_TABLES_INET; try: modprobe nf_tables)")
	// ErrNoKernelBridge: nf_tables has no tables for bridges.
	ErrNoKernelBridge = errors.New("this kernel's nf_tables has no bridge family (it needs CONFIG_NF_TABLES_BRIDGE)")
	// ErrNoKernelTarget: nf_tables cannot hand packets to a queue.
	ErrNoKernelTarget = errors.New("this kernel's nf_tables cannot queue packets (it needs CONFIG_NFT_QUEUE, or CONFIG_NFT_COMPAT with CONFIG_NETFILTER_XT_TARGET_NFQUEUE)")
)

// refusal explains an error from opening the netfilter socket or from a first,
// harmless request to a netfilter subsystem. The kernel checks the capability
// before it looks for the subsystem (net/netfilter/nfnetlink.c, nfnetlink_rcv),
// and answers EINVAL where there is none (nfnetlink_rcv_msg).
func refusal(err, noSubsystem error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("%w: %w", ErrNoCapability, err)
	case errors.Is(err, unix.EPROTONOSUPPORT), errors.Is(err, unix.EAFNOSUPPORT),
		errors.Is(err, unix.EINVAL), errors.Is(err, unix.EOPNOTSUPP):
		return fmt.Errorf("%w: %w", noSubsystem, err)
	}
	return err
}

// bindRefusal explains an error from binding to a queue number: EPERM if it
// belongs to another netlink port, EBUSY if it is ours already
// (net/netfilter/nfnetlink_queue.c, nfqnl_recv_config). It comes after refusal
// has shown that the capability is there.
func bindRefusal(err error, owner uint32) error {
	if !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EBUSY) {
		return err
	}
	if owner != 0 {
		return fmt.Errorf("%w: by the program with netlink port %d (usually its process ID); stop it or choose another number", ErrQueueTaken, owner)
	}
	return fmt.Errorf("%w: by another program; stop it or choose another number", ErrQueueTaken)
}
