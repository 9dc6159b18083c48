// Package plot draws numbers over time with characters: sparklines of block elements,
// and charts of braille dots with an axis in human units.
//
//	one value a second --> resample --> dots --> lines of text, label and plot apart
//	                          ^            ^
//	             buckets that stay put   [Scale]: a top that does not jump
//
// All of it is pure, and without colour: the caller paints labels and plots. Where the
// terminal knows no more than ASCII, [ASCII] draws with that.
//
// What is not here: where numbers come from.
//
// A [Scale] belongs to one goroutine; the rest has no state.
package plot
