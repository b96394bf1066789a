/*
 * Input that ends where readable memory ends: a read of one octet too many stops the test
 * under any compiler, with or without a sanitizer. The copy is read-only as well.
 *
 * Owns:    the pages; each call of guarded() ends the life of the copy before.
 * Lends:   the copy,
 * Until:   the next guarded().
 * Threads: one.
 */
#ifndef SF_TEST_GUARD_H
#define SF_TEST_GUARD_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cursor.h"

#define GUARD_ROOM (1u << 17)

static inline struct sf_slice guarded(const void *octets, size_t n)
{
    static uint8_t *pages;
    if (pages == NULL) {
        size_t page = (size_t)sysconf(_SC_PAGESIZE);
        pages = mmap(NULL, GUARD_ROOM + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                     -1, 0);
        if (pages == MAP_FAILED || mprotect(pages + GUARD_ROOM, page, PROT_NONE) != 0) {
            perror("guard page");
            exit(1);
        }
    }
    if (n > GUARD_ROOM || mprotect(pages, GUARD_ROOM, PROT_READ | PROT_WRITE) != 0) {
        fprintf(stderr, "guarded: %zu octets do not fit\n", n);
        exit(1);
    }
    uint8_t *at = pages + GUARD_ROOM - n;
    if (n > 0) {
        memcpy(at, octets, n);
    }
    mprotect(pages, GUARD_ROOM, PROT_READ);
    return sf_slice(at, n);
}

/* Like assert, but never compiled out. */
#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static inline struct sf_slice text_slice(const char *text)
{
    return sf_slice(text, strlen(text));
}

#define CHECK_TEXT(slice, text)                                                                    \
    do {                                                                                           \
        struct sf_slice got_ = (slice);                                                            \
        if (!sf_slice_eq(got_, text_slice(text))) {                                                \
            fprintf(stderr, "%s:%d: %s is \"%.*s\", not \"%s\"\n", __FILE__, __LINE__, #slice,     \
                    (int)got_.n, (const char *)got_.p, text);                                      \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

/* True when `part` is empty or lies inside `whole`. */
static inline bool lies_inside(struct sf_slice part, struct sf_slice whole)
{
    return part.n == 0 || (part.p >= whole.p && part.n <= whole.n &&
                           (size_t)(part.p - whole.p) <= whole.n - part.n);
}

/* Octets from hex digits; blanks between them are skipped. */
static inline size_t unhex(const char *hex, uint8_t *out)
{
    size_t n = 0;
    for (int half = -1; *hex != '\0'; hex++) {
        if (*hex == ' ' || *hex == '\n') {
            continue;
        }
        int digit = *hex <= '9' ? *hex - '0' : *hex - 'a' + 10;
        if (half < 0) {
            half = digit;
        } else {
            out[n++] = (uint8_t)(half << 4 | digit);
            half = -1;
        }
    }
    return n;
}

/* A small random source of our own, so that a failure can be repeated. */
static inline uint32_t roll(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (uint32_t)(*state >> 32);
}

#endif
