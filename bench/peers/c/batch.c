/* c_batch: recvmmsg, and one NFQNL_MSG_VERDICT_BATCH for all that came. It is
 * the least that the kernel lets a program in user space do. */
#include "ring.h"
#include "queue.h"

#include <linux/netfilter/nfnetlink_queue.h>

int main(int argc, char **argv)
{
	struct options o;
	struct ring ring;
	_Alignas(4) char verdict[VERDICT_LENGTH];

	parse_options(argc, argv, &o);
	ring_make(&ring, o.batch, o.copy_range);
	int fd = open_queue(&o);

	while (!stopped) {
		int n = recvmmsg(fd, ring.messages, o.batch, MSG_WAITFORONE, NULL);

		counts.receives++;
		if (n < 0) {
			receive_failed();
			continue;
		}
		/* IDs rise in the order of arrival: the last one stands for all. */
		uint32_t id;
		int found = 0;
		for (int i = 0; i < n; i++)
			found |= packet_id(ring.vectors[i].iov_base, ring.messages[i].msg_len, &id);
		if (!found)
			continue;
		counts.sends++;
		if (send(fd, verdict, put_verdict(verdict, NFQNL_MSG_VERDICT_BATCH, o.queue, id), 0) < 0)
			die("send verdicts");
	}
	report();
	return 0;
}
