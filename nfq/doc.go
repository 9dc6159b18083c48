// Package nfq joins the firewall to a Linux kernel: it takes packets from
// NFQUEUE and gives verdicts back, and it owns the nftables table that brings
// STT packets to the queues.
//
//	          nftables table "sttwall", prerouting (and output, bridges: hooks.go)
//	network ----> untracked --> guard ----> queue 0..n-1      (table.go, rules_linux.go)
//	                              |               |
//	                   fragments, unlisted      Queue.Receive     (queue.go; drivers: fast_linux.go, gonfqueue_linux.go)
//	                   endpoints, other           |
//	                   tunnels: dropped         Worker ----> Core.ProcessBatch, ...      (worker.go)
//	                                              |
//	network <------- verdicts, in order <----- Queue.SetVerdicts   (verdict.go)
//
// A [Queue] is one kernel queue behind a driver. A [Worker] drives one queue
// and one [Core], the firewall, on one operating system thread. [InstallTable]
// puts the table in, [AppendNFT] and [AppendIPTables] print it. [StartInline]
// joins all of it to a whole firewall, for `sttwall run` and for the lab
// (inline_linux.go).
//
// The order that never lets a packet past the firewall: open the queues, then
// install the table; at the end close the queues and leave the table. Without a
// listener the kernel drops what the table queues, unless the table was told to
// fail open.
//
// What is not here: no look into a packet (package firewall decides), no rules
// language, no routing, no interfaces.
//
// Concurrency: one goroutine calls Receive and SetVerdicts of a Queue; Wake,
// Stats, SetCopyRange and Close may come from any goroutine. All else is used
// by one goroutine at a time.
package nfq
