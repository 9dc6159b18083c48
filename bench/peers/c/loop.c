/* c_loop: the loop that libnetfilter_queue's documentation leads to (libmnl,
 * one packet received, its attributes parsed, one verdict sent), without what
 * its example prints. NETLINK_NO_ENOBUFS is left off: it hides lost packets. */
#include "queue.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <libnetfilter_queue/libnetfilter_queue.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <stdlib.h>

static struct mnl_socket *nl;

static struct nlmsghdr *request(void *buffer, int type, uint16_t queue)
{
	return nfq_nlmsg_put(buffer, type, queue);
}

static void say(const struct nlmsghdr *h)
{
	if (mnl_socket_sendto(nl, h, h->nlmsg_len) < 0)
		die("send");
}

static int on_packet(const struct nlmsghdr *h, void *data)
{
	const struct options *o = data;
	struct nlattr *attributes[NFQA_MAX + 1] = {0};
	char buffer[MNL_SOCKET_BUFFER_SIZE];

	if (nfq_nlmsg_parse(h, attributes) < 0 || !attributes[NFQA_PACKET_HDR])
		die("read a message");
	const struct nfqnl_msg_packet_hdr *p = mnl_attr_get_payload(attributes[NFQA_PACKET_HDR]);
	counts.packets++;

	struct nlmsghdr *verdict = request(buffer, NFQNL_MSG_VERDICT, o->queue);
	nfq_nlmsg_verdict_put(verdict, ntohl(p->packet_id), NF_ACCEPT);
	counts.sends++;
	say(verdict);
	return MNL_CB_OK;
}

static int on_answer(const struct nlmsghdr *h, void *data)
{
	(void)data;
	answer(((const struct nlmsgerr *)mnl_nlmsg_get_payload(h))->error);
	return MNL_CB_OK;
}

int main(int argc, char **argv)
{
	struct options o;
	mnl_cb_t control[NLMSG_MIN_TYPE] = {[NLMSG_ERROR] = on_answer};

	parse_options(argc, argv, &o);
	size_t size = 0xffff + MNL_SOCKET_BUFFER_SIZE / 2; /* the largest packet and its attributes */
	char *buffer = malloc(size);
	nl = mnl_socket_open(NETLINK_NETFILTER);
	if (!buffer || !nl || mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0)
		die("open a netlink socket");
	force_buffer(mnl_socket_get_fd(nl), o.receive_buffer);

	struct nlmsghdr *h = request(buffer, NFQNL_MSG_CONFIG, o.queue);
	nfq_nlmsg_cfg_put_cmd(h, AF_UNSPEC, NFQNL_CFG_CMD_BIND);
	nfq_nlmsg_cfg_put_qmaxlen(h, o.length);
	mnl_attr_put_u32(h, NFQA_CFG_FLAGS, htonl(NFQA_CFG_F_GSO));
	mnl_attr_put_u32(h, NFQA_CFG_MASK, htonl(NFQA_CFG_F_GSO));
	say(h);
	h = request(buffer, NFQNL_MSG_CONFIG, o.queue);
	h->nlmsg_flags |= NLM_F_ACK;
	nfq_nlmsg_cfg_put_params(h, NFQNL_COPY_PACKET, o.copy_range);
	say(h);

	unsigned port = mnl_socket_get_portid(nl);
	while (!stopped) {
		ssize_t n = mnl_socket_recvfrom(nl, buffer, size);

		counts.receives++;
		if (n < 0)
			receive_failed();
		else if (mnl_cb_run2(buffer, n, 0, port, on_packet, &o, control, NLMSG_MIN_TYPE) < 0)
			die("read a datagram");
	}
	report();
	return 0;
}
