/* c_many: recvmmsg, and the verdicts of what came in one sendmsg, a message
 * each. It is what a loop can do that does not decide in the order of arrival. */
#include "ring.h"
#include "queue.h"

#include <linux/netfilter/nfnetlink_queue.h>

int main(int argc, char **argv)
{
	struct options o;
	struct ring ring;
	static _Alignas(4) char verdicts[1024 * VERDICT_LENGTH];

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
		unsigned length = 0;
		for (int i = 0; i < n; i++) {
			uint32_t id;

			if (packet_id(ring.vectors[i].iov_base, ring.messages[i].msg_len, &id))
				length += put_verdict(verdicts + length, NFQNL_MSG_VERDICT, o.queue, id);
		}
		if (length == 0)
			continue;
		counts.sends++;
		if (send(fd, verdicts, length, 0) < 0)
			die("send verdicts");
	}
	report();
	return 0;
}
