// Package gsoguard owns the program that keeps super-segments with small pieces away
// from receivers on Windows.
//
//	packet ─▶ table sttwall ─▶ STT? ─▶ program: 0 < gso_size < 512? ─ no ─▶ queue
//	                                                  └─ yes ─▶ counted, dropped
//
// The kernel cuts a super-segment behind the firewall, by a size that is in no message
// of the queue. The program sees it. It is an eBPF socket filter, written in C
// (guard.c) and compiled by bpf2go; the objects are committed, so that nobody needs a
// compiler. The table runs it as a match: see package nfq.
//
// A [Guard] may be used by any goroutine.
package gsoguard
