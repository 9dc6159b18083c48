package main

import "sttwall/bench/rows"

// What is measured ends as these.
type (
	Row     = rows.Row
	Latency = rows.Latency
)

func median(list []float64) float64 { return rows.Median(list) }
