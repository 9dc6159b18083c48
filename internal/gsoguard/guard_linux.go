package gsoguard

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// Smallest is the smallest payload of the pieces of a super-segment that passes, in
// bytes. Windows' receiver writes outside of its buffer for segments at offsets 1 to
// 17; headers that a decision rests on end far below 512 in packets of real senders,
// whose pieces fill the underlay's MTU.
const Smallest = 512

// ErrNotPermitted: the caller may not load BPF programs.
var ErrNotPermitted = errors.New("BPF is not permitted (it needs CAP_BPF, or CAP_SYS_ADMIN before Linux 5.8, in the first user namespace)")

// Guard is the program, loaded into the kernel. A rule that runs it keeps it there
// when the Guard is closed.
type Guard struct{ objects guardObjects }

// Load loads the program. It takes CAP_BPF in the first user namespace, unless
// kernel.unprivileged_bpf_disabled is 0; what is done with the Guard takes no right
// of BPF's. The caller closes it.
func Load() (*Guard, error) {
	g := new(Guard)
	err := loadGuardObjects(&g.objects, nil)
	switch {
	case errors.Is(err, unix.EPERM):
		// The verifier's log is empty then, and the rest says it twice.
		return nil, ErrNotPermitted
	case errors.Is(err, unix.ENOSYS):
		return nil, fmt.Errorf("this kernel has no BPF (it needs CONFIG_BPF_SYSCALL): %w", err)
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EINVAL):
		return nil, fmt.Errorf("this kernel refuses the program (it needs Linux 5.7): %w", err)
	case err != nil:
		return nil, err
	}
	return g, nil
}

// FD is the program's file descriptor; it stays g's.
func (g *Guard) FD() int { return g.program().FD() }

func (g *Guard) program() *ebpf.Program { return g.objects.GsoGuard }

// Close gives up the descriptor.
func (g *Guard) Close() error { return g.objects.Close() }
