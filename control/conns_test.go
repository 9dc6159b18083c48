package control

import (
	"context"
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

func TestAConnectionThatIsOneTooManyIsTold(t *testing.T) {
	s := serve(t, Config{})
	for range maxConns {
		if code, _ := raw(t, s.connect(t), get("/v1/status")); code != 200 {
			t.Fatalf("got %d", code)
		}
	}
	_, err := s.dial(t).Status(context.Background())
	if err == nil || !strings.Contains(err.Error(), "too many connections") {
		t.Errorf("got %v", err)
	}
}
