package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// handOverBegin is what a taker is answered before the state, which ends with the
// connection.
const handOverBegin = "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nConnection: close\r\n\r\n"

// Taker is another instance, of root or of the user that runs the firewall, that waits
// for its state.
type Taker struct {
	Peer
	conn  net.Conn
	begun bool
}

// Write writes a part of the state.
func (t *Taker) Write(b []byte) (int, error) {
	if !t.begun {
		t.begun = true
		if _, err := io.WriteString(t.conn, handOverBegin); err != nil {
			return 0, err
		}
	}
	return t.conn.Write(b)
}

// Close ends the connection. Without any Write before, nothing is handed over.
func (t *Taker) Close() error { return t.conn.Close() }

// takerTimeout is how long in all a taker may take for the state.
const takerTimeout = 30 * time.Second

// handOver gives the connection to who ends the firewall.
func (s *Server) handOver(w http.ResponseWriter, r *http.Request) error {
	if err := onlyQuery(r); err != nil {
		return err
	}
	peer, _ := peerIn(r) // known, or it would not have come this far
	switch {
	case s.config.HandOver == nil:
		return refuse(http.StatusNotFound, "this firewall hands nothing over")
	case !s.handing.CompareAndSwap(false, true):
		return refuse(http.StatusConflict, "the firewall is being handed over already")
	}
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		s.handing.Store(false)
		return err
	}
	// The one for requests does not hold any more.
	if err := conn.SetDeadline(time.Now().Add(takerTimeout)); err != nil {
		s.config.Log.Warn("the connection of who takes over", "why", err)
	}
	s.config.HandOver(&Taker{Peer: peer, conn: conn})
	return nil
}

// ErrNobody says that no firewall listens on a socket.
var ErrNobody = errors.New("no sttwall listens there")

// TakeOver has the firewall at a socket end and returns its state, which comes when
// nothing of it is in use any more; [ErrNobody] where there is none. After an error that is an [*Error] the firewall goes
// on; after others it may have ended. The caller closes the state.
//
// The firewall has to be root's or the caller's: who writes a state decides which flows
// are known.
func TakeOver(ctx context.Context, path string) (io.ReadCloser, error) {
	c, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ECONNREFUSED) {
		return nil, ErrNobody
	}
	if err != nil {
		return nil, (&Client{path: path}).because(err)
	}
	state, err := takeOver(ctx, c.(*net.UnixConn), path)
	if err != nil {
		c.Close() // what led here is the error that counts
	}
	return state, err
}

func takeOver(ctx context.Context, c *net.UnixConn, path string) (io.ReadCloser, error) {
	peer, err := peerOf(c)
	if err != nil {
		return nil, err
	}
	if peer.UID != 0 && peer.UID != os.Geteuid() {
		return nil, &Error{Code: http.StatusForbidden, Message: fmt.Sprintf("the firewall at %s runs as %s, and this is user %d: start as the same user", path, peer, os.Geteuid())}
	}
	defer context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://sttwall/v1/handover", nil)
	if err != nil {
		return nil, err
	}
	if err := request.Write(c); err != nil {
		return nil, err
	}
	response, err := http.ReadResponse(bufio.NewReaderSize(c, 256<<10), request)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, fmt.Errorf("the firewall at %s has ended without its state", path)
	case err != nil:
		return nil, err
	case response.StatusCode != http.StatusOK:
		refused := &Error{Code: response.StatusCode}
		text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
		if err != nil || json.Unmarshal(text, refused) != nil || refused.Message == "" {
			return nil, fmt.Errorf("POST /v1/handover: %s, from something that is no sttwall", response.Status)
		}
		return nil, refused
	}
	return struct {
		io.Reader
		io.Closer
	}{response.Body, c}, nil
}
