// Package reason is the one list of reasons for which sttwall drops a packet.
//
// A reason is declared once, in reason.go, with the name that logs, replay
// and the documentation use for it, and with one line that tells the operator
// what to do. Counters are arrays of [Count] elements
// indexed by a [Reason].
//
// What is not here: errors around a packet's way (a socket that does not
// open, a rules file that does not load) are ordinary Go errors.
//
// Everything here is constant; all of it may be used from any goroutine.
package reason
