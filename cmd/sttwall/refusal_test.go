package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"sttwall/internal/lab"
)

// withoutNetfilter runs the program as on a kernel without netfilter's netlink.
const withoutNetfilter = "without-netfilter"

// forbidNetfilterSockets makes socket(AF_NETLINK, _, NETLINK_NETFILTER) say
// what a kernel without it says.
func forbidNetfilterSockets() {
	const allow = 0x7fff0000
	refuse := uint32(0x00050000 | unix.EPROTONOSUPPORT)
	program, err := bpf.Assemble([]bpf.Instruction{
		bpf.LoadAbsolute{Off: 0, Size: 4}, // seccomp_data.nr
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.SYS_SOCKET, SkipTrue: 4},
		bpf.LoadAbsolute{Off: 16, Size: 4}, // args[0], low half
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.AF_NETLINK, SkipTrue: 2},
		bpf.LoadAbsolute{Off: 32, Size: 4}, // args[2], low half
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.NETLINK_NETFILTER, SkipTrue: 1},
		bpf.RetConstant{Val: allow},
		bpf.RetConstant{Val: refuse},
	})
	if err != nil {
		panic(err)
	}
	filter := make([]unix.SockFilter, len(program))
	for i, in := range program {
		filter[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		panic(err)
	}
	// For all threads of the process.
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog))); errno != 0 {
		panic(errno)
	}
}

func wantRefusal(t *testing.T, status int, stderr string, want ...string) {
	t.Helper()
	if status != statusRefused {
		t.Errorf("got status %d, want %d", status, statusRefused)
	}
	for _, w := range want {
		if !strings.Contains(stderr, w) {
			t.Errorf("it does not say %q:\n%s", w, stderr)
		}
	}
}

