// Package eventlog owns the log of what happens, for programs that read it: lines of
// JSON in the manner of Suricata's EVE, with its names where it has a field for it.
//
//	worker ──Observe──▶ ring ─┐                         ┌─ sink ──▶ file
//	flow table ────────▶ ends ─┼─ Run: records, JSON ───┼─ sink ──▶ syslog
//	counters, reloads ────────┘  one line for all       └─ sink ──▶ journald
//
// Everything is bounded, and what finds no room is counted and told in the next line
// of counters: a full disk, a slow one or one that hangs stops no packet. Each
// target has a goroutine of its own, so that none waits for another.
//
// docs/events.md has the types of events with an example each, and
// docs/eve.schema.json their schema.
//
// What is not here: who may follow events over the control socket (package control);
// what is logged for people (cmd/sttwall).
//
// A [Log] may be used from any goroutine.
package eventlog
