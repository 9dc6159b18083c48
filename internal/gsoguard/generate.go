package gsoguard

// It takes clang and llvm-strip, and the kernel's headers for programs
// (linux-libc-dev). guard.sha256 tells a test when one of the files is not of the others.
//go:generate sh -c "go tool bpf2go -cflags '-O2 -Wall -Werror' -go-package gsoguard guard guard.c -- -I/usr/include/$(uname -m)-linux-gnu"
//go:generate sh -c "sha256sum guard.c guard_bpfeb.o guard_bpfel.o >guard.sha256"
