package reassembly

import "testing"

func TestBufferSizesHoldEveryFrameAndWasteLittle(t *testing.T) {
	for n := 1; n <= 65536; n++ {
		size := bufferSize(n)
		if size < n || n > MinMemory && size > n+(n+1)/2 {
			t.Fatalf("%d bytes get a buffer of %d", n, size)
		}
	}
	if got := bufferSize(65536); got != 65536 {
		t.Errorf("the largest buffer has %d bytes, want 65536", got)
	}
}

func TestIdleBuffersMakeRoomForOtherSizes(t *testing.T) {
	b := buffers{limit: 8 << 10}
	small := [][]byte{b.get(1000), b.get(1000), b.get(2000), b.get(4000)}
	if b.total != 8<<10 {
		t.Fatalf("got %d bytes in all, want %d", b.total, 8<<10)
	}
	for _, buf := range small {
		b.put(buf)
	}
	large := b.get(6000)
	if len(large) != 6<<10 || b.total > b.limit {
		t.Errorf("got %d bytes, %d in all, want 6 KiB within %d", len(large), b.total, b.limit)
	}
	// The largest idle ones went; a small one is still there.
	if len(b.idle[classOf(1000)]) != 2 {
		t.Errorf("%d of the smallest are idle, want 2", len(b.idle[classOf(1000)]))
	}
	again := b.get(1000)
	if b.total != 8<<10 || &again[0] != &small[1][0] && &again[0] != &small[0][0] {
		t.Errorf("got a new buffer, %d bytes in all; want an idle one", b.total)
	}
}
