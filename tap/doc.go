// Package tap hands decided frames, with their bytes, from the workers of a running
// firewall to a few readers.
//
//	worker -> Taps.Observe -> wanted? ──▶ ring of a Tap ──▶ Take / Wait -> reader
//	worker -> Core ─ copies outer packets while somebody wants them ─┘
//
// With nobody there a frame costs a worker one load. A worker never waits and allocates
// nothing: what finds the ring of a reader full is lost for that reader, and counted.
// All memory is taken when a tap is opened, and bounded.
//
// What is not here: which frames are wanted, and how they are shown (packages control
// and capture).
//
// Taps may be used from any goroutine; a Tap belongs to one reader.
package tap