func TestRunRefusesWithoutTheCapability(t *testing.T) {
	if os.Geteuid() == 0 {
		// As an ordinary user, who must be able to read the program.
		dir := t.TempDir()
		for d := dir; d != "/" && d != os.TempDir(); d = filepath.Dir(d) {
			if err := os.Chmod(d, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		rules, err := os.ReadFile(acceptAll)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, "rules.hcl")
		if err := os.WriteFile(file, rules, 0o644); err != nil {
			t.Fatal(err)
		}
		exe, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		binary, err := os.ReadFile(exe)
		if err != nil {
			t.Fatal(err)
		}
		copied := filepath.Join(dir, "sttwall")
		if err := os.WriteFile(copied, binary, 0o755); err != nil {
			t.Fatal(err)
		}
		cmd := program(t, "plain", "run", "--state", "", "--rules", file)
		cmd.Path, cmd.Args[0] = copied, copied
		cmd.Dir = dir
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		status, stderr := output(t, cmd)
		wantRefusal(t, status, stderr, "queue 7471", "CAP_NET_ADMIN")
		return
	}
	status, stderr := output(t, program(t, "plain", "run", "--state", "", "--rules", acceptAll))
	wantRefusal(t, status, stderr, "queue 7471", "CAP_NET_ADMIN")
}

func TestRunRefusesAKernelWithoutNFQUEUE(t *testing.T) {
	status, stderr := output(t, program(t, withoutNetfilter, "run", "--state", "", "--rules", acceptAll))
	wantRefusal(t, status, stderr, "no NFQUEUE", "CONFIG_NETFILTER_NETLINK_QUEUE")
}

func TestRunRefusesAQueueThatIsTaken(t *testing.T) {
	if !lab.Inside(t) {
		return
	}
	first := start(t, "--queues", "1")
	status, stderr := output(t, program(t, "plain", "run", "--control", "", "--state", "", "--rules", acceptAll, "--queues", "1"))
	wantRefusal(t, status, stderr, "queue 7471", "already taken")
	if status, said := first.stop(t, syscall.SIGTERM); status != statusFine {
		t.Errorf("the first ended with status %d:\n%s", status, said)
	}
}

func TestRunRefusesBeforeItTouchesTheKernel(t *testing.T) {
	dir := t.TempDir()
	port := filepath.Join(dir, "port.hcl")
	if err := os.WriteFile(port, []byte("settings {\n  stt_ports = [70000]\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		args   []string
		status int
		want   []string
	}{
		{"bounds on holding above half of the queue", []string{"--rules", acceptAll, "--queues", "1", "--max-held", "40000", "--queue-length", "65536"},
			statusRefused, []string{"40000", "65536", "at most half"}},
		{"a queue too short for the default bounds", []string{"--rules", acceptAll, "--queues", "2", "--queue-length", "4096"},
			statusRefused, []string{"queue 7471", "4096", "at most half"}},
		{"a rules file that is not there", []string{"--rules", filepath.Join(dir, "none.hcl")}, statusRefused, []string{"none.hcl"}},
		{"a rules file that does not load", []string{"--rules", "../../testdata/rules/broken/action-allow.hcl"}, statusRefused, []string{"action-allow.hcl:"}},
		{"a port that is no port", []string{"--rules", port}, statusRefused, []string{"port.hcl:2,", "70000", "65535"}},
		{"no rules file", nil, statusUsage, []string{"--rules is missing", "--help"}},
		{"a queue number that is none", []string{"--rules", acceptAll, "--queue", "65536"}, statusUsage, []string{"--queue 65536", "65535"}},
		{"queues beyond the last number", []string{"--rules", acceptAll, "--queue", "65535", "--queues", "2"}, statusRefused, []string{"65535"}},
		{"no queue at all", []string{"--rules", acceptAll, "--queues", "0"}, statusUsage, []string{"--queues 0", "1 to 256"}},
		{"a copy range without room for headers", []string{"--rules", acceptAll, "--copy-range", "100"}, statusUsage, []string{"--copy-range 100", "256"}},
		{"a copy range that is none", []string{"--rules", acceptAll, "--copy-range", "some"}, statusUsage, []string{"--copy-range some", "auto or whole"}},
		{"a driver that is none", []string{"--rules", acceptAll, "--driver", "slow"}, statusUsage, []string{"--driver", "slow", "fast or go-nfqueue"}},
		{"a hook that is none", []string{"--rules", acceptAll, "--hook", "forward"}, statusUsage, []string{"forward", "prerouting, output or bridge"}},
		{"a hook of a table that is not installed", []string{"--rules", acceptAll, "--hook", "output", "--no-nft"}, statusUsage, []string{"--no-nft"}},
		{"a misspelt case of failing open", []string{"--rules", acceptAll, "--fail-open", "absnet"}, statusUsage, []string{"absnet", "absent, overload, exception"}},
		{"a misspelt word for a lost table", []string{"--rules", acceptAll, "--on-table-loss", "yes"}, statusUsage, []string{"restore or shout"}},
		{"a misspelt word for other tunnels", []string{"--rules", acceptAll, "--other-tunnels", "no"}, statusUsage, []string{"drop or pass"}},
		{"a negative bound", []string{"--rules", acceptAll, "--max-held", "-1"}, statusUsage, []string{"--max-held", "negative"}},
		{"a source share above the whole", []string{"--rules", acceptAll, "--reassembly-source-memory", "99000000"}, statusRefused, []string{"memory of one source"}},
		{"a frame-ID filter out of bounds", []string{"--rules", acceptAll, "--frame-id-filter", "99"}, statusRefused, []string{"2^99"}},
		{"a flag that is none", []string{"--ruels", acceptAll}, statusUsage, []string{"--ruels"}},
		{"an argument too many", []string{"--rules", acceptAll, "more"}, statusUsage, []string{"more"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			status, _, stderr := sttwall(append([]string{"run"}, test.args...)...)
			if status != test.status {
				t.Errorf("got status %d, want %d", status, test.status)
			}
			for _, w := range test.want {
				if !strings.Contains(stderr, w) {
					t.Errorf("it does not say %q:\n%s", w, stderr)
				}
			}
		})
	}
}
