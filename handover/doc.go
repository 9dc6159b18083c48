// Package handover owns the form in which one instance of the firewall leaves its state
// to the next, and the file that it lies in between the two.
//
//	the old one                                         the new one
//	Shared.HandOver ─▶ Writer ─▶ file or socket ─▶ Reader ─▶ Shared.TakeOver
//	                   blocks, each with its sum
//
// A state is read in one go into tables that nobody uses yet. Whatever is wrong with it
// is an error ([ErrBroken]), and then the tables are thrown away: no part of it counts.
//
// A state names flows of tenants, and has the key of a hash that nobody outside may
// know. Whoever can write one decides which flows the firewall knows. So a file is made
// for its owner alone, read only if nobody else can have written it, and taken away
// before it is read: it counts once, for [MaxAge], on the host and since the boot that it
// was written in.
//
// What is not here: what is in blocks, which belongs to who owns it (conntrack, binding,
// firewall); the control socket.
//
// A Writer and a Reader are for one goroutine each.
package handover
