/* What is dropped, for people: a few packets a second of each reason, while
 * somebody looks. */
#ifndef XVIP_SAMPLE_H
#define XVIP_SAMPLE_H

#include "maps.h"

#define SAMPLE_HEAD 128

/* One dropped packet. */
struct sample {
	__u64 time; /* bpf_ktime_get_ns */
	__u32 verdict;
	__u32 ifindex;
	__u32 length; /* of the frame */
	__u32 held;   /* octets of it in head */
	__u8 head[SAMPLE_HEAD];
};

/* How many were taken of a verdict in a second; behind the last verdict: how
 * many may be, 0 while nobody looks. */
struct sample_turn {
	__u32 second;
	__u32 taken;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, VERDICTS + 1);
	__type(key, __u32);
	__type(value, struct sample_turn);
} sampling SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 65536);
} samples SEC(".maps");

/* The verifier wants lengths that are constants. */
#define TAKE(n)                                        \
	if (data + (n) <= end) {                       \
		__builtin_memcpy(head, data, (n));     \
		return (n);                            \
	}

static __always_inline __u32 sample_head(struct xdp_md *ctx, __u8 *head)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;

	TAKE(SAMPLE_HEAD);
	TAKE(74); /* IPv6 and TCP */
	TAKE(54); /* IPv4 and TCP */
	TAKE(42); /* IPv4 and UDP */
	TAKE(14);
	return 0;
}

/* Two CPUs that count at once may take one too many. */
static __always_inline void sample_drop(struct xdp_md *ctx, __u32 verdict, __u32 length)
{
	__u32 last = VERDICTS;
	struct sample_turn *wanted = bpf_map_lookup_elem(&sampling, &last);

	if (!wanted || !wanted->taken)
		return;
	struct sample_turn *s = bpf_map_lookup_elem(&sampling, &verdict);
	if (!s)
		return;
	__u64 time = bpf_ktime_get_ns();
	__u32 now = (__u32)(time / 1000000000);
	if (s->second != now) {
		s->second = now;
		s->taken = 0;
	}
	if (s->taken >= wanted->taken)
		return;
	s->taken++;
	struct sample *d = bpf_ringbuf_reserve(&samples, sizeof(*d), 0);
	if (!d)
		return;
	d->time = time;
	d->verdict = verdict;
	d->ifindex = ctx->ingress_ifindex;
	d->length = length;
	d->held = sample_head(ctx, d->head);
	bpf_ringbuf_submit(d, 0);
}

#endif
