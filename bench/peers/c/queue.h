/*
 * What the loops share: their arguments, a netlink socket bound to one queue,
 * and the report at the end. Plain netlink (linux/netfilter/nfnetlink_queue.h).
 *
 * A program prints "ready" when the kernel has answered that the queue is
 * bound, and ends at SIGTERM with one line of JSON.
 */
#ifndef QUEUE_H
#define QUEUE_H

#include <stdint.h>

struct options {
	uint16_t queue;
	uint32_t copy_range;     /* bytes of a packet; 0xffff: whole */
	uint32_t length;         /* packets that may wait for a verdict */
	int      receive_buffer; /* bytes */
	unsigned batch;          /* packets in one system call, at most */
};

struct counts {
	uint64_t packets, receives, sends, overruns, late;
};

extern struct counts counts;

/* stopped is set by SIGTERM, which also ends a call that waits. */
extern volatile int stopped;

void parse_options(int argc, char **argv, struct options *o);

/* force_buffer sets a receive buffer: by force, else up to rmem_max. */
void force_buffer(int fd, int bytes);

/* open_queue returns a socket that has asked for the queue, with the GSO flag.
 * The answer comes in the loop: packets may come before it. */
int open_queue(const struct options *o);

/* packet_id finds the packet's ID in a datagram of one message. 0: it is an
 * answer of the kernel, and dealt with. */
int packet_id(const void *datagram, unsigned length, uint32_t *id);

/* answer deals with the kernel's answer (NLMSG_ERROR) of that error: 0 is the
 * one that says "bound". */
void answer(int error);

/* put_verdict writes one message and returns its length. type is
 * NFQNL_MSG_VERDICT or NFQNL_MSG_VERDICT_BATCH. */
unsigned put_verdict(void *at, int type, uint16_t queue, uint32_t id);
#define VERDICT_LENGTH 32

/* receive_failed counts a lost packet, or ends the program for any other error
 * than a signal. */
void receive_failed(void);

void report(void);
void die(const char *what);

#endif
