/*
 * A small mutating driver for the fuzz targets, for machines without libFuzzer.
 *
 *     driver SECONDS INPUT SEED...
 *
 * It changes, cuts, doubles and joins the seeds, blind to coverage, and calls the target with each
 * result. INPUT always holds the octets of the current call, so they are there after a crash.
 *
 * Owns:    the seeds and the input.
 * Threads: one.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SEEDS_MAX 1024
#define ROOM      65536u

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t n);

struct octets {
    uint8_t p[ROOM];
    size_t n;
};

static uint32_t roll(uint64_t *state, size_t below)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (uint32_t)(*state >> 32) % (uint32_t)below;
}

static void read_seed(const char *path, struct octets *seed)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        exit(2);
    }
    seed->n = fread(seed->p, 1, ROOM, file);
    fclose(file);
}

static void change(struct octets *in, const struct octets *other, uint64_t *state)
{
    static const uint8_t telling[] = {0, 1, 0x7f, 0x80, 0xff, '\r', '\n', ' ', ':', ';', '"', '<'};
    size_t at = roll(state, in->n + 1);
    size_t span = 1 + roll(state, 16);
    span = span > in->n - at ? in->n - at : span;
    switch (roll(state, 7)) {
    case 0:
        if (at < in->n) {
            in->p[at] ^= (uint8_t)(1u << roll(state, 8));
        }
        break;
    case 1:
        if (at < in->n) {
            in->p[at] = telling[roll(state, sizeof telling)];
        }
        break;
    case 2:
        if (at < in->n) {
            in->p[at] = (uint8_t)(in->p[at] + roll(state, 9) - 4);
        }
        break;
    case 3: /* cut the end */
        in->n = at;
        break;
    case 4: /* take a piece out */
        memmove(in->p + at, in->p + at + span, in->n - at - span);
        in->n -= span;
        break;
    case 5: /* double a piece */
        if (in->n + span <= ROOM) {
            memmove(in->p + at + span, in->p + at, in->n - at);
            in->n += span;
        }
        break;
    default: /* go on with another seed */
        span = other->n > ROOM - at ? ROOM - at : other->n;
        memcpy(in->p + at, other->p, span);
        in->n = at + span;
        break;
    }
}

int main(int argc, char **argv)
{
    if (argc < 4 || argc - 3 > SEEDS_MAX) {
        fprintf(stderr, "usage: %s SECONDS INPUT SEED... (1 to %d seeds)\n", argv[0], SEEDS_MAX);
        return 2;
    }
    size_t count = (size_t)argc - 3;
    struct octets *seeds = calloc(count, sizeof *seeds);
    struct octets *input = calloc(1, sizeof *input);
    int kept = open(argv[2], O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (seeds == NULL || input == NULL || kept < 0) {
        perror(argv[2]);
        return 2;
    }
    for (size_t i = 0; i < count; i++) {
        read_seed(argv[i + 3], &seeds[i]);
    }
    uint64_t state = 0x9e3779b97f4a7c15u ^ (uint64_t)time(NULL), runs = 0;
    time_t end = time(NULL) + atoi(argv[1]);
    while (time(NULL) < end) {
        *input = seeds[runs < count ? runs : roll(&state, count)];
        for (unsigned n = runs < count ? 0 : 1 + roll(&state, 6); n > 0; n--) {
            change(input, &seeds[roll(&state, count)], &state);
        }
        if (pwrite(kept, input->p, input->n, 0) < 0 || ftruncate(kept, (off_t)input->n) != 0) {
            perror(argv[2]);
            return 2;
        }
        /* An allocation of its own length, so that the sanitizer sees the first octet too many. */
        uint8_t *exact = malloc(input->n);
        memcpy(exact, input->p, input->n);
        LLVMFuzzerTestOneInput(exact, input->n);
        free(exact);
        runs++;
    }
    printf("%llu inputs\n", (unsigned long long)runs);
    free(seeds);
    free(input);
    return 0;
}
