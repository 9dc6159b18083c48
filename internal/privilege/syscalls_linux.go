package privilege

import (
	"os"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"golang.org/x/sys/unix"
)

// allowed are the calls that a running firewall makes, found with strace in all of what
// it does, and what the runtime of Go and the C library (where a build has it) may need.
// Names that an architecture does not have are left out there.
var allowed = []string{
	// Packets, sockets and those who ask.
	"recvmsg", "sendmsg", "recvfrom", "sendto", "recvmmsg", "sendmmsg", "read", "write", "readv", "writev", "pread64", "pwrite64",
	"epoll_wait", "epoll_pwait", "epoll_pwait2", "epoll_ctl", "epoll_create1", "eventfd2", "poll", "ppoll", "pselect6",
	"accept4", "bind", "listen", "connect", "getsockname", "getpeername", "getsockopt", "setsockopt", "shutdown", "pipe2",
	// Files, which Landlock restricts.
	"open", "openat", "close", "stat", "fstat", "statfs", "lstat", "newfstatat", "statx", "fstatfs", "lseek", "fcntl", "flock", "fsync", "fdatasync", "ftruncate",
	"rename", "renameat", "renameat2", "unlink", "unlinkat", "mkdir", "mkdirat", "getdents64", "readlink", "readlinkat", "getcwd", "access", "faccessat", "faccessat2",
	"ioctl", "copy_file_range", "sendfile", "splice",
	// The runtime: memory, threads, signals, time.
	"mmap", "munmap", "mremap", "madvise", "mprotect", "mincore", "brk", "futex", "sched_yield", "sched_getaffinity", "sched_setaffinity",
	"rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "tgkill", "restart_syscall", "exit", "exit_group",
	"gettid", "getpid", "getppid", "getuid", "geteuid", "getgid", "getegid", "set_robust_list", "set_tid_address", "rseq", "membarrier", "arch_prctl",
	"clock_gettime", "clock_nanosleep", "clock_getres", "nanosleep", "gettimeofday", "time", "getrandom", "uname", "sysinfo", "getrlimit", "prlimit64", "getrusage", "times",
	"timer_create", "timer_settime", "timer_delete", "setitimer", "getcpu", "capget", "memfd_create",
}

// withArguments are those that are allowed with some arguments only. Rows of one name are
// alternatives.
func withArguments() []seccomp.NameWithConditions {
	is := func(argument uint32, value uint64) seccomp.Condition {
		return seccomp.Condition{Argument: argument, Operation: seccomp.Equal, Value: value}
	}
	var list []seccomp.NameWithConditions
	add := func(name string, conditions ...seccomp.Condition) {
		list = append(list, seccomp.NameWithConditions{Name: name, Conditions: conditions})
	}
	// Threads, no processes.
	set := func(flag uint64) seccomp.Condition {
		return seccomp.Condition{Argument: 0, Operation: seccomp.BitsSet, Value: flag}
	}
	add("clone", set(unix.CLONE_VM), set(unix.CLONE_THREAD), set(unix.CLONE_SIGHAND))
	// What the table and the queues are set up with, and local sockets: no raw socket,
	// nothing that reaches other hosts, no routes or devices.
	add("socket", is(0, unix.AF_UNIX))
	add("socket", is(0, unix.AF_NETLINK), is(2, unix.NETLINK_NETFILTER))
	add("socketpair", is(0, unix.AF_UNIX))
	// The mode of a control socket that is made anew. Landlock restricts no modes.
	add("fchmod", is(1, 0o660))
	add("fchmodat", is(2, 0o660))
	// The runtime has its threads print their stacks with GOTRACEBACK=crash, by signals to
	// the process, and waits for seconds for each where it cannot.
	add("kill", is(0, uint64(os.Getpid())))
	// The runtime names its memory.
	add("prctl", is(0, unix.PR_SET_VMA))
	return list
}

// hostile are calls by which whoever has taken the program over would go on: they end it.
var hostile = []string{
	"execve", "execveat", "fork", "vfork", "ptrace", "process_vm_readv", "process_vm_writev",
	"mount", "umount2", "pivot_root", "chroot", "unshare", "open_by_handle_at", "move_mount", "fsopen", "fsmount", "open_tree", "mount_setattr",
	"init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "reboot", "swapon", "swapoff",
	"keyctl", "add_key", "request_key", "userfaultfd", "io_uring_setup", "perf_event_open",
	"setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setgroups", "setfsuid", "setfsgid",
	"modify_ldt", "iopl", "ioperm", "personality", "acct", "settimeofday", "clock_settime", "adjtimex", "clock_adjtime", "sethostname", "setdomainname",
}
