// Package replay drives the firewall core over captures instead of a queue.
//
//	pcap, pcapng, gzip, stdin -> capture.Packet -> firewall.Firewall -> frames
//	                                  |                 |                 |
//	                                  |             verdicts        lines, table
//	                                  +----> held <-----+
//	                                           |
//	                                  pcapng of what would have left
//
// [Run] is all there is: the same core that a queue feeds, with the clock of
// the captures. Frames come out one line each, as JSON or as a table, and a
// [Summary] behind them. What leaves is written with the link header that came
// with it, in the order of the verdicts.
//
// A capture is not a queue: its checksums may be unfinished, its packets cut
// short, and it holds packets that nftables would never have queued. See
// [Checksums], and [Summary] for how each is counted.
//
// Nothing here decides anything about a packet, and nothing needs privileges.
//
// Calls of Run share nothing; each is one goroutine.
package replay
