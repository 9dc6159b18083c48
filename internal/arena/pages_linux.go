package arena

import "golang.org/x/sys/unix"

// hugePage is what one entry of the processor's second table of pages reaches where the
// kernel can give it in one piece.
const hugePage = 2 << 20

// pages returns memory of the kernel's, zero; nil if there is none. A chunk that is long
// enough is of large pages where the kernel has some: of small ones, each record in
// memory costs a walk through the tables besides.
func pages(n int) []byte {
	b, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil
	}
	if n >= hugePage {
		_ = unix.Madvise(b, unix.MADV_HUGEPAGE) // a kernel without them has small ones
	}
	return b
}

func release(b []byte) { _ = unix.Munmap(b) } // it is what pages has returned
