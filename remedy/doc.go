// Package remedy finds the smallest change to the rules that would let a dropped frame
// pass, as text ready to paste, with the place where it goes.
//
//	frame, reason -> why do the rules drop it? -> change: a rule, a line, a block
//	                                                 |
//	                rules file with the change <-----+
//	                  -> loaded -> asked again about the frame: does it pass?
//
// What it finds it has tried out, or says that it has not. Where no rule helps (a frame
// that contradicts itself, a reply without its flow) it says what does.
//
// What is not here: how rules are written for what a network does (package suggest); and
// whether the frame should pass, which is for the reader to say.
//
// There is no state; all of it may be used by many goroutines.
package remedy
