#include "textflag.h"

// func sumBulk(p *byte, n int) uint64
//
// Each of the four 64-bit lanes of a register holds a high and a low word. ALL
// adds lanes as they are, modulo 1<<64; HIGH the high words alone, which it takes
// for itself. So the sum of the low words is ALL - HIGH<<32: two additions and a
// shift for 32 bytes. Two of each, so that additions need not wait.
#define ALL0 Y4
#define ALL1 Y5
#define HIGH0 Y6
#define HIGH1 Y7

#define TAKE(at, v, all, high) \
	VMOVDQU at(SI), v \
	VPADDQ v, all, all \
	VPSRLQ $32, v, v \
	VPADDQ v, high, high

TEXT ·sumBulk(SB), NOSPLIT, $0-24
	MOVQ p+0(FP), SI
	MOVQ n+8(FP), CX
	VPXOR ALL0, ALL0, ALL0
	VPXOR ALL1, ALL1, ALL1
	VPXOR HIGH0, HIGH0, HIGH0
	VPXOR HIGH1, HIGH1, HIGH1
	SUBQ $128, CX
	JB few

many:
	TAKE(0, Y0, ALL0, HIGH0)
	TAKE(32, Y1, ALL1, HIGH1)
	TAKE(64, Y2, ALL0, HIGH0)
	TAKE(96, Y3, ALL1, HIGH1)
	ADDQ $128, SI
	SUBQ $128, CX
	JAE many

few:
	ADDQ $128, CX
	JZ done

one:
	TAKE(0, Y0, ALL0, HIGH0)
	ADDQ $32, SI
	SUBQ $32, CX
	JNZ one

done:
	VPADDQ ALL1, ALL0, ALL0
	VPADDQ HIGH1, HIGH0, HIGH0
	VPSLLQ $32, HIGH0, Y0
	VPSUBQ Y0, ALL0, ALL0
	VPADDQ HIGH0, ALL0, ALL0
	VEXTRACTI128 $1, ALL0, X0
	VPADDQ X0, X4, X4
	VPSRLDQ $8, X4, X0
	VPADDQ X0, X4, X4
	VMOVQ X4, AX
	VZEROUPPER
	MOVQ AX, ret+16(FP)
	RET
