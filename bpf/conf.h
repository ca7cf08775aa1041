/* Constants that user space sets before loading. */
#ifndef XVIP_CONF_H
#define XVIP_CONF_H

#include "types.h"

volatile const __u64 conn_secret = 0;  /* keys the connection hash */
volatile const __u32 conn_mask = 1023; /* buckets of conns - 1 */
/* A tick is 2^tick_shift jiffies: a clock that costs a load, not a call. */
volatile const __u32 tick_shift = 5;

#endif
