/* Buffers for recvmmsg: one datagram each, wherever it is received to. */
#ifndef RING_H
#define RING_H

#define _GNU_SOURCE
#include <stddef.h>
#include <sys/socket.h>

struct ring {
	struct mmsghdr *messages;
	struct iovec *vectors;
};

void ring_make(struct ring *r, unsigned batch, unsigned copy_range);

#endif
