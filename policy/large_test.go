package policy

import (
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
)

const (
	manyRules   = 100_000
	mostOfTheir = 500 << 20 // bytes, the program and the text included
)

// TestAHundredThousandRulesFitIntoMemory loads them in a process of its own, of
// which the kernel says how large it ever was.
func TestAHundredThousandRulesFitIntoMemory(t *testing.T) {
	const inChild = "STTWALL_LOADS_MANY_RULES"
	if os.Getenv(inChild) != "" {
		p := mustLoad(t, largeRules(manyRules))
		if got := len(p.Rules()); got != manyRules {
			t.Errorf("%d rules, want %d", got, manyRules)
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
	c := exec.Command(program, "-test.run=^"+t.Name()+"$", "-test.count=1")
	c.Env = append(os.Environ(), inChild+"=1")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	usage, ok := c.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		t.Fatalf("no usage: %T", c.ProcessState.SysUsage())
	}
	size := usage.Maxrss << 10
	t.Logf("%d MB", size>>20)
	if size > mostOfTheir {
		t.Errorf("it took %d MB, want at most %d", size>>20, mostOfTheir>>20)
	}
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
