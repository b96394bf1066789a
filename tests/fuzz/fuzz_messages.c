/* Any octets are messages or an error, at any position; reading on always comes to an end. */
#include <stdlib.h>

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

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t n)
{
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
    free(content);
    return 0;
}
