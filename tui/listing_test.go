package tui

import "testing"

func TestTenantsAndRulesAtThreeSizes(t *testing.T) {
	for _, size := range sizes {
		t.Run(size.name, func(t *testing.T) {
			for _, name := range []string{"Tenants", "Rules"} {
				d := drive(t, newFake(), size.width, size.height, func(c *Config) { c.Screen = name })
				d.tick()
				d.golden(name + "-" + size.name)
			}
		})
	}
}
