package bench

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"sttwall/internal/benchreport"
)

// Host says where it runs.
func Host(version string) (benchreport.Host, error) {
	h := benchreport.Host{Version: version, Time: time.Now().UTC().Truncate(time.Second)}
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return h, fmt.Errorf("uname: %w", err)
	}
	h.Kernel = string(name.Release[:bytes.IndexByte(name.Release[:], 0)])
	cpus, err := allowedCPUs()
	if err != nil {
		return h, err
	}
	h.CPUs = len(cpus)
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return h, fmt.Errorf("kind of processor: %w", err)
	}
	h.Processor = processor(string(text))
	return h, nil
}

// processor reads /proc/cpuinfo: x86 has a model name, other machines have other lines.
func processor(cpuinfo string) string {
	for line := range strings.Lines(cpuinfo) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.Join(strings.Fields(value), " ")
		}
	}
	return "unknown processor"
}

// allowedCPUs are the CPUs that the process may use.
func allowedCPUs() (cpus []int, err error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, fmt.Errorf("which processors may be used: %w", err)
	}
	for cpu := 0; len(cpus) < set.Count(); cpu++ {
		if set.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	return cpus, nil
}
