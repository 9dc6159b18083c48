//go:build ignore

// The guard: a socket filter that matches super-segments whose pieces are small.
//
// A match of xtables runs it (xt_bpf, net/netfilter/xt_bpf.c) on packets that an
// nftables rule has found to be STT. What it returns is whether the rule goes on,
// to its drop: 0 is no.

#include <linux/bpf.h>

// The smallest payload of a piece that passes, in bytes. gsoguard.Smallest is the
// same, and a test holds them together.
#define SMALLEST 512

__attribute__((section("socket"), used))
int gso_guard(struct __sk_buff *skb)
{
	// gso_size is 0 for a packet that the kernel will not cut (since Linux 5.7,
	// net/core/filter.c, bpf_convert_ctx_access).
	__u32 size = skb->gso_size;

	return size != 0 && size < SMALLEST;
}
