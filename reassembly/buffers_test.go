package reassembly

import (
	"testing"

	"sttwall/reason"
	"sttwall/stt"
)

func TestBufferSizesHoldEveryFrameAndWasteLittle(t *testing.T) {
	for n := 1; n <= 65536; n++ {
		size := BufferSize(n)
		if size < n || n > MinMemory && size > n+(n+1)/2 {
			t.Fatalf("%d bytes get a buffer of %d", n, size)
		}
	}
}

func TestTheLargestBufferIsThatOfTheLongestFrame(t *testing.T) {
	if got := BufferSize(stt.MaxFrameLen); got != LargestBuffer {
		t.Errorf("the longest frame gets a buffer of %d bytes, want %d", got, LargestBuffer)
	}
	if got := classSize(bufferClasses - 1); got != LargestBuffer {
		t.Errorf("the last class has buffers of %d bytes, want %d", got, LargestBuffer)
	}
	for _, tt := range []struct {
		share int
		want  reason.Reason
	}{{LargestBuffer, reason.None}, {LargestBuffer - 1, reason.SourceShareFull}} {
		g := newRig(t, Config{SourceMemory: tt.share})
		g.add(0, pieceOf(1, stt.MaxFrameLen, 0, 1000))
		out := g.add(0, pieceOf(2, stt.MaxFrameLen, 1000, stt.MaxFrameLen))
		if len(out) != 1 || out[0].Reason != tt.want {
			t.Errorf("a share of %d bytes: got %v, want %v", tt.share, out, tt.want)
		}
	}
}

func TestIdleBuffersMakeRoomForOtherSizes(t *testing.T) {
	b := Buffers{limit: 8 << 10}
	small := [][]byte{b.Get(1000), b.Get(1000), b.Get(2000), b.Get(4000)}
	if b.total != 8<<10 {
		t.Fatalf("got %d bytes in all, want %d", b.total, 8<<10)
	}
	for _, buf := range small {
		b.Put(buf)
	}
	large := b.Get(6000)
	if len(large) != 6<<10 || b.total > b.limit {
		t.Errorf("got %d bytes, %d in all, want 6 KiB within %d", len(large), b.total, b.limit)
	}
	// The largest idle ones went; a small one is still there.
	if len(b.idle[classOf(1000)]) != 2 {
		t.Errorf("%d of the smallest are idle, want 2", len(b.idle[classOf(1000)]))
	}
	again := b.Get(1000)
	if b.total != 8<<10 || &again[0] != &small[1][0] && &again[0] != &small[0][0] {
		t.Errorf("got a new buffer, %d bytes in all; want an idle one", b.total)
	}
}
