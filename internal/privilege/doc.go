// Package privilege gives up what a firewall that runs does not need: other users'
// rights, capabilities, files, system calls.
//
//	start as root          Become      another user; capabilities for the start alone
//	sockets, files, queues are opened, the table is installed
//	before the first packet Confine    capabilities    what Config.Keep names
//	                                   no_new_privs    always
//	                                   Landlock        files under Read and Write
//	                                   seccomp         the list in syscalls_linux.go
//
// Each holds for all threads, those that begin later too, and cannot be taken back. What
// the kernel does not have is said ([Held.Missing]), or refused ([Required]).
//
// It does not decide what is needed: the commands do. The kernel's documentation is
// capabilities(7), landlock(7) and seccomp(2).
//
// Become and Confine are called once each, while nobody else of the process changes
// users, capabilities or limits of it.
package privilege
