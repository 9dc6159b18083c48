package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// socketMode lets the owner and the group connect.
const socketMode = 0o660

// maxPath is the longest path of a unix socket in bytes, without its NUL
// (sockaddr_un, unix(7)).
const maxPath = 107

// Listener is a control socket that is there, and not served yet.
type Listener struct {
	path string
	lock *os.File

	now    atomic.Pointer[net.UnixListener]
	mu     sync.Mutex // of changing it
	closed bool
}

// Listen makes the socket, and its folder if that is not there. A socket that a
// dead process has left is replaced; one that somebody serves is not. Close
// takes the socket away.
func Listen(path string) (l *Listener, err error) {
	if len(path) > maxPath {
		return nil, fmt.Errorf("socket %s: %d characters, and the kernel takes at most %d", path, len(path), maxPath)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	// Two that start at once must not take each other's socket for a dead one's.
	lock, err := lockFile(path + ".lock")
	if err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, inUse(path)
		}
		return nil, fmt.Errorf("socket: %w", err)
	}
	defer func() {
		if err != nil {
			unlock(lock)
		}
	}()
	if err := removeDead(path); err != nil {
		return nil, err
	}
	listener, err := bind(path)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	if err := os.Chmod(path, socketMode); err != nil { // what a umask took from the group
		listener.Close()
		return nil, fmt.Errorf("socket: %w", err)
	}
	l = &Listener{path: path, lock: lock}
	l.now.Store(listener)
	return l, nil
}

// bind makes a socket to which at no time others than its owner and group can
// connect: the mode that it has before bind is that of the file, but for the umask
// (af_unix.c, unix_bind_bsd).
func bind(path string) (*net.UnixListener, error) {
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var failed error
		if err := c.Control(func(fd uintptr) { failed = unix.Fchmod(int(fd), socketMode) }); err != nil {
			return err
		}
		return failed
	}}
	l, err := config.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, err
	}
	return l.(*net.UnixListener), nil
}

// Path returns where the socket is.
func (l *Listener) Path() string { return l.path }

// Addr is the socket's.
func (l *Listener) Addr() net.Addr { return l.now.Load().Addr() }

// Accept implements [net.Listener].
func (l *Listener) Accept() (net.Conn, error) { return l.AcceptUnix() }

// AcceptUnix waits for the next connection.
func (l *Listener) AcceptUnix() (*net.UnixConn, error) {
	for {
		listener := l.now.Load()
		c, err := listener.AcceptUnix()
		if err == nil || listener == l.now.Load() {
			return c, err
		}
	}
}

// Restore makes the socket anew where somebody has deleted it, and reports whether it
// did. Who is connected stays so.
func (l *Listener) Restore() (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := os.Lstat(l.path); l.closed || !errors.Is(err, fs.ErrNotExist) {
		return false, nil // there, or not to be known
	}
	next, err := bind(l.path)
	if err != nil {
		return false, fmt.Errorf("socket: %w", err)
	}
	if err := os.Chmod(l.path, socketMode); err != nil {
		next.Close()
		return false, fmt.Errorf("socket: %w", err)
	}
	last := l.now.Swap(next)
	last.SetUnlinkOnClose(false) // what has its name is the next one
	last.Close()
	return true, nil
}

// Close takes the socket away. Connections that were accepted go on.
func (l *Listener) Close() error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	err := l.now.Load().Close()
	if !errors.Is(err, net.ErrClosed) {
		unlock(l.lock)
	}
	return err
}

func inUse(path string) error {
	return fmt.Errorf("another sttwall listens on %s", path)
}

// removeDead takes away a socket on which nobody listens.
func removeDead(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("socket %s: there is something else with that name", path)
	}
	c, err := net.Dial("unix", path)
	if err == nil {
		c.Close()
		return inUse(path)
	}
	if !errors.Is(err, unix.ECONNREFUSED) {
		return fmt.Errorf("socket: is another sttwall there? %w", err)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	return nil
}

// lockFile makes a file and locks it for as long as it is open. The error is
// EWOULDBLOCK if somebody else has.
func lockFile(path string) (*os.File, error) {
	for {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o600)
		if err != nil {
			return nil, err
		}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			f.Close()
			return nil, &os.PathError{Op: "lock", Path: path, Err: err}
		}
		// Whoever had it may have removed it just before.
		mine, err := f.Stat()
		if err == nil {
			if there, err := os.Stat(path); err == nil && os.SameFile(mine, there) {
				return f, nil
			}
		}
		f.Close()
	}
}

func unlock(f *os.File) {
	os.Remove(f.Name()) // while it is locked: nobody else's
	f.Close()
}
