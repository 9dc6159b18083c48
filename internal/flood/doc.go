// Package flood has one endpoint attack a running firewall while two others send what
// the rules accept, and says how much of that still arrives and how much memory the
// firewall takes.
//
//	endpoint A, steady  ──▶ ┌──────────┐ ──▶ endpoint B, counted
//	                        │ firewall │
//	endpoint C, attack  ──▶ └──────────┘ ──▶ endpoint D
//
// Each is a network namespace; the firewall is the real program, `sttwall run`, on real
// NFQUEUEs. For the comparison the attack is sent all the time: half of the time an
// nftables rule drops it before the queues, so that what it costs to make the packets is
// on both sides. Both halves take turns, and the ratio is that of their medians.
//
// attacks.go has the attacks; a new one is a row there. One goroutine for each sender.
package flood
