/* Any octets are refused by name, or are HEP whose parts lie inside them and make a sound packet;
 * cut into frames as a stream, none reaches beyond what came. */
#include <stdlib.h>

#include "hep_reader.h"
#include "unpack.h"

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

static void check_parts(struct sf_slice octets)
{
    struct sf_hep hep;
    enum sf_status status = sf_hep_parse(octets, &hep);
    expect((unsigned)status < SF_STATUS_COUNT);
    if (status == SF_OK) {
        expect(inside(hep.payload, octets) && inside(hep.correlation, octets));
        expect(inside(hep.key, octets));
        expect(hep.family == SF_IPV4 || hep.family == SF_IPV6);
        expect(hep.time_us < (UINT64_C(1) << 32) * 1000000);
    }
}

static void check_packet(struct sf_hep_reader *reader, struct sf_slice octets)
{
    struct sf_packet packet;
    sf_hep_reader_clear(reader);
    enum sf_status status = sf_hep_read(reader, octets, 1, &packet);
    expect((unsigned)status < SF_STATUS_COUNT && status != SF_HEP_KEY);
    if (status == SF_OK) {
        expect(packet.payload.n > 0 && packet.payload.n <= SF_UNPACKED_MAX);
        expect(packet.time_us > 0 && sf_utf8_valid(packet.call_id));
        expect(packet.kind == SF_RTP || packet.call_id.n == 0);
        /* Reads every octet, so that the sanitizer sees them. */
        unsigned sum = 0;
        for (size_t i = 0; i < packet.payload.n; i++) {
            sum += packet.payload.p[i];
        }
        expect(sum != 1 || packet.payload.n > 0);
    }
}

static void check_stream(struct sf_slice octets)
{
    struct sf_slice frame;
    while (sf_hep_frame(octets, &frame) == SF_OK) {
        expect(inside(frame, octets) && frame.n >= SF_HEP_HEAD);
        check_parts(frame);
        octets = sf_slice(octets.p + frame.n, octets.n - frame.n);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t n)
{
    static struct sf_hep_reader *reader;
    if (reader == NULL) {
        reader = sf_hep_reader_new(sf_slice(NULL, 0));
        expect(reader != NULL);
    }
    check_parts(sf_slice(octets, n));
    check_packet(reader, sf_slice(octets, n));
    check_stream(sf_slice(octets, n));
    return 0;
}
