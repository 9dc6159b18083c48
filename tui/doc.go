// Package tui is the live screen of a running firewall: flows, tenants, rules, drops
// and health, over the calls of package control.
//
//	tick, once a second --> app --Ask of the visible screen--> goroutine --> Firewall
//	                         ^                                                   |
//	                         +---------------- one answerMsg --------------------+
//	keys, mouse --> app --> prompt, chooser or visible screen --> View: text for the terminal
//
// [Run] takes the terminal until the user leaves. A screen is in three parts: state
// and Update, a pure View, and golden screens. Rows stay records; only those that are
// visible become text, all of it through [clean], so that names cannot send escape
// codes.
//
// What is not here: packets, sockets, and how anything is counted.
//
// Concurrency: the state belongs to Bubble Tea's event loop. What asks the firewall
// runs beside it, is never there twice, and hands over values that nobody changes.
package tui
