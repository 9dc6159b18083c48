package arena

import (
	"math/rand/v2"
	"sync"
	"testing"
	"unsafe"
)

// What is taken is zero, of the length asked for, begins a cache line, and is nobody
// else's; also where it is larger than a chunk, and where many take at once.
func TestWhatIsTakenIsZeroAndNobodyElses(t *testing.T) {
	a := New(1 << 16)
	defer a.Close()
	var (
		mu    sync.Mutex
		taken [][]byte
		group sync.WaitGroup
	)
	for seed := range uint64(4) {
		group.Go(func() {
			r := rand.New(rand.NewPCG(seed, 1))
			for range 200 {
				n := 1 + r.IntN(5000)
				if r.IntN(50) == 0 {
					n += 1 << 17
				}
				b := a.Take(n)
				if len(b) != n || cap(b) != n {
					t.Errorf("got %d bytes with room for %d, want %d", len(b), cap(b), n)
					return
				}
				if at := uintptr(unsafe.Pointer(&b[0])); at%align != 0 {
					t.Errorf("%d bytes begin at %#x", n, at)
				}
				mu.Lock()
				taken = append(taken, b)
				mu.Unlock()
			}
		})
	}
	group.Wait()
	for i, b := range taken {
		for j := range b {
			if b[j] != 0 {
				t.Fatalf("piece %d: byte %d is %#x", i, j, b[j])
			}
			b[j] = byte(1 + i%255)
		}
	}
	for i, b := range taken {
		for j := range b {
			if b[j] != byte(1+i%255) {
				t.Fatalf("piece %d: byte %d is another's", i, j)
			}
		}
	}
}

// After Close there is memory again, from the kernel.
func TestAnArenaIsClosedAndUsedAgain(t *testing.T) {
	a := New(1 << 12)
	for range 3 {
		for i := range 100 {
			b := a.Take(100)
			if len(b) != 100 || b[0] != 0 || b[99] != 0 {
				t.Fatalf("piece %d: %d bytes, %v", i, len(b), b)
			}
			b[0], b[99] = 1, 1
		}
		if n := a.Size(); n != 4<<12 { // 32 pieces of two cache lines each to a chunk
			t.Errorf("it has %d bytes, want %d", n, 4<<12)
		}
		if a.Close(); a.Size() != 0 {
			t.Errorf("it has %d bytes when it is closed", a.Size())
		}
	}
}

// What the kernel does not have is nil, and no end of the process.
func TestMoreThanThereIsIsNil(t *testing.T) {
	a := New(1 << 12)
	defer a.Close()
	if b := a.Take(1 << 60); b != nil {
		t.Fatalf("got %d bytes", len(b))
	}
	if b := a.Take(1); len(b) != 1 {
		t.Errorf("then there is none at all: %v", b)
	}
}
