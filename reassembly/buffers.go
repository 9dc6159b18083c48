package reassembly

// Buffers have one of few sizes, so that one that is given back fits the
// next frame: 1, 1.5, 2, 3, 4, 6, ... 48, 64 KiB.
const (
	// MinMemory is the size of the smallest buffer in bytes.
	MinMemory = 1 << 10
	// LargestBuffer is the size in bytes of the buffer for the longest frame
	// there is ([stt.MaxFrameLen]). A source whose SourceMemory is below it
	// cannot send frames of every length in several packets.
	LargestBuffer = 64 << 10

	bufferClasses = 13
)

// classSize returns the size of the buffers of a class in bytes.
func classSize(class int) int {
	size := MinMemory << (class / 2)
	if class%2 == 1 {
		size += size / 2
	}
	return size
}

// classOf returns the smallest class that holds n bytes, for n up to 64 KiB.
func classOf(n int) int {
	class := 0
	for classSize(class) < n {
		class++
	}
	return class
}

// BufferSize returns the size of the buffer for a frame of n bytes, 1 to
// [LargestBuffer].
func BufferSize(n int) int { return classSize(classOf(n)) }

// Buffers is a pool with a bound on what it ever gave out and has not let go.
// The caller sees to it that what is in use, the next buffer included, stays
// within the bound; idle buffers are let go to keep it. For one goroutine at a
// time.
type Buffers struct {
	limit int // bytes
	total int // bytes, in use and idle
	idle  [bufferClasses][][]byte
}

// NewBuffers returns an empty pool with a bound in bytes.
func NewBuffers(limit int) Buffers { return Buffers{limit: limit} }

// Get returns a buffer of [BufferSize](n) bytes. What is in it is of older frames.
func (b *Buffers) Get(n int) []byte {
	class := classOf(n)
	if idle := b.idle[class]; len(idle) > 0 {
		return b.take(class)
	}
	size := classSize(class)
	for c := bufferClasses - 1; c >= 0 && b.total+size > b.limit; {
		if len(b.idle[c]) == 0 {
			c--
			continue
		}
		b.take(c)
		b.total -= classSize(c)
	}
	b.total += size
	return make([]byte, size)
}

// take removes the idle buffer of a class that was used last.
func (b *Buffers) take(class int) []byte {
	idle := b.idle[class]
	last := len(idle) - 1
	buf := idle[last]
	idle[last] = nil
	b.idle[class] = idle[:last]
	return buf
}

// Put gives a buffer back. It keeps its content until the next Get.
func (b *Buffers) Put(buf []byte) {
	class := classOf(cap(buf))
	b.idle[class] = append(b.idle[class], buf[:cap(buf)])
}
