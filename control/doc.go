// Package control owns the socket over which a running firewall is asked and
// changed, and the client of it.
//
//	sttwall reload ─┐                        ┌─ who is it? (SO_PEERCRED)    peer_linux.go
//	curl ───────────┼─ HTTP + JSON, unix ────┤  may it?                     server.go
//	Client, TUI ────┘  socket, 0660          └─ /v1/... ──▶ firewall.Shared, counters
//	                                             ▲
//	worker ──Observe──▶ Feed, Recent, tap.Taps ──┘ events, dropped frames, streams of frames
//
// Root and the user that runs the firewall may change things; whoever else can
// open the socket, that is its group, may read. Each call is in docs/control.md.
//
// Everything is bounded: connections, requests, answers, the time that any of them
// takes, and the part of a processor that goes into what takes long (sorted.go,
// aside.go). Packets wait for no client; with somebody who follows, a worker copies what
// is told into a ring, and what finds no room there is lost and counted.
//
// What is not here: decisions about packets (package firewall); how a rules file
// is read again, which the [Config] is told.
//
// A [Server] and a [Client] may be used from many goroutines.
package control
