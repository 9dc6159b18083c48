#include "ring.h"
#include "queue.h"

#include <stdlib.h>

/* attributes is what stands in a message beside the packet: about 150 bytes. */
enum { attributes = 1024 };

void ring_make(struct ring *r, unsigned batch, unsigned copy_range)
{
	/* The beginnings of two buffers are not a power of two apart, or all would
	 * be in the same few sets of the cache. */
	size_t size = (copy_range + attributes) & ~(size_t)63;
	char *memory = malloc(size * batch);

	r->messages = calloc(batch, sizeof *r->messages);
	r->vectors = calloc(batch, sizeof *r->vectors);
	if (!memory || !r->messages || !r->vectors)
		die("make buffers");
	for (unsigned i = 0; i < batch; i++) {
		r->vectors[i] = (struct iovec){.iov_base = memory + i * size, .iov_len = size};
		r->messages[i].msg_hdr = (struct msghdr){.msg_iov = &r->vectors[i], .msg_iovlen = 1};
	}
}
