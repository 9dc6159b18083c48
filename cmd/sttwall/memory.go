package main

import (
	"runtime"
)

const (
	// programMemory is the program's own code and data that are ever touched, and the
	// stacks and structures of Go's runtime.
	programMemory = 48 << 20
	// readersMemory is what those who ask over the control socket can have wait for
	// them: docs/control.md, "Bounds".
	readersMemory = 8*4<<20 + 32<<20 + 16*2048*1024 + 2*8<<20
	// targetMemory is what waits for each target of the event log: docs/events.md.
	targetMemory = 16 << 20
	// captureMemory is what waits to be written to --drop-capture.
	captureMemory = 4 << 20
)

// memoryBound is what the process takes at most, in bytes: what it has at the start, with
// the rules; the same again for rules that are loaded anew; what packets fill; what waits
// for those who read. Beside all that is on Go's heap as much garbage can be before it is
// collected.
func memoryBound(c runConfig) (int64, error) {
	bounds, err := c.inline.MemoryBounds(c.inline.Policy.Settings())
	if err != nil {
		return 0, err
	}
	var start runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&start)
	heap := int64(2*start.HeapAlloc) + readersMemory
	if c.events != nil {
		heap += int64(len(c.events.Targets)) * targetMemory
	}
	if c.drops.file != "" {
		heap += captureMemory
	}
	sum := int64(programMemory)
	for _, b := range bounds {
		if b.Heap {
			heap += b.Bytes
		} else {
			sum += b.Bytes
		}
	}
	return sum + 2*heap, nil
}

// tellMemory logs the bounds.
func tellMemory(c runConfig) {
	bound, err := memoryBound(c)
	if err != nil {
		return // said at the start already
	}
	messages, packets := c.inline.KernelMemory()
	c.log.Info("memory is bounded", "process_mib", mebibytes(bound), "receive_buffers_mib", mebibytes(messages), "waiting_packets_mib", mebibytes(packets),
		"see", "docs/overload.md")
}

func mebibytes(n int64) int64 { return (n + 1<<20 - 1) >> 20 }
