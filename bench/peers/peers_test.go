package peers

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"sttwall/internal/load"
	"sttwall/nfq"
	"sttwall/stt"
)

func TestMain(m *testing.M) {
	RunChild()
	os.Exit(m.Run())
}

const sttPort = 7471

var here = netip.MustParseAddr("10.99.0.1")

// lab is a namespace whose loopback leads through queues.
type lab struct {
	path    string
	send    int // a raw socket
	receive int // another: what is delivered
}

// newLab makes a namespace for the test's thread. The table and its queues are
// the product's.
func newLab(t *testing.T, queues int) *lab {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("CI must be root")
		}
		t.Skip("peers are started in a network namespace by root alone")
	}
	runtime.LockOSThread() // never unlocked: the thread ends with the test
	must(t, unix.Unshare(unix.CLONE_NEWNET))
	l := &lab{path: fmt.Sprintf("/proc/%d/task/%d/ns/net", os.Getpid(), unix.Gettid())}
	lo, err := netlink.LinkByName("lo")
	must(t, err)
	must(t, netlink.AddrAdd(lo, &netlink.Addr{IPNet: netlink.NewIPNet(here.AsSlice())}))
	must(t, netlink.LinkSetUp(lo))
	f, err := os.Open(l.path)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	_, err = nfq.InstallTable(nfq.TableConfig{
		NetNS: nfq.NetNS(f.Fd()), Ports: []uint16{sttPort}, FirstQueue: 10, Queues: queues,
	})
	must(t, err)
	l.send = l.socket(t, unix.IPPROTO_RAW)
	l.receive = l.socket(t, unix.IPPROTO_TCP)
	must(t, unix.SetsockoptInt(l.receive, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20))
	wait := unix.NsecToTimeval(int64(patience))
	must(t, unix.SetsockoptTimeval(l.receive, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait))
	return l
}

