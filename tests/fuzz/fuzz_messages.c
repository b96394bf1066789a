/*
 * Any octets are messages or an error, at any position; reading on always comes to an end. The gist
 * counts what can be read.
 */
#include <stdlib.h>

#include "gist.h"
#include "lift.h"
#include "messages.h"

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t n);

static void read_all(struct sf_slice content, enum sf_block_transform transform)
{
    struct sf_messages messages;
    struct sf_message message;
    size_t position = 0, count = 0;
    if (sf_messages_open(content, transform, &messages) != SF_BLOCK_OK) {
        return;
    }
    bool within = transform == SF_TRANSFORM_NONE;
    for (; sf_messages_next(&messages, &message); count++) {
        if (message.position < position || message.call_id.p < content.p ||
            message.call_id.p + message.call_id.n > content.p + content.n) {
            abort();
        }
        position = within ? message.position + 1 : message.position + message.payload.n + 1;
    }
    if (count != messages.count || (!within && count > 0 && position != content.n)) {
        abort();
    }
}

/* What can be lifted is an arena of so many messages. */
static void lift(struct sf_slice content, enum sf_block_transform transform, struct sf_run run)
{
    struct sf_octets arena = {0};
    uint64_t end;
    if (sf_lift(content, transform, &run, 1, &arena, &end) == SF_BLOCK_OK) {
        struct sf_cursor c = sf_cursor(arena.p, arena.n);
        struct sf_arena_message message;
        for (uint32_t i = 0; i < run.messages; i++) {
            if (!sf_arena_next(&c, &message)) {
                abort();
            }
        }
        if (end != arena.n || sf_left(&c) > 0) {
            abort();
        }
    }
    sf_octets_free(&arena);
}

static void gather(struct sf_slice content, uint32_t count)
{
    struct sf_gist gist = {0};
    enum sf_block_status status = sf_gist_add(&gist, content, SF_TRANSFORM_HEADS, count);
    size_t messages = 0;
    for (size_t i = 0; i < gist.call_count; i++) {
        const struct sf_call_gist *call = sf_gist_call(&gist, i);
        if (call->message != messages ||
            sf_gist_digest(&gist, call).sip_messages != call->messages) {
            abort();
        }
        messages += call->messages;
    }
    if (messages != gist.message_count || messages != (status == SF_BLOCK_OK ? count : 0)) {
        abort();
    }
    sf_gist_clear(&gist);
}

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t n)
{
    lift(sf_slice(octets, n), SF_TRANSFORM_NONE, (struct sf_run){0, 1 + n % 3});
    lift(sf_slice(octets, n), SF_TRANSFORM_HEADS, (struct sf_run){(uint32_t)n / 2, 1 + n % 3});
    gather(sf_slice(octets, n), 1);
    read_all(sf_slice(octets, n), SF_TRANSFORM_HEADS);
    read_all(sf_slice(octets, n), SF_TRANSFORM_NONE);
    /* The same octets as an arena: what encodes is read back whole. */
    unsigned count = n > 0 ? octets[n - 1] % 8 : 0;
    struct sf_message_entry entries[8];
    struct sf_block block;
    size_t payload_at;
    uint8_t *content = malloc(sf_messages_bound(n) + 1);
    if (content == NULL) {
        abort();
    }
    size_t length = sf_messages_encode(octets, n, count, entries, content, &block, &payload_at);
    if (length > sf_messages_bound(n)) {
        abort();
    }
    for (unsigned i = 0; length > 0 && i < count; i++) {
        struct sf_message sealed, live;
        if (sf_message_at(sf_slice(content, length), SF_TRANSFORM_HEADS, entries[i].position,
                          &sealed) != SF_BLOCK_OK ||
            !sf_message_of_arena(octets, n, entries[i].source, &live) ||
            !sf_slice_eq(sealed.payload, live.payload) ||
            !sf_slice_eq(sealed.call_id, live.call_id)) {
            abort();
        }
    }
    if (length > 0) {
        gather(sf_slice(content, length), count);
        lift(sf_slice(content, length), SF_TRANSFORM_HEADS,
             (struct sf_run){entries[0].position, 1});
    }
    free(content);
    return 0;
}
