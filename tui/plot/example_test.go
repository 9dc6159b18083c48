package plot_test

import (
	"fmt"

	"sttwall/tui/plot"
)

func Example() {
	rates := plot.Window{Values: []float64{10, 40, 90, 160, 250, 360, 490, 640, 810, 1000, 640, 360, 160, 40}}
	chart := plot.Chart{Width: 21, Height: 3, Label: func(v float64) string { return fmt.Sprint(v) }, Glyphs: plot.ASCII}
	for _, row := range chart.Draw(rates) {
		fmt.Println(row.Label + row.Plot + "|")
	}
	fmt.Println(plot.Sparkline(rates, 14, 0, plot.Unicode))
	// Output:
	// 1000 +         .#    |
	//      |       .####   |
	//    0 + ....:#######..|
	// ▁▁▁▁▂▃▄▅▆█▅▃▁▁
}
