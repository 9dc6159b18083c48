#include "ring.h"
#include "queue.h"

#include <stdlib.h>
#include <sys/mman.h>

/* attributes is what stands in a message beside the packet: about 150 bytes. */
enum { attributes = 1024, huge_page = 2 << 20, cache_line = 64 };

void ring_make(struct ring *r, unsigned batch, unsigned copy_range)
{
	/* An odd number of cache lines between the beginnings of two buffers: a
	 * power of two would have them all in the same few sets of the cache. */
	size_t stride = ((copy_range + attributes) / cache_line | 1) * cache_line + 2 * cache_line;
	size_t bytes = (stride * batch + huge_page - 1) & ~(size_t)(huge_page - 1);
	char *memory = aligned_alloc(huge_page, bytes);

	r->messages = calloc(batch, sizeof *r->messages);
	r->vectors = calloc(batch, sizeof *r->vectors);
	if (!memory || !r->messages || !r->vectors)
		die("make buffers");
	madvise(memory, bytes, MADV_HUGEPAGE); /* a wish: the kernel may have none */
	for (unsigned i = 0; i < batch; i++) {
		r->vectors[i] = (struct iovec){.iov_base = memory + i * stride, .iov_len = stride};
		r->messages[i].msg_hdr = (struct msghdr){.msg_iov = &r->vectors[i], .msg_iovlen = 1};
	}
}
