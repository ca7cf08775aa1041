/* Constants that user space sets before loading. */
#ifndef XVIP_CONF_H
#define XVIP_CONF_H

#include "types.h"

volatile const __u64 conn_secret = 0;   /* keys the connection hash */
volatile const __u32 conn_mask = 1023;  /* buckets of conns - 1 */
volatile const __u32 timeout_new = 60;  /* seconds: SYN seen, or one UDP packet */
volatile const __u32 timeout_tcp = 900; /* seconds: established TCP, as IPVS */
volatile const __u32 timeout_fin = 120; /* seconds: FIN or RST seen, as IPVS */
volatile const __u32 timeout_udp = 300; /* seconds, as IPVS */

#endif
