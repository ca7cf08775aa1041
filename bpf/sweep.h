/* What user space has the kernel do with its tables, by BPF_PROG_TEST_RUN: only a
 * program can take the locks. */
#ifndef XVIP_SWEEP_H
#define XVIP_SWEEP_H

#include "choose.h"

#define SWEEP_BUCKETS 256

/* is_orphan says that the server of an entry has left. */
static __always_inline int is_orphan(__u32 word)
{
	__u32 index = word_tag(word) & INDEX_MASK;
	struct real *r = bpf_map_lookup_elem(&reals, &index);

	return !r || !(r->flags & REAL_USED) || r->tag != word_tag(word);
}

/* sweep_bucket frees what has idled too long, and what has no server any more. */
__noinline int sweep_bucket(__u32 index, __u32 now)
{
	struct conn_bucket *b = bpf_map_lookup_elem(&conns, &index);
	struct conn_lock *l = conn_lock_of(index);
	struct setting_set *set = the_settings();

	if (!b || !l || !set)
		return 0;
#pragma unroll
	for (int i = 0; i < CONN_WAYS; i++) {
		struct conn *c = &b->way[i];
		__u32 word = c->word, gone = 0, orphan = is_orphan(word);

		if (!c->sig || !(orphan || conn_expired(set, word, c->seen, now)))
			continue;
		bpf_spin_lock(&l->lock);
		if (c->sig && c->word == word && (orphan || conn_expired(set, word, c->seen, now))) {
			c->sig = 0;
			gone = 1;
		}
		bpf_spin_unlock(&l->lock);
		if (gone)
			load_add(word, -1);
	}
	return 0;
}

/* The packet of the sweep is 14 octets of nothing and the first bucket. */
SEC("xdp")
int sweep(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	__u32 *first = data + sizeof(struct ethhdr), now = conn_now();

	if ((void *)(first + 1) > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	__u32 base = *first;
	for (__u32 i = 0; i < SWEEP_BUCKETS; i++) {
		if (base + i > conn_mask)
			break;
		sweep_bucket(base + i, now);
	}
	return XDP_PASS;
}

#endif
