/* Which real server a packet goes to. */
#ifndef XVIP_CHOOSE_H
#define XVIP_CHOOSE_H

#include "conn.h"
#include "sched.h"

/* What choose found out. */
struct choice {
	__u32 index; /* of reals */
	__u8 fresh;  /* a new connection */
};

/* real_of gives the entry of an index that a table held, if the server still is
 * what it was. */
static __always_inline struct real *real_of(__u32 tag, __u32 service)
{
	__u32 index = tag & INDEX_MASK;
	struct real *r = bpf_map_lookup_elem(&reals, &index);

	return r && r->flags & REAL_USED && r->tag == tag && r->service == service ? r : 0;
}

static __always_inline void template_key_of(struct template_key *k, const struct service *s, const struct packet *p)
{
	k->service = s->id;
	for (int i = 0; i < 4; i++)
		k->src[i] = p->src[i] & s->mask[i];
}

/* template_find gives the server that the client's network had last, as IPVS's
 * persistence; NO_REAL if it had none or the time is over. */
static __noinline __u32 template_find(struct template_key *k, __u32 persistence)
{
	struct template *t = bpf_map_lookup_elem(&templates, k);
	__u32 now = conn_now();

	if (!t || now - t->seen > persistence || !real_of(t->tag, k->service))
		return NO_REAL;
	t->seen = now;
	return t->tag & INDEX_MASK;
}

static __noinline int template_set(struct template_key *k, __u32 tag)
{
	struct template t = {.tag = tag, .seen = conn_now()};

	return bpf_map_update_elem(&templates, k, &t, BPF_ANY);
}

/* template_keep: while a connection lives, so does the template that chose for it. */
static __always_inline void template_keep(const struct service *s, const struct packet *p, __u32 tag)
{
	struct template_key k = {};

	template_key_of(&k, s, p);
	struct template *t = bpf_map_lookup_elem(&templates, &k);
	if (t && t->tag == tag)
		t->seen = conn_now();
}

static __always_inline __u32 tag_of(__u32 index)
{
	struct real *r = bpf_map_lookup_elem(&reals, &index);

	return r ? r->tag : NO_REAL;
}

static __always_inline int remember(const struct service *s, const struct packet *p, __u64 sig, __u32 index, __u32 stage)
{
	__u32 place = conn_add(sig, make_word(tag_of(index), stage));

	if (place == NO_PLACE)
		return 0;
	peer_set(place, s->id, p);
	return 1;
}

/* choose_by_hash is for flows that the table has no room for. */
static __always_inline int choose_by_hash(const struct service *s, __u64 sig, struct choice *c)
{
	struct slot *slot = sched_slot(s, (sig >> 32) * s->ring_len >> 32);

	if (!slot || slot->real == NO_REAL)
		return PASS_NO_SERVER;
	c->index = slot->real;
	return PARSED;
}

/* schedule picks a real server for a new flow and remembers it. */
static __always_inline int schedule(const struct service *s, const struct packet *p, __u64 sig, struct choice *c)
{
	struct template_key k = {};

	if (!sched_admits(s))
		return DROP_LIMIT;
	c->fresh = 1;
	c->index = NO_REAL;
	if (s->persistence) {
		template_key_of(&k, s, p);
		c->index = template_find(&k, s->persistence);
	}
	if (c->index == NO_REAL) {
		c->index = sched_pick(s, p);
		if (c->index == NO_REAL)
			return PASS_NO_SERVER;
		if (s->persistence)
			template_set(&k, tag_of(c->index));
	}
	if (s->flags & SERVICE_ONE_PACKET)
		return PARSED;
	if (remember(s, p, sig, c->index, first_stage(p->dst.proto)))
		return PARSED;
	return choose_by_hash(s, sig, c);
}

/* recall gives PARSED and the server of a remembered flow, or 0. */
static __always_inline int recall(const struct service *s, const struct packet *p, __u64 sig, struct choice *c)
{
	struct conn *e = conn_find(sig);

	if (!e)
		return 0;
	__u32 word = *(volatile __u32 *)&e->word, stage = word_stage(word);
	if (*(volatile __u64 *)&e->sig != sig)
		return 0;
	if (p->event == EVENT_SYN && (stage == TCP_FIN || stage == TCP_CLOSED || stage == SCTP_CLOSING))
		return 0; /* the client's port is used anew */
	c->index = word_tag(word) & INDEX_MASK;
	if (!real_of(word_tag(word), s->id))
		return 0;
	if (p->kind == RELATED)
		return PARSED;
	if (s->persistence && e->seen != conn_now())
		template_keep(s, p, word_tag(word));
	conn_touch(e, sig, word, p->event);
	return PARSED;
}

static __always_inline int choose_remembered(const struct service *s, const struct packet *p, struct choice *c)
{
	__u64 sig = conn_sig(s->id, p);

	if (!(s->flags & SERVICE_ONE_PACKET) && recall(s, p, sig, c) == PARSED)
		return PARSED;
	if (p->kind == RELATED || (p->dst.proto != IPPROTO_UDP && p->event != EVENT_SYN))
		return conn_full(sig) ? choose_by_hash(s, sig, c) : PASS_NO_CONNECTION;
	return schedule(s, p, sig, c);
}

/* choose_moved is for a slot that got another server: flows that began since
 * are remembered; what is not remembered is older, and stays with the server
 * before as long as that may be. */
static __noinline int choose_moved(const struct service *s, const struct packet *p, const struct slot *slot, struct choice *c)
{
	__u64 sig = conn_sig(s->id, p);
	__u32 before = slot->before;

	if (recall(s, p, sig, c) == PARSED)
		return PARSED;
	c->index = slot->real;
	if (p->event == EVENT_SYN && before != SLOT_SETTLED)
		remember(s, p, sig, c->index, first_stage(p->dst.proto));
	if (p->event == EVENT_SYN)
		return c->index == NO_REAL ? PASS_NO_SERVER : PARSED;
	struct real *r = bpf_map_lookup_elem(&reals, &before);
	if (before == SLOT_SETTLED || !r || !(r->flags & REAL_USED) || r->service != s->id)
		return c->index == NO_REAL ? PASS_NO_SERVER : PARSED;
	c->index = before;
	if (p->kind != RELATED)
		remember(s, p, sig, before, first_stage(p->dst.proto) + 1); /* established */
	return PARSED;
}

static __always_inline int choose_stateless(const struct service *s, const struct packet *p, struct choice *c)
{
	struct slot *slot = sched_slot(s, sched_hash(s, p));

	if (!slot)
		return PASS_NO_SERVER;
	if (p->event == EVENT_SYN) {
		c->fresh = 1;
		if (s->limit && !sched_admits(s))
			return DROP_LIMIT;
	}
	if (slot->before != NO_REAL)
		return choose_moved(s, p, slot, c);
	c->index = slot->real;
	return c->index == NO_REAL ? PASS_NO_SERVER : PARSED;
}

/* choose gives PARSED and the real server for the packet, or a verdict. */
static __always_inline int choose(const struct service *s, const struct packet *p, struct choice *c)
{
	if (s->flags & SERVICE_STATELESS)
		return choose_stateless(s, p, c);
	return choose_remembered(s, p, c);
}

#endif
