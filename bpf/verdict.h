/* Every exit of the program goes through one numbered verdict, so that their
 * counters add up to the packets seen. */
#ifndef XVIP_VERDICT_H
#define XVIP_VERDICT_H

enum verdict {
	/* To the stack, untouched. */
	PASS_NOT_IP = 0,    /* neither IPv4 nor IPv6 */
	PASS_NOT_SERVICE,   /* no virtual service of that address, port, protocol */
	PASS_FRAGMENT,      /* a later fragment of a datagram whose first one was not seen */
	PASS_INACTIVE,      /* the virtual address belongs to another node now */
	PASS_NO_CONNECTION, /* TCP without SYN and without a remembered flow: the stack resets it */
	PASS_NO_SERVER,     /* no real server takes new connections */
	PASS_LOCAL,         /* the real server is this host */
	/* Forwarded. */
	FORWARD_TX,       /* out of the interface it came in */
	FORWARD_REDIRECT, /* out of another one */
	ANSWER_TOO_BIG,   /* too long for the tunnel: the client hears so by ICMP */
	/* Dropped. */
	DROP_MALFORMED,   /* shorter than its headers say */
	DROP_MARTIAN,     /* from an address that no client can have */
	DROP_TTL,         /* its hops are used up: a loop, perhaps */
	DROP_NO_NEXT_HOP, /* the MAC of the way out is not known yet */
	DROP_NO_ROUTE,    /* a reply for a client without a route */
	DROP_TOO_BIG,     /* too long for the tunnel, and no answer can be made */
	DROP_LIMIT,       /* more new connections a second than the service takes */
	VERDICTS,
};

#endif
