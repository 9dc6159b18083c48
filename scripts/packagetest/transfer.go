package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"sttwall/internal/lab"
)

// transfer is a TCP connection from one of acme's hosts to the other, through the firewall,
// that sends until it is told to end.
type transfer struct {
	c    net.Conn
	end  atomic.Bool
	done chan error
}

// receive answers each connection on a port of acme's host on side B with the sum of what
// it has sent.
func receive(l *lab.Lab, port uint16) error {
	var listener net.Listener
	if err := l.Do(lab.AcmeB, func() (err error) {
		listener, err = net.Listen("tcp", fmt.Sprintf(":%d", port))
		return err
	}); err != nil {
		return err
	}
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				sum := sha256.New()
				if _, err := io.Copy(sum, c); err == nil {
					c.Write(sum.Sum(nil))
				}
			}()
		}
	}()
	return nil
}

func begin(l *lab.Lab, port uint16) (*transfer, error) {
	t := &transfer{done: make(chan error, 1)}
	err := l.Do(lab.AcmeA, func() (err error) {
		d := net.Dialer{Timeout: patience}
		t.c, err = d.Dial("tcp", netip.AddrPortFrom(lab.InnerB, port).String())
		return err
	})
	if err != nil {
		return nil, err
	}
	t.c.SetDeadline(time.Now().Add(3 * patience))
	go func() { t.done <- t.run() }()
	return t, nil
}

func (t *transfer) run() error {
	defer t.c.Close()
	source, sum, some := rand.NewChaCha8([32]byte{}), sha256.New(), make([]byte, 1<<14)
	for !t.end.Load() {
		source.Read(some)
		sum.Write(some)
		if _, err := t.c.Write(some); err != nil {
			return err
		}
	}
	if err := t.c.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	there, err := io.ReadAll(t.c)
	if err == nil && !bytes.Equal(there, sum.Sum(nil)) {
		err = errors.New("other bytes came than were sent")
	}
	return err
}

// acknowledged is how many bytes have arrived: what is written may lie in the socket for
// as long as nothing passes.
func (t *transfer) acknowledged() (int64, error) {
	raw, err := t.c.(*net.TCPConn).SyscallConn()
	if err != nil {
		return 0, err
	}
	var info *unix.TCPInfo
	var asked error
	if err := raw.Control(func(fd uintptr) {
		info, asked = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	}); err != nil {
		return 0, nil // closed: it has ended, and says why
	}
	if asked != nil {
		return 0, asked
	}
	return int64(info.Bytes_acked), nil
}

// moves waits until more has arrived.
func (t *transfer) moves(bytes int64) error {
	from, err := t.acknowledged()
	if err != nil {
		return err
	}
	for until := time.Now().Add(patience); ; {
		now, err := t.acknowledged()
		if err != nil || now >= from+bytes {
			return err
		}
		select {
		case err := <-t.done:
			return fmt.Errorf("the connection has ended: %v", err)
		case <-time.After(time.Millisecond):
		}
		if time.Now().After(until) {
			return fmt.Errorf("the connection stands still after %d bytes", now)
		}
	}
}

// finish ends it, and returns an error unless all of it has come.
func (t *transfer) finish() error {
	t.end.Store(true)
	return <-t.done
}
