/*
 * Any octets are messages or an error, at any position; reading on always comes to an end. The gist
 * counts what can be read.
 */
#include <stdlib.h>

#include "gist.h"
#include "messages.h"

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t n);

static void read_all(struct sf_slice content, size_t position)
{
    struct sf_message message;
    while (sf_message_read(content, position, &message) == SF_BLOCK_OK) {
        if (message.next <= position || message.next > content.n ||
            message.payload.p + message.payload.n != content.p + message.next) {
            abort();
        }
        position = message.next;
    }
}

static void gather(struct sf_slice content, uint32_t count)
{
    struct sf_gist gist = {0};
    enum sf_block_status status = sf_gist_add(&gist, content, count);
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
    gather(sf_slice(octets, n), 1);
    read_all(sf_slice(octets, n), 0);
    read_all(sf_slice(octets, n), n / 3);
    /* The same octets as an arena: what encodes is read back whole. */
    unsigned count = n > 0 ? octets[n - 1] % 8 : 0;
    struct sf_message_entry entries[8];
    struct sf_block block;
    uint8_t *content = malloc(sf_messages_bound(n) + 1);
    if (content == NULL) {
        abort();
    }
    size_t length = sf_messages_encode(octets, n, count, entries, content, &block);
    if (length > sf_messages_bound(n)) {
        abort();
    }
    for (unsigned i = 0; length > 0 && i < count; i++) {
        struct sf_message sealed, live;
        if (sf_message_read(sf_slice(content, length), entries[i].position, &sealed) !=
                SF_BLOCK_OK ||
            !sf_message_of_arena(octets, n, entries[i].source, &live) ||
            !sf_slice_eq(sealed.payload, live.payload) ||
            !sf_slice_eq(sealed.call_id, live.call_id)) {
            abort();
        }
    }
    if (length > 0) {
        gather(sf_slice(content, length), count);
    }
    free(content);
    return 0;
}
