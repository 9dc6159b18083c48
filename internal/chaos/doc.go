// Package chaos puts faults into a running firewall, one after the other, while traffic
// goes through it, and says what became of the traffic.
//
//	probe, transfers --> endpoint A --> firewall --> endpoint B --> hosts: bytes compared
//	forgeries ----------^               ^              ^--- watch: none of them may be seen
//	                                    |
//	              fault: kill, stop, fill, cut, flush ...
//
// The network is that of package lab, in its child process; the firewall is the real
// program, `sttwall run`, as a process of its own in there, on a real NFQUEUE. A steady
// probe over UDP times the gaps, transfers over TCP compare each byte, and forgeries
// of many sorts are sent all the time. Before the firewall is started for the first time
// each sort has to be seen at the far side, so that what sees them is known to see.
//
// [Run] is the parent's side; [Inside] what runs in the child. faults_linux.go has the
// faults. What the firewall does itself is in no way helped: who restarts it after its
// end is this package, in the place of a service manager.
//
// One fault is under way at a time; traffic and watch have goroutines of their own.
package chaos
