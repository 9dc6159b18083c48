package control

import (
	"context"
	"net"
	"strings"
	"testing"
)

func TestConnectionsAreBoundedAndReadersLeaveRoom(t *testing.T) {
	b := bounded{changer: func(p Peer) bool { return p.UID == 0 }}
	reader, root := Peer{UID: 1000}, Peer{}
	count := func(p Peer) (n int) {
		for {
			kind, ok := b.take(p)
			if kind == connExcess {
				if ok {
					b.give(kind)
				}
				return n
			}
			n++
		}
	}
	if n := count(reader); n != maxReaders {
		t.Errorf("%d readers, want %d", n, maxReaders)
	}
	if n := count(root); n != maxConns-maxReaders {
		t.Errorf("%d of root's beside them, want %d", n, maxConns-maxReaders)
	}
	for i := range maxExcess + 1 {
		if _, ok := b.take(root); ok != (i < maxExcess) {
			t.Errorf("excess connection %d: %v", i, ok)
		}
	}
	b.give(connReader)
	if kind, _ := b.take(reader); kind != connReader {
		t.Errorf("after one has ended the next is %v", kind)
	}
}

func TestAConnectionThatIsOneTooManyIsToldUntilOneEnds(t *testing.T) {
	s := serve(t, Config{})
	var first net.Conn
	for i := range maxConns {
		c := s.connect(t)
		if code, _ := raw(t, c, get("/v1/status")); code != 200 {
			t.Fatalf("got %d", code)
		}
		if i == 0 {
			first = c
		}
	}
	ask := func() error {
		c := s.dial(t)
		defer c.Close()
		_, err := c.Status(context.Background())
		return err
	}
	if err := ask(); err == nil || !strings.Contains(err.Error(), "too many connections") {
		t.Errorf("got %v", err)
	}
	first.Close()
	for err := ask(); err != nil; err = ask() { // when the server has noticed
		if !strings.Contains(err.Error(), "too many connections") {
			t.Fatal(err)
		}
	}
}
