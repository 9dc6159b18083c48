// Package arena owns memory for records that hold no pointers and stay for long: pages
// of the kernel's, which the garbage collector neither follows nor counts.
//
//	Take ──▶ rest of the chunk ──▶ bytes, zero
//	             └─ too small ──▶ the next chunk, from the kernel
//
// A heap of which most is such records would be collected when it has doubled, and half
// of the memory would wait for garbage. Nor does who needs a record help to collect, as
// who allocates does.
//
// What is not here: giving bytes back one by one. Close gives back all.
//
// An arena may be used by any goroutine.
package arena

import "sync"

// Arena hands out memory. Pointers into it do not keep it: whoever has them keeps the
// arena from being closed, and puts no pointer to Go's memory in it.
type Arena struct {
	size int // of a chunk

	mu     sync.Mutex
	rest   []byte // of the last chunk
	chunks [][]byte
}

// align is what the sizes of pieces are rounded up to, in bytes: a cache line.
const align = 64

// New makes an arena that asks the kernel for so many bytes at a time.
func New(chunk int) *Arena { return &Arena{size: max(chunk, align)} }

// Take returns n bytes that are zero and begin a cache line; nil if the kernel gives
// none. They are the caller's until Close.
func (a *Arena) Take(n int) []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.rest) < n {
		chunk := pages(max(n, a.size))
		if chunk == nil {
			return nil
		}
		a.chunks = append(a.chunks, chunk)
		a.rest = chunk
	}
	piece := a.rest[:n:n]
	a.rest = a.rest[min(len(a.rest), (n+align-1)&^(align-1)):]
	return piece
}

// Size returns how many bytes it has from the kernel, handed out or not.
func (a *Arena) Size() (bytes int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, chunk := range a.chunks {
		bytes += len(chunk)
	}
	return bytes
}

// Close gives all memory back: nobody may have any of it any more.
func (a *Arena) Close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, chunk := range a.chunks {
		release(chunk)
	}
	a.rest, a.chunks = nil, nil
}
