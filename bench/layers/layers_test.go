package main

import (
	"fmt"
	"io"
	"testing"
)

// BenchmarkLayers is every contest as a benchmark, for profiles.
func BenchmarkLayers(b *testing.B) {
	for _, l := range layers {
		b.Run("layer="+l.name, func(b *testing.B) {
			contests, err := l.build(&place{quick: testing.Short(), dir: b.TempDir(), notes: io.Discard})
			if err != nil {
				b.Fatal(err)
			}
			for _, c := range contests {
				for i := range c.contestants {
					b.Run(fmt.Sprintf("case=%s/variant=%s", c.job, c.contestants[i].variant), func(b *testing.B) {
						b.ReportAllocs()
						if err := c.contestants[i].run(b.N); err != nil {
							b.Fatal(err)
						}
						b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*c.units), "ns/unit")
					})
				}
			}
		})
	}
}
