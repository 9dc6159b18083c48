#include "queue.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netlink.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct counts counts;
volatile int stopped;

void die(const char *what)
{
	perror(what);
	exit(1);
}

/* A signal between the look at `stopped` and the call that waits would be
 * missed: therefore another one follows. */
static void on_signal(int number)
{
	(void)number;
	stopped = 1;
	alarm(1);
}

void parse_options(int argc, char **argv, struct options *o)
{
	int c;

	*o = (struct options){.copy_range = 0xffff, .length = 16384, .receive_buffer = 32 << 20, .batch = 64};
	while ((c = getopt(argc, argv, "q:c:l:r:b:")) != -1) {
		unsigned long v = optarg ? strtoul(optarg, NULL, 10) : 0;

		switch (c) {
		case 'q': o->queue = v; break;
		case 'c': o->copy_range = v; break;
		case 'l': o->length = v; break;
		case 'r': o->receive_buffer = v; break;
		case 'b': o->batch = v; break;
		default: exit(2);
		}
	}
	if (o->batch < 1 || o->batch > 1024) {
		fprintf(stderr, "batch: 1 to 1024 packets\n");
		exit(2);
	}

	struct sigaction action = {.sa_handler = on_signal}; /* without SA_RESTART */
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGALRM, &action, NULL);
}

static void *put_attribute(void *at, uint16_t type, const void *data, uint16_t length)
{
	struct nlattr *a = at;

	a->nla_type = type;
	a->nla_len = NLA_HDRLEN + length;
	memcpy((char *)at + NLA_HDRLEN, data, length);
	return (char *)at + NLA_ALIGN(a->nla_len);
}

static void *put_header(void *at, int type, uint16_t flags, uint16_t queue)
{
	struct nlmsghdr *h = at;
	struct nfgenmsg *g = NLMSG_DATA(h);

	memset(h, 0, NLMSG_HDRLEN);
	h->nlmsg_type = NFNL_SUBSYS_QUEUE << 8 | type;
	h->nlmsg_flags = NLM_F_REQUEST | flags;
	*g = (struct nfgenmsg){.version = NFNETLINK_V0, .res_id = htons(queue)};
	return g + 1;
}

static unsigned end_message(void *start, void *end)
{
	return ((struct nlmsghdr *)start)->nlmsg_len = (char *)end - (char *)start;
}

void force_buffer(int fd, int bytes)
{
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) < 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes) < 0)
		die("set the receive buffer");
}

int open_queue(const struct options *o)
{
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	struct nfqnl_msg_config_cmd command = {.command = NFQNL_CFG_CMD_BIND};
	struct nfqnl_msg_config_params params = {.copy_range = htonl(o->copy_range), .copy_mode = NFQNL_COPY_PACKET};
	uint32_t length = htonl(o->length), flags = htonl(NFQA_CFG_F_GSO);
	_Alignas(4) char message[256];
	char *at;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);

	if (fd < 0)
		die("open a netlink socket");
	if (connect(fd, (struct sockaddr *)&kernel, sizeof kernel) < 0)
		die("connect the netlink socket");
	force_buffer(fd, o->receive_buffer);

	/* The copy mode comes last, and alone asks for an answer of "done": no
	 * packet comes before it is set. An error is answered in any case. */
	at = put_header(message, NFQNL_MSG_CONFIG, 0, o->queue);
	at = put_attribute(at, NFQA_CFG_CMD, &command, sizeof command);
	at = put_attribute(at, NFQA_CFG_QUEUE_MAXLEN, &length, sizeof length);
	at = put_attribute(at, NFQA_CFG_FLAGS, &flags, sizeof flags);
	at = put_attribute(at, NFQA_CFG_MASK, &flags, sizeof flags);
	if (send(fd, message, end_message(message, at), 0) < 0)
		die("bind the queue");
	at = put_header(message, NFQNL_MSG_CONFIG, NLM_F_ACK, o->queue);
	at = put_attribute(at, NFQA_CFG_PARAMS, &params, sizeof params);
	if (send(fd, message, end_message(message, at), 0) < 0)
		die("set the copy mode");
	return fd;
}

void answer(int error)
{
	switch (error) {
	case 0:
		puts("ready");
		fflush(stdout);
		break;
	case -ENOENT: /* the packet was gone before its verdict came */
		counts.late++;
		break;
	default:
		errno = -error;
		die("the kernel refuses");
	}
}

int packet_id(const void *datagram, unsigned length, uint32_t *id)
{
	const struct nlmsghdr *h = datagram;
	const char *at, *end;

	if (!NLMSG_OK(h, length)) {
		errno = EBADMSG;
		die("read a message");
	}
	if (h->nlmsg_type == NLMSG_ERROR) {
		answer(((const struct nlmsgerr *)NLMSG_DATA(h))->error);
		return 0;
	}
	at = (const char *)NLMSG_DATA(h) + sizeof(struct nfgenmsg);
	end = (const char *)h + h->nlmsg_len;
	while (end - at >= NLA_HDRLEN) {
		const struct nlattr *a = (const void *)at;

		if (a->nla_len < NLA_HDRLEN || a->nla_len > end - at)
			break;
		if (a->nla_type == NFQA_PACKET_HDR) {
			*id = ntohl(((const struct nfqnl_msg_packet_hdr *)(at + NLA_HDRLEN))->packet_id);
			counts.packets++;
			return 1;
		}
		at += NLA_ALIGN(a->nla_len);
	}
	errno = EBADMSG;
	die("find the packet header");
	return 0;
}

unsigned put_verdict(void *at, int type, uint16_t queue, uint32_t id)
{
	struct nfqnl_msg_verdict_hdr v = {.verdict = htonl(NF_ACCEPT), .id = htonl(id)};
	void *end = put_header(at, type, 0, queue);

	return end_message(at, put_attribute(end, NFQA_VERDICT_HDR, &v, sizeof v));
}

void receive_failed(void)
{
	if (errno == ENOBUFS)
		counts.overruns++;
	else if (errno != EINTR)
		die("receive");
}

void report(void)
{
	printf("{\"packets\":%llu,\"system_calls\":%llu,\"receives\":%llu,\"sends\":%llu,\"overruns\":%llu,\"late\":%llu}\n",
	       (unsigned long long)counts.packets, (unsigned long long)(counts.receives + counts.sends),
	       (unsigned long long)counts.receives, (unsigned long long)counts.sends,
	       (unsigned long long)counts.overruns, (unsigned long long)counts.late);
}
