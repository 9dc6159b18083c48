#include "textflag.h"

// func prefetch(line unsafe.Pointer)
TEXT ·prefetch(SB), NOSPLIT, $0-8
	MOVQ line+0(FP), AX
	PREFETCHT0 (AX)
	RET

// func prefetchEntry(entry unsafe.Pointer)
TEXT ·prefetchEntry(SB), NOSPLIT, $0-8
	MOVQ entry+0(FP), AX
	PREFETCHT0 (AX)
	PREFETCHT0 64(AX)
	PREFETCHT0 128(AX)
	RET
