// Package picture draws a terminal's screen as SVG: the pictures in the
// documentation are what the program shows.
//
//	rows of text with SGR codes ──▶ cells (cells.go) ──▶ runs of one look ──▶ SVG (svg.go)
//	  (tmux.Terminal.Coloured)                              blocks and braille as shapes,
//	                                                        the rest as text
//
// Plots are drawn as shapes, so that they look the same whatever fonts there are;
// text is as wide as its cells in any of them.
//
// What is not here: reading a screen (package tmux), and what to show
// (scripts/pictures).
//
// It keeps no state: use it from many goroutines.
package picture
