package policy

import (
	"os"
	"os/exec"
	"runtime"
	"testing"
)

const (
	manyRules   = 100_000
	mostOfTheir = 500 << 20 // bytes, the text included
)

// TestAHundredThousandRulesFitIntoMemory loads them in a process of its own, which
// looks at the end how much memory it ever had.
func TestAHundredThousandRulesFitIntoMemory(t *testing.T) {
	const inChild = "STTWALL_LOADS_MANY_RULES"
	if os.Getenv(inChild) != "" {
		p := mustLoad(t, largeRules(manyRules))
		if got := len(p.Rules()); got != manyRules {
			t.Errorf("%d rules, want %d", got, manyRules)
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		// What was taken from the system, given back or not; not what -race adds.
		if t.Logf("%d MB", m.Sys>>20); m.Sys > mostOfTheir {
			t.Errorf("it took %d MB, want at most %d", m.Sys>>20, mostOfTheir>>20)
		}
		return
	}
	if testing.Short() {
		t.Skip("loads a file of 13 MB")
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(program, "-test.run=^"+t.Name()+"$", "-test.count=1", "-test.v")
	c.Env = append(os.Environ(), inChild+"=1")
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

// BenchmarkLoad compiles the text of many rules.
func BenchmarkLoad(b *testing.B) {
	text := []byte(largeRules(manyRules))
	b.Run("rules=100000", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			p, diags := Load("rules.hcl", text)
			if p == nil {
				b.Fatal(diags)
			}
			runtime.KeepAlive(p)
		}
	})
}
