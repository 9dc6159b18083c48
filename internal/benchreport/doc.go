// Package benchreport turns what `sttwall bench` has measured into what people and
// programs read.
//
//	samples, one a round ──Summarize──▶ [Result]: a [Row] for each way and kind of packet
//	                                       │
//	                     ┌─────────────────┼──────────────┐
//	                     ▼                 ▼              ▼
//	                 Write: a table      JSON       SVG: bars and whiskers
//
// A round measures all ways one after the other, and ratios are those of one round: what
// else the host does then changes both sides of them.
//
// What is not here: measuring (package bench).
//
// It keeps no state: use it from many goroutines.
package benchreport