func (l *lab) socket(t *testing.T, protocol int) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, protocol)
	must(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

// frames sends frames of one tenant, one segment each, from many source ports.
func (l *lab) frames(t *testing.T, n int, tenant uint64) {
	t.Helper()
	inner := make([]byte, 92)
	binary.BigEndian.PutUint16(inner[12:], 0x88b5) // an ethertype for experiments
	frame := append(stt.AppendFrameHeader(nil, &stt.FrameHeader{ContextID: tenant}), inner...)
	for i := range n {
		path := stt.Path{Src: here, Dst: here, SrcPort: uint16(40000 + i%100), DstPort: sttPort, TTL: 64}
		packet := stt.AppendSegment(nil, &path, &stt.Piece{FrameID: uint32(i), FrameLength: len(frame), Payload: frame})
		must(t, unix.Sendto(l.send, packet, 0, &unix.SockaddrInet4{Addr: here.As4()}))
	}
}

// arrive waits for n frames and returns how many came of each tenant.
func (l *lab) arrive(t *testing.T, n int) map[uint64]int {
	t.Helper()
	came := make(map[uint64]int)
	packet := make([]byte, 65536)
	for total := 0; total < n; {
		length, _, err := unix.Recvfrom(l.receive, packet, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			t.Fatalf("after %d frames of %d: %v", total, n, err)
		}
		// The kernel's own answers to the segments go to another port.
		if tcp := packet[20:length]; binary.BigEndian.Uint16(tcp[2:]) == sttPort {
			came[binary.BigEndian.Uint64(tcp[20+8:])]++
			total++
		}
	}
	return came
}

func TestEachPeerAcceptsWhatComesAndEndsWhenToldTo(t *testing.T) {
	for _, queues := range []int{1, 2} {
		for _, p := range All() {
			if strings.HasPrefix(p.Name(), "suricata") && queues == 1 {
				continue // it starts slowly, and with one queue below
			}
			t.Run(fmt.Sprintf("%s/queues=%d", p.Name(), queues), func(t *testing.T) {
				available(t, p)
				l := newLab(t, queues)
				var counts Counts
				var pids []int
				stop, err := p.Start(context.Background(), Env{
					NetNS: l.path, FirstQueue: 10, Queues: queues, CPUs: []int{0}, CopyRange: 256, PIDs: &pids, Counts: &counts,
				})
				must(t, err)
				for _, pid := range pids {
					must(t, unix.Kill(pid, 0))
				}
				l.frames(t, 1000, load.ContextID)
				if came := l.arrive(t, 1000); came[load.ContextID] != 1000 {
					t.Errorf("came %v", came)
				}
				must(t, stop())
				for _, pid := range pids {
					if err := unix.Kill(pid, 0); !errors.Is(err, unix.ESRCH) {
						t.Errorf("process %d: %v", pid, err)
					}
				}
				if len(pids) == 0 {
					t.Error("no process is named")
				}
				if counts.Packets != 1000 || counts.Overruns != 0 || counts.Late != 0 {
					t.Errorf("counted %+v", counts)
				}
				if strings.HasPrefix(p.Name(), "c_") && counts.SystemCalls == 0 {
					t.Error("counted no system calls")
				}
			})
		}
	}
}

func TestSuricataDropsTheFramesOfOtherTenants(t *testing.T) {
	p := Suricata(SuricataConfig{Tenants: []uint64{100}})
	available(t, p)
	l := newLab(t, 1)
	stop, err := p.Start(context.Background(), Env{NetNS: l.path, FirstQueue: 10, Queues: 1})
	must(t, err)
	// One queue keeps the order: what is dropped is so before the last comes.
	l.frames(t, 50, 100)
	l.frames(t, 50, 300)
	l.frames(t, 50, 100)
	if came := l.arrive(t, 100); came[100] != 100 {
		t.Errorf("came %v", came)
	}
	must(t, stop())
}

func TestAQueueThatIsTakenIsAnErrorAndLeavesNoProcess(t *testing.T) {
	l := newLab(t, 1)
	for _, p := range []Peer{CLoop(), CMany(), CBatch(), GoNFQueue()} {
		available(t, p)
		env := Env{NetNS: l.path, FirstQueue: 10, Queues: 1}
		stop, err := p.Start(context.Background(), env)
		must(t, err)
		env.FirstQueue, env.Queues = 9, 2
		if _, err := p.Start(context.Background(), env); err == nil || !strings.Contains(err.Error(), "queue 10") {
			t.Errorf("%s on a queue that is taken: %v", p.Name(), err)
		}
		// Queue 9 was bound before, and must be free again.
		env.Queues = 1
		again, err := p.Start(context.Background(), env)
		must(t, err)
		must(t, again())
		must(t, stop())
	}
}

func TestAProcessThatEndsByItselfIsAnError(t *testing.T) {
	shell := func(script string) (*process, error) {
		return start(context.Background(), command{path: "/bin/sh", args: []string{"-c", script}, ready: "ready"})
	}
	if _, err := shell("echo out of luck >&2; exit 3"); err == nil || !strings.Contains(err.Error(), "exit status 3\nout of luck") {
		t.Errorf("before it is ready: %v", err)
	}
	p, err := shell("echo ready; exit 4")
	must(t, err)
	<-p.done
	if _, err := p.stop(); err == nil || !strings.Contains(err.Error(), "exit status 4") {
		t.Errorf("before it is stopped: %v", err)
	}
	if p, err = shell("trap 'exit 5' TERM; echo ready; while :; do sleep 0.01; done"); err != nil {
		t.Fatal(err)
	}
	if _, err := p.stop(); err == nil || !strings.Contains(err.Error(), "exit status 5") {
		t.Errorf("when it is stopped: %v", err)
	}
}

func TestEnvNamesTheFirstMistake(t *testing.T) {
	for _, test := range []struct {
		env  Env
		want string
	}{
		{Env{}, "0 queues: at least 1"},
		{Env{FirstQueue: 65535, Queues: 2}, "2 queues from number 65535: 0 to 65535"},
		{Env{Queues: 1, CopyRange: 65536}, "copy range of 65536 bytes: 0 to 65535"},
		{Env{Queues: 1, QueueLength: -1}, "queue length -1, receive buffer 0: not below 0"},
	} {
		_, err := CBatch().Start(context.Background(), test.env)
		if want := "c_batch: " + test.want; err == nil || err.Error() != want {
			t.Errorf("got error %v, want %s", err, want)
		}
	}
}

// available skips a peer that is not here. Suricata starts slowly, and is in no
// distribution that we can count on.
func available(t *testing.T, p Peer) {
	t.Helper()
	isSuricata := strings.HasPrefix(p.Name(), "suricata")
	if isSuricata && testing.Short() {
		t.Skip("Suricata takes seconds to start: without -short")
	}
	if err := p.Available(); err != nil {
		if os.Getenv("CI") == "true" && !isSuricata {
			t.Fatalf("CI must be able to run this: %v", err)
		}
		t.Skip(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
