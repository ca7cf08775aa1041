/* Constants that user space sets before loading. */
#ifndef XVIP_CONF_H
#define XVIP_CONF_H

#include "types.h"

volatile const __u64 conn_secret = 0;  /* keys the connection hash */
volatile const __u32 conn_mask = 1023; /* buckets of conns - 1 */
/* A tick is 2^tick_shift jiffies: a clock that costs a load, not a call. */
volatile const __u32 tick_shift = 5;
/* The kernel may give frames in several buffers, of which the first has the
 * headers (5.18 and later); the program is loaded for them then. */
volatile const __u32 multi_buffer = 0;

/* frame_length is the length of the whole frame. To ask for it costs a call,
 * which only a frame that fills a buffer is worth. */
static __always_inline __u32 frame_length(struct xdp_md *ctx)
{
	__u32 linear = ctx->data_end - ctx->data;

	if (multi_buffer && linear > 2048)
		return bpf_xdp_get_buff_len(ctx);
	return linear;
}

#endif
