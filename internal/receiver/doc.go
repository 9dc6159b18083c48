// Package receiver has models of the two receivers that sttwall protects: what
// would they deliver to tenants from a sequence of outer packets?
//
//	outer packet -> look (IP, port, defragmentation, checksum) -> put together
//	             -> frame header -> Delivered (tag, offload, writes, pieces)
//
// [Linux] is Open vSwitch's kernel module (datapath/linux/compat/stt.c), [Windows]
// its Windows extension (datapath-windows/ovsext/Stt.c), both of branch-2.17. The
// models keep the faults of the originals: that is what they are for. Where an
// original would read or write memory that is not the frame's, the model says so
// ([Delivered.Undefined], [Faults]) instead of doing it.
//
// It is an oracle for tests. Nothing here shares code with what it judges (packages
// stt, reassembly, inspect, firewall and endpoint), and nothing in the firewall
// imports it. It is slow and plain on purpose, and allocates as it likes.
//
// What is not here: what a tenant's stack makes of a frame, and policy.
//
// A receiver is for one goroutine at a time.
package receiver
