// Package checksum adds bytes up in one's complement arithmetic, 16 bits at a
// time, as the checksums of IP, TCP, UDP and ICMP do (RFC 1071).
//
//	Sum(b) ──> 16 bits, network order ──Fold(a+b+...)──> 0xffff over what holds a right checksum
//
// The sum of a whole is that of its parts, so what was summed once need not be
// read again: [Part] says what a part at an odd offset counts for, [Without] takes
// one away.
//
// On amd64 with AVX2 the bulk is summed by assembly, elsewhere by Go: both are held
// against the plain loop of RFC 1071. Functions have no state.
package checksum
