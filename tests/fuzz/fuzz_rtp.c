/* Any octets are RTP with a payload behind the fixed header, RTCP, or something else, and only one
 * of them. */
#include <stdlib.h>

#include "rtp.h"

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t n);

static void expect(bool holds)
{
    if (!holds) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t n)
{
    struct sf_slice packet = sf_slice(octets, n);
    enum sf_rtp_kind kind = sf_rtp_kind(packet);
    struct sf_rtp rtp;
    bool sound = sf_rtp_parse(packet, &rtp);
    expect(!sound || kind == SF_RTP_PACKET);
    expect(kind == SF_RTP_OTHER || (n >= 8 && octets[0] >> 6 == 2));
    expect(kind != SF_RTP_PACKET || n >= SF_RTP_HEAD);
    if (sound) {
        size_t at = (size_t)(rtp.payload.p - octets);
        expect(at >= SF_RTP_HEAD + 4u * (octets[0] & 15) && at <= n && rtp.payload.n <= n - at);
        expect(rtp.payload_type < 128 && rtp.sequence == sf_load_be16(octets + 2));
        size_t padding = n - at - rtp.payload.n;
        expect(padding == (octets[0] & 0x20 ? octets[n - 1] : 0));
    }
    return 0;
}
