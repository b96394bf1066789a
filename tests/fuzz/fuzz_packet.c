/* Any octets are refused by name, or are frames that lie inside them and are written again as they
 * were. */
#include <stdlib.h>

#include "packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t n);

static void expect(bool holds)
{
    if (!holds) {
        abort();
    }
}

static bool inside(struct sf_slice part, struct sf_slice whole)
{
    return part.n == 0 || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n);
}

static void check_frame(struct sf_slice frame)
{
    struct sf_packet packet, again;
    if (sf_packet_parse(frame, &packet) != SF_OK) {
        return;
    }
    unsigned version = frame.p[2];
    size_t size = sf_packet_size(&packet, version);
    expect(inside(packet.call_id, frame) && inside(packet.payload, frame));
    expect(sf_utf8_valid(packet.call_id) && size >= SF_FRAME_MIN && size <= frame.n);
    uint8_t *written = malloc(size);
    expect(written != NULL && sf_packet_encode(&packet, version, written) == written + size);
    expect(memcmp(written, frame.p, size) == 0);
    expect(sf_packet_parse(sf_slice(written, size), &again) == SF_OK);
    expect(again.time_us == packet.time_us && again.leg == packet.leg);
    expect(sf_slice_eq(again.call_id, packet.call_id) &&
           sf_slice_eq(again.payload, packet.payload));
    free(written);
}

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t n)
{
    struct sf_slice whole = sf_slice(octets, n), frame;
    struct sf_datagram datagram;
    enum sf_status status = sf_datagram_open(whole, &datagram);
    expect((unsigned)status < SF_STATUS_COUNT);
    if (status == SF_OK) {
        unsigned promised = datagram.left, found = 0;
        while (sf_datagram_next(&datagram, &frame)) {
            expect(inside(frame, whole));
            check_frame(frame);
            found++;
        }
        expect(found == promised && !datagram.rest.bad && sf_left(&datagram.rest) == 0);
    }
    check_frame(whole);
    return 0;
}
