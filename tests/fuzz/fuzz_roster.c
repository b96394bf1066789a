/* Any octets as a SIP chunk: every message is of one call, and the calls come in order. */
#include <stdlib.h>

#include "roster.h"

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t n)
{
    struct sf_roster *roster = sf_roster_new(NULL);
    uint32_t calls[64], messages = 0, whole = 0;
    /* Twice, and with heads once. */
    if (roster == NULL || !sf_roster_add(roster, 0, 1, sf_slice(octets, n), 64, false) ||
        !sf_roster_add(roster, 1, 2, sf_slice(octets, n), 64, true) || !sf_roster_sort(roster)) {
        abort();
    }
    struct sf_cursor c = sf_cursor(octets, n);
    for (struct sf_arena_message message; whole < 64 && sf_arena_next(&c, &message);) {
        whole++;
    }
    uint32_t count = sf_roster_newest(roster, 0, sf_slice(NULL, 0), calls, 64);
    for (uint32_t i = 0; i < count; i++) {
        struct sf_roster_call call = sf_roster_call(roster, calls[i]);
        const uint8_t *name = call.call_id.n > 0 ? call.call_id.p : octets;
        uint32_t next;
        messages += call.messages;
        if (call.first_us > call.last_us || sf_roster_find(roster, call.call_id) != calls[i] ||
            sf_roster_newest(roster, call.first_us, sf_slice(name, call.call_id.n), &next, 1) !=
                (i + 1 < count) ||
            (i + 1 < count && next != calls[i + 1])) {
            abort();
        }
    }
    if (count != sf_roster_count(roster) || messages != 2 * whole) {
        abort();
    }
    sf_roster_free(roster);
    return 0;
}
