// Package conntrack owns the state of inner flows: which packets belong to one
// that was accepted before, and which cannot belong to any.
//
//	packet ──KeyOf──▶ Key ──Track──▶ New       (rules decide; Create remembers)
//	                            ├──▶ Original, Reply, Related  (passes)
//	                            ├──▶ Stale     (judge its Origin again, Confirm or End)
//	                            ├──▶ OtherContext  (judge its Origin with that ID, Track again)
//	                            └──▶ Invalid   (with a reason)
//
// A [Table] is shared by all workers: flows are spread over shards by a seeded
// hash, each behind its own lock, in slabs without pointers. Both directions of a
// flow are one entry:
//
//	slot       4 bytes   tag and number of the entry; two of five are taken
//	entry    192 bytes   three cache lines, all that a packet needs:
//	                     name, status, context IDs | endpoints, time, counters | rule, TCP
//	record    40 bytes   what begins, ends, lists and shows it
//
// That is 242 bytes, and up to one slab of 256 flows (58 KiB) more for each shard.
// A packet of a flow writes the second line, TCP's the third too; [Table.Expect]
// has the lines come before they are needed.
//
// TCP follows RFC 9293 with windows checked as in Rooij, "Real Stateful TCP Packet
// Filtering in IP Filter" (2001), and Linux' net/netfilter/nf_conntrack_proto_tcp.c;
// RST and SYN as RFC 5961 wants of receivers.
//
// [Table.Peek], [Table.Room] and [Table.Walk] look and move nothing.
// [Table.WatchEnds] tells of flows that end, over a bounded ring; [Table.Reap], on no
// packet's way, finds those that nobody looks at.
// [Fragments] remembers first inner fragments, so that later ones can follow them;
// it too is shared by all workers.
//
// docs/conntrack.md tells operators how directions are paired, what keeps
// impostors out, and the timeouts. What is not here: rules; the tunnel, of which
// only the two outer addresses and the context ID are seen.
package conntrack
