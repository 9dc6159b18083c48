// Package tmux runs a program in a terminal of its own, as a person would: it
// presses keys and reads the screen. Tests and scripts/pictures stand on it.
//
//	Start ──▶ tmux server of its own ──▶ program in a pane, WIDTH x HEIGHT
//	            (socket in a new folder)    ▲            │
//	             Press, Type, Resize ───────┘            └──▶ Screen, WaitFor
//
// The terminal is tmux's emulator, which is not ours: what it shows is what the
// program's escape codes mean to somebody else. Server, pane and folder are gone
// after [Terminal.Close]; servers of others are not touched, nor is anybody's
// configuration read.
//
// What is not here: what a screen should look like.
//
// A [Terminal] may be used from one goroutine at a time.
package tmux
