package control

import (
	"context"
	"fmt"
	"net"
	"net/http"

	"golang.org/x/sys/unix"
)

// Peer is the process at the other end of a connection, as the kernel knows it
// (SO_PEERCRED, unix(7)): as it was when it connected.
type Peer struct{ UID, GID, PID int }

func (p Peer) String() string { return fmt.Sprintf("user %d, process %d", p.UID, p.PID) }

func peerOf(c *net.UnixConn) (Peer, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return Peer{}, err
	}
	var (
		cred   *unix.Ucred
		failed error
	)
	if err := raw.Control(func(fd uintptr) {
		cred, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return Peer{}, err
	}
	if failed != nil {
		return Peer{}, fmt.Errorf("peer credentials: %w", failed)
	}
	return Peer{UID: int(cred.Uid), GID: int(cred.Gid), PID: int(cred.Pid)}, nil
}

type connKey struct{}

// withConn remembers a connection for its requests; it is the server's
// ConnContext.
func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// peerIn returns who asks.
func peerIn(r *http.Request) (p Peer, known bool) {
	c, known := r.Context().Value(connKey{}).(*conn)
	if !known {
		return p, false
	}
	return c.peer, true
}
