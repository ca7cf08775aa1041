/* Every exit of the program goes through one numbered verdict, so that their
 * counters add up to the packets seen. */
#ifndef XVIP_VERDICT_H
#define XVIP_VERDICT_H

enum verdict {
	/* To the stack, untouched. */
	PASS_NOT_IP = 0,    /* not IPv4 */
	PASS_NOT_SERVICE,   /* no virtual service of that address, port, protocol */
	PASS_FRAGMENT,      /* a fragment has no port that could be trusted */
	PASS_OPTIONS,       /* IP options are the stack's business */
	PASS_INACTIVE,      /* the virtual address belongs to another node now */
	PASS_NO_CONNECTION, /* TCP without SYN and without a remembered flow: the stack resets it */
	PASS_NO_SERVER,     /* no real server takes new connections */
	PASS_LOCAL,         /* the real server is this host */
	/* Forwarded. */
	FORWARD_TX,       /* out of the interface it came in */
	FORWARD_REDIRECT, /* out of another one */
	/* Dropped. */
	DROP_MALFORMED,   /* shorter than its headers say */
	DROP_NO_NEXT_HOP, /* the real server's MAC is not known yet */
	VERDICTS,
};

#endif
