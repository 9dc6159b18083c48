package control

import (
	"net"
	"sync"
)

const (
	// maxConns is how many connections there are at once, and maxReaders how
	// many of them may be of those who only read, so that they cannot keep out
	// those who change things.
	maxConns, maxReaders = 64, 48
	// maxExcess is how many connections beyond those are told that they are too
	// many; the others are closed.
	maxExcess = 16
)

// bounded bounds the connections of a listener, and knows who they are.
type bounded struct {
	*Listener
	changer func(Peer) bool

	mu    sync.Mutex
	count [connKinds]int
}

// connKind is what a connection counts as.
type connKind uint8

const (
	connChanger connKind = iota // of somebody who may change things
	connReader
	connExcess // too many: is told so, and nothing else
	connKinds
)

// conn is a connection that counts.
type conn struct {
	*net.UnixConn
	peer    Peer
	kind    connKind
	once    sync.Once
	release func()
}

func (c *conn) Close() error {
	c.once.Do(c.release)
	return c.UnixConn.Close()
}

func (b *bounded) Accept() (net.Conn, error) {
	for {
		c, err := b.AcceptUnix()
		if err != nil {
			return nil, err
		}
		peer, err := peerOf(c)
		if err != nil {
			c.Close() // gone, or not to be known: there is nobody to answer
			continue
		}
		kind, ok := b.take(peer)
		if !ok {
			c.Close()
			continue
		}
		return &conn{UnixConn: c, peer: peer, kind: kind, release: func() { b.give(kind) }}, nil
	}
}

func (b *bounded) take(p Peer) (kind connKind, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	kind = connChanger
	if !b.changer(p) {
		kind = connReader
	}
	if b.count[connChanger]+b.count[connReader] >= maxConns || b.count[kind] >= maxReaders && kind == connReader {
		kind = connExcess
	}
	if kind == connExcess && b.count[kind] >= maxExcess {
		return kind, false
	}
	b.count[kind]++
	return kind, true
}

func (b *bounded) give(kind connKind) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.count[kind]--
}
