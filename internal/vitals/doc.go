// Package vitals tells the control socket what only those know who run the queues.
//
//	nfq.Inline ── queues, table, what workers hold ──▶ control.Vitals   /v1/health, /v1/history
//	                                              └──▶ []control.Drop   /v1/drops
//
// It stands between the two so that neither imports the other. Its functions keep
// nothing, and may be called from many goroutines.
package vitals
