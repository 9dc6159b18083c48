package peers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"

	nfqueue "github.com/florianl/go-nfqueue/v2"
	"golang.org/x/sys/unix"
)

// envChild holds the arguments of a process that is the go-nfqueue peer.
const envChild = "STTWALL_BENCH_GO_NFQUEUE"

// goNFQueue is go-nfqueue in a process of its own: this program again.
type goNFQueue struct{}

// GoNFQueue is the loop of go-nfqueue's documentation. The program that starts it must
// call [RunChild] first. It must be started before packets come: the library
// takes a packet for the answer that it waits for.
func GoNFQueue() Peer { return goNFQueue{} }

func (goNFQueue) Name() string     { return "go_nfqueue" }
func (goNFQueue) Available() error { return nil }

func (g goNFQueue) Start(ctx context.Context, env Env) (stop func() error, err error) {
	if err := env.Validate(); err != nil {
		return nil, fmt.Errorf("%s: %w", g.Name(), err)
	}
	env = env.withDefaults()
	exe, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("%s: find this program: %w", g.Name(), err)
	}
	return startAll(ctx, g.Name(), env, func(i int) command {
		a, _ := json.Marshal(child{env.FirstQueue + i, env.CopyRange, env.QueueLength, env.ReceiveBuffer}) // numbers alone
		return command{
			path: exe, env: []string{envChild + "=" + string(a)},
			netNS: env.NetNS, cpus: env.cpus(i), ready: "ready",
		}
	})
}

// child is what the process is to do.
type child struct{ Queue, CopyRange, QueueLength, ReceiveBuffer int }

// RunChild returns at once, unless this process is one that a peer has started:
// then it is that peer until it is told to end, and does not return. To be
// called first in main, and in TestMain.
func RunChild() {
	v, ok := os.LookupEnv(envChild)
	if !ok {
		return
	}
	var c child
	err := json.Unmarshal([]byte(v), &c)
	if err == nil {
		err = c.run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// run accepts all packets, as the library's example does: a function for each packet,
// which sends one verdict. Beside it: the GSO flag, a large receive buffer, and
// errors that are counted and not hidden (NETLINK_NO_ENOBUFS).
func (c child) run() error {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	nf, err := nfqueue.Open(&nfqueue.Config{
		NfQueue:      uint16(c.Queue),
		MaxPacketLen: uint32(c.CopyRange),
		MaxQueueLen:  uint32(c.QueueLength),
		Copymode:     nfqueue.NfQnlCopyPacket,
		Flags:        nfqueue.NfQaCfgFlagGSO,
	})
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer nf.Close()
	raw, err := nf.Con.SyscallConn()
	if err != nil {
		return fmt.Errorf("reach the socket: %w", err)
	}
	var refusal error
	err = raw.Control(func(fd uintptr) {
		if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, c.ReceiveBuffer) != nil {
			refusal = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, c.ReceiveBuffer)
		}
	})
	if err := errors.Join(err, refusal); err != nil {
		return fmt.Errorf("set the receive buffer: %w", err)
	}
	var packets, overruns, refused atomic.Uint64
	onPacket := func(a nfqueue.Attribute) int {
		if err := nf.SetVerdict(*a.PacketID, nfqueue.NfAccept); err != nil {
			refused.Add(1)
		}
		packets.Add(1)
		return 0
	}
	onError := func(err error) int {
		if ctx.Err() != nil {
			return 1
		}
		if errors.Is(err, unix.ENOBUFS) {
			overruns.Add(1)
		}
		return 0
	}
	if err := nf.RegisterWithErrorFunc(ctx, onPacket, onError); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	fmt.Println("ready")
	<-ctx.Done()
	if n := refused.Load(); n > 0 {
		return fmt.Errorf("%d verdicts were not sent", n)
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]uint64{"packets": packets.Load(), "overruns": overruns.Load()})
}
