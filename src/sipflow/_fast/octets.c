#include "octets.h"

#include <pthread.h>
#include <stdlib.h>

#define SPARE_BUFFERS  64
#define SPARE_SMALLEST (128u << 10)
#define SPARE_LARGEST  (8u << 20)
#define SPARE_OCTETS   (32u << 20)

static pthread_mutex_t spare_lock = PTHREAD_MUTEX_INITIALIZER;
static struct sf_octets spare[SPARE_BUFFERS];
static size_t spare_count, spare_octets;

/* The smallest that is large enough: a large one is not spent on little. */
static struct sf_octets take_spare(size_t room)
{
    struct sf_octets found = {0};
    pthread_mutex_lock(&spare_lock);
    size_t best = spare_count;
    for (size_t i = 0; i < spare_count; i++) {
        if (spare[i].room >= room && (best == spare_count || spare[i].room < spare[best].room)) {
            best = i;
        }
    }
    if (best < spare_count) {
        found = spare[best];
        spare[best] = spare[--spare_count];
        spare_octets -= found.room;
    }
    pthread_mutex_unlock(&spare_lock);
    return found;
}

void sf_octets_free(struct sf_octets *octets)
{
    bool kept = false;
    octets->n = 0;
    pthread_mutex_lock(&spare_lock);
    if (spare_count < SPARE_BUFFERS && octets->room >= SPARE_SMALLEST &&
        octets->room <= SPARE_LARGEST && spare_octets + octets->room <= SPARE_OCTETS) {
        spare[spare_count++] = *octets;
        spare_octets += octets->room;
        kept = true;
    }
    pthread_mutex_unlock(&spare_lock);
    if (!kept) {
        free(octets->p);
    }
    *octets = (struct sf_octets){0};
}

bool sf_octets_room(struct sf_octets *octets, size_t more)
{
    if (octets->room - octets->n >= more) {
        return true;
    }
    size_t room = octets->room < 4096 ? 4096 : octets->room;
    while (room - octets->n < more) {
        room *= 2;
    }
    struct sf_octets used = room >= SPARE_SMALLEST ? take_spare(room) : (struct sf_octets){0};
    if (used.p != NULL) {
        if (octets->n > 0) {
            memcpy(used.p, octets->p, octets->n);
        }
        used.n = octets->n;
        sf_octets_free(octets);
        *octets = used;
        return true;
    }
    uint8_t *p = realloc(octets->p, room);
    if (p == NULL) {
        return false;
    }
    octets->p = p;
    octets->room = room;
    return true;
}
