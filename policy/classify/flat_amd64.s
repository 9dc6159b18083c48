#include "textflag.h"

// A column of a block is one cache line: two registers. Behind each column of
// lowest values is that of spans.
#define DST Y0
#define SRC Y1
#define CARRIED Y2

// IN makes all ones of each value that is in its range: not more than span above lo,
// modulo 1<<32.
#define IN(at, value, in, t) \
	VPSUBD at(SI), value, in \
	VPMINUD at+64(SI), in, t \
	VPCMPEQD t, in, in

// EIGHT puts a bit for each of eight rows into out.
#define EIGHT(at, a, b, c, t, u, v, out) \
	IN(at, DST, a, t) \
	IN(at+128, SRC, b, u) \
	IN(at+256, CARRIED, c, v) \
	VPAND b, a, a \
	VPAND c, a, a \
	VMOVMSKPS a, out

// func scanBlocks(first *block, n int, dst, src, carried uint32) uint64
TEXT ·scanBlocks(SB), NOSPLIT, $0-40
	MOVQ first+0(FP), SI
	MOVQ n+8(FP), DX
	VBROADCASTSS dst+16(FP), DST
	VBROADCASTSS src+20(FP), SRC
	VBROADCASTSS carried+24(FP), CARRIED
	XORL CX, CX
	XORL AX, AX

next:
	EIGHT(0, Y3, Y4, Y5, Y6, Y7, Y8, R8)
	EIGHT(32, Y9, Y10, Y11, Y12, Y13, Y14, R9)
	SHLL $8, R9
	ORL R9, R8
	SHLQ CX, R8
	ORQ R8, AX
	ADDQ $448, SI
	ADDL $16, CX
	DECQ DX
	JNZ next

	VZEROUPPER
	MOVQ AX, ret+32(FP)
	RET
