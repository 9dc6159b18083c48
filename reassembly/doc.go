// Package reassembly puts the segments of STT frames together, within bounds.
//
//	Segment ──Add──> whole in one packet ───────────────────> Frame (not copied)
//	                 part of a frame ──> held ──> last one ──> Frame
//	                   contradiction, timeout, no room ──────> Dropped, tombstone
//	                 under a key with a tombstone ───────────> Dropped, late
//
// A frame is known by its [Key]: source, destination and frame ID, as its
// receivers know it. Nothing of it is handed out before all of it is there.
// Receivers disagree about segments that overlap or contradict each other, so
// any such segment drops the whole frame, and a tombstone drops what comes
// later under its key. Every packet that goes in comes out once: in
// [Frame.Packets] or in [Dropped.Packets].
//
// A segment that is a whole frame by itself is looked up under no key, as in
// receivers (the Linux stt.c returns it at once): neither a frame that is held
// under the same key nor a tombstone has a say in it, nor it in them. Senders
// use their frame IDs again within seconds, and one lost segment must not cost
// them whole frames. An empty segment drops a frame that is held; where none
// is, it leaves no tombstone.
//
// Segments that come in order are appended. Others are put in their place in a list
// of short runs, so that the order, which a sender chooses, cannot make one of them
// dear. Of the outer headers a [Packet] keeps what a verdict or a new encoding needs,
// and where the sums of all payloads are known, so is that of the frame.
//
// Everything is bounded, in total and for each outer source; [Config] says
// what happens at each bound. A source that is over its share loses its own
// oldest frame. When a total is full, the oldest frame of all is lost: honest
// ones are whole within microseconds, those that never will be wait for seconds.
//
// What is not here: the headers of a packet (package stt), what is inside a
// frame (package inspect), verdicts (package firewall), and the time, which
// the caller gives.
//
// A [Reassembler] is for one goroutine at a time; a worker has its own.
package reassembly
