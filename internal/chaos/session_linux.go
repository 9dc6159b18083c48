package chaos

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"time"

	"sttwall/internal/lab"
)

// session is a connection over TCP that stays, with little on it.
type session struct {
	conn   net.Conn
	number uint64
}

func (t *traffic) openSession() (*session, error) {
	c, err := t.dial(lab.AcmeA, "tcp4", portWeb, stalledMost)
	if err != nil {
		return nil, err
	}
	return &session{conn: c}, nil
}

func (s *session) close() { s.conn.Close() }

// exchange sends something and wants it back within a time.
func (s *session) exchange(within time.Duration) error {
	s.number++
	s.conn.SetDeadline(time.Now().Add(within))
	message, answer := fill(s.number), make([]byte, probeLength)
	if _, err := s.conn.Write(message); err != nil {
		return err
	}
	if _, err := io.ReadFull(s.conn, answer); err != nil {
		return err
	}
	if !bytes.Equal(message, answer) {
		return fmt.Errorf("%w", errCorrupt)
	}
	return nil
}

// echoTCP is the other side of a session.
func echoTCP(c net.Conn) { io.Copy(c, c) }
