/* Which real server takes a new connection. */
#ifndef XVIP_SCHED_H
#define XVIP_SCHED_H

#include "maps.h"

/* The rings are made by user space: for rr every server once, for wrr each as
 * often as its weight, evenly spread. One cursor a service, under a lock, makes
 * the rotation exact on any CPU; fetch-and-add would do, but the oldest kernel
 * we load on (5.10) has none. */
static __always_inline __u32 sched_next(const struct service *s)
{
	__u32 id = s->id, len = s->ring_len, n;
	struct cursor *c = bpf_map_lookup_elem(&cursors, &id);

	if (!c)
		return 0;
	bpf_spin_lock(&c->lock);
	n = c->next;
	if (n >= len)
		n = 0;
	c->next = n + 1;
	bpf_spin_unlock(&c->lock);
	return n;
}

/* sched_slot gives the real server in place n of the service's ring. */
static __always_inline __u32 *sched_slot(const struct service *s, __u32 n)
{
	__u32 i = s->ring_base + n;

	return bpf_map_lookup_elem(&slots, &i);
}

#endif
