// Package binding owns what is known of where inner addresses, MACs and OVN
// ports live: behind which outer endpoint a frame may claim to come from them.
//
//	frame ──Claims.Read──▶ []Claim ──Table.Check──▶ Unbound  (nobody has it yet)
//	                                   │        ├──▶ Here
//	                                   │        ├──▶ Moves    (it may come from here now)
//	                                   │        └──▶ Elsewhere (an impostor)
//	        accepted ──Table.Commit────┘ learns, refreshes, moves
//
// A [Table] holds bindings that were learned: at the first accepted frame that
// claims a value, the value is bound to the endpoint that sent it. A binding moves
// to another endpoint if that one announces itself, or if the first has been
// silent. Checking and committing are two steps, so that a frame that is dropped
// in the end teaches nothing. Bindings that an operator declared are part of the
// policy (package policy) and never in the table.
//
// The idea is that of source address validation, RFC 6620 (FCFS SAVI) and RFC
// 7039, with the tunnel endpoint in the place of the switch port.
//
// A table is shared by all workers: values are spread over shards by a seeded
// hash, each behind its own lock, in slabs without pointers. It is bounded in all
// and for each endpoint; what it has no room for is not bound, and not dropped.
//
// What is not here: verdicts; which values are learned at all; time, which is an
// argument.
package binding
