// Package dissect names what is in a frame that was decided: layer by layer, each
// field with the bytes in which it stands, its value in words, and a note where
// something is wrong with it.
//
//	STT frame header, inner frame --> [Dissect] --> layers --> a list of fields beside
//	                                                the hex, or a line for each layer
//
// It is there for people to look at, and nothing is decided by it: that is what
// package inspect is for, which refuses what it cannot read in one way only. Dissect
// reads on as far as it can, and says where it stops. It follows no length beyond the
// bytes that it was given, and the number of fields has bounds.
//
// What is not here: anything above TCP, UDP, SCTP and ICMP, and the outer packets.
//
// Dissect keeps nothing of what it is given, and may be called from any goroutine.
package dissect
