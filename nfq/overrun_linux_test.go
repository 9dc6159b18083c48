package nfq

import (
	"os"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"sttwall/firewall"
	"sttwall/internal/nstest"
)

// A socket that has overrun takes nothing more until somebody has found it empty. One
// that overruns while its last packet is on its way out is empty already: whoever waits
// in it then waits for ever.
func TestAnOverrunOfAnEmptySocketIsSurvived(t *testing.T) {
	if os.Geteuid() != 0 || nstest.InUserNamespace() {
		t.Skip("stopping a reader within the kernel needs userfaultfd, which is closed to ordinary users")
	}
	w := newWire(t)
	q, err := openFast(Config{Number: 17, ReceiveBuffer: 1152, CopyRange: wholePacket, Length: minLength})
	must(t, err)
	defer q.Close()
	_, err = InstallTable(TableConfig{Ports: []uint16{testPort}, FirstQueue: 17, Queues: 1})
	must(t, err)
	batch := make([]firewall.Packet, 1)
	if n, err := q.Receive(batch, 0); n != 0 || err != nil { // the answer to the request to begin
		t.Fatalf("got %d packets, %v, want none yet", n, err)
	}
	var fd int
	must(t, control(q.sock.raw, func(own int) (err error) {
		fd, err = unix.Dup(own)
		return err
	}))
	defer unix.Close(fd)

	// Another reader takes the first packet, and stops on its way out.
	large := make([]byte, 1400)
	stopped := newStoppingPage(t)
	taken := make(chan error, 1)
	go func() {
		_, _, err := unix.Recvfrom(fd, stopped.memory, 0)
		taken <- err
	}()
	w.send(t, outer{id: 1, payload: large}.bytes())
	stopped.wait(t)
	w.send(t, outer{id: 2, payload: large}.bytes())
	overrun := []unix.PollFd{{Fd: int32(fd)}}
	if n, err := unix.Poll(overrun, int(patience.Milliseconds())); n != 1 || err != nil {
		t.Fatalf("waiting for the overrun: %d, %v", n, err)
	}
	must(t, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 1<<20))

	received := make(chan error, 1)
	go func() {
		_, err := q.Receive(batch, -1)
		received <- err
	}()
	end := time.Now().Add(patience)
	for came := false; !came; runtime.Gosched() {
		if time.Now().After(end) {
			t.Error("nothing comes any more")
			break
		}
		w.send(t, outer{id: 3}.bytes())
		select {
		case err := <-received:
			must(t, err)
			came = true
			if got := frameID(batch[0]); got != 3 {
				t.Errorf("got frame ID %d, want 3", got)
			}
		default:
		}
	}
	if got := q.Stats().Overruns; got != 1 {
		t.Errorf("got %d overruns counted, want 1", got)
	}
	stopped.goOn()
	must(t, <-taken)
}

// stoppingPage is memory that stops who touches it first, the kernel too
// (userfaultfd(2)).
type stoppingPage struct {
	memory []byte
	fault  int
}

func newStoppingPage(t *testing.T) *stoppingPage {
	t.Helper()
	fault, _, errno := unix.Syscall(unix.SYS_USERFAULTFD, unix.O_CLOEXEC, 0, 0)
	if errno != 0 {
		nstest.Cannot(t, "no userfaultfd here: %v", errno)
	}
	p := &stoppingPage{fault: int(fault)}
	t.Cleanup(p.goOn)
	var err error
	p.memory, err = unix.Mmap(-1, 0, 1<<16, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	must(t, err)
	t.Cleanup(func() { must(t, unix.Munmap(p.memory)) })
	// linux/userfaultfd.h: UFFDIO_API, UFFDIO_REGISTER with UFFDIO_REGISTER_MODE_MISSING.
	api := [3]uint64{0xaa}
	_, _, errno = unix.Syscall(unix.SYS_IOCTL, fault, 0xc018aa3f, uintptr(unsafe.Pointer(&api)))
	if errno != 0 {
		t.Fatalf("userfaultfd: %v", errno)
	}
	register := [4]uint64{uint64(uintptr(unsafe.Pointer(&p.memory[0]))), uint64(len(p.memory)), 1}
	_, _, errno = unix.Syscall(unix.SYS_IOCTL, fault, 0xc020aa00, uintptr(unsafe.Pointer(&register)))
	if errno != 0 {
		t.Fatalf("register memory with userfaultfd: %v", errno)
	}
	return p
}

// wait waits until somebody is stopped.
func (p *stoppingPage) wait(t *testing.T) {
	t.Helper()
	var event [32]byte
	_, err := unix.Read(p.fault, event[:])
	must(t, err)
}

// goOn lets them go.
func (p *stoppingPage) goOn() {
	if p.fault >= 0 {
		unix.Close(p.fault)
	}
	p.fault = -1
}
