/*
 * The receiver: one socket, one thread, one intake.
 *
 * It naps 200 us when the last call came back short and takes the next batch at once when it
 * came back full: without the nap batches shrink to four datagrams, with a nap after every
 * call a busy socket overflows (measured, docs/DESIGN.md).
 *
 * Owns:    the datagram arena and the kernel headers that point into it, bound once.
 * Lends:   each datagram to the intake, for the length of one call.
 * Threads: sf_receiver_run on one thread; sf_receiver_stop from any.
 */
#ifndef SF_RECEIVER_H
#define SF_RECEIVER_H

#include "intake.h"

struct sf_network {
    uint8_t family; /* enum sf_family */
    uint8_t bits;
    uint8_t ip[16];
};

struct sf_receiver;

/*
 * Receives from the bound datagram socket `fd`, which stays the caller's. With networks, a
 * datagram from elsewhere is counted as SF_FOREIGN_SOURCE and dropped unread. NULL: no memory.
 */
struct sf_receiver *sf_receiver_new(int fd, struct sf_intake *intake,
                                    const struct sf_network *networks, unsigned count);
struct sf_receiver *sf_receiver_free(struct sf_receiver *receiver); /* always NULL */

/* Receives until stopped, then takes what the kernel still holds and drains the intake. 0 or
 * -errno. */
int sf_receiver_run(struct sf_receiver *receiver);
void sf_receiver_stop(struct sf_receiver *receiver);

/* Asks for `octets` of receive buffer, with force where the process may; gives what it got. */
int sf_receive_buffer(int fd, int octets);

#endif
