// Package doctor looks at a host and says what will hurt a firewall on it, why, what was
// read where, and the command that cures it.
//
//	Config (root of files, rules file, hooks, a running firewall to ask)
//	  -> host: what checks read: files below a root, links, routes, nftables and iptables
//	     rules, sockets, the kernel's answers
//	  -> Checks: the one table of checks: number, severity, what, why, cure
//	     -> findings, or what was seen where nothing is wrong, or why it cannot be looked at
//	  -> Report, sorted by severity
//
// Rules of others are not searched for words: [walk] goes through the chains with an STT
// packet of which some is known and some is not, and tells what is certain. A check that
// cannot be made is no passed one.
//
// The package changes nothing: commands are for whoever asked. All of [Run] happens on the
// calling goroutine; where its thread is in a network namespace of its own, that is the
// one looked at, and the caller keeps it there.
package doctor
