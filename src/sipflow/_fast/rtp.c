#include "rtp.h"

enum sf_rtp_kind sf_rtp_kind(struct sf_slice packet)
{
    if (packet.n < 8 || packet.p[0] >> 6 != 2) {
        return SF_RTP_OTHER;
    }
    /* RTCP packet types 192..223 would be RTP types 64..95 with a marker, which nobody may use. */
    if (packet.p[1] >= 192 && packet.p[1] <= 223) {
        return SF_RTP_CONTROL;
    }
    return packet.n < SF_RTP_HEAD ? SF_RTP_OTHER : SF_RTP_PACKET;
}

bool sf_rtp_parse(struct sf_slice packet, struct sf_rtp *out)
{
    if (sf_rtp_kind(packet) != SF_RTP_PACKET) {
        return false;
    }
    struct sf_cursor c = sf_cursor(packet.p, packet.n);
    uint8_t first = sf_read_u8(&c);
    uint8_t second = sf_read_u8(&c);
    out->marker = second >> 7;
    out->payload_type = second & 0x7f;
    out->sequence = sf_read_be16(&c);
    out->timestamp = sf_read_be32(&c);
    out->ssrc = sf_read_be32(&c);
    sf_take(&c, 4u * (first & 0x0f));
    if (first & 0x10) {
        sf_read_be16(&c);
        sf_take(&c, 4u * sf_read_be16(&c));
    }
    size_t padding = first & 0x20 ? packet.p[packet.n - 1] : 0;
    if (c.bad || padding > sf_left(&c) || ((first & 0x20) && padding == 0)) {
        return false;
    }
    out->payload = sf_slice(c.p, sf_left(&c) - padding);
    return true;
}
