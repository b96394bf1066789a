#include "mould.h"

#include "packet.h"

/* The octets of a field as a number of sixteen, the last one lowest: what comes from memory in
 * other pieces than it went there would have to wait for the store. */
struct text {
    uint64_t high;
    uint64_t low;
};

/* Eight hexadecimal digits, the first one in the top octet. */
static inline uint64_t spell_hex(uint32_t value)
{
    uint64_t x = value;
    x = (x << 16 | x) & 0x0000ffff0000ffffu;
    x = (x << 8 | x) & 0x00ff00ff00ff00ffu;
    x = (x << 4 | x) & 0x0f0f0f0f0f0f0f0fu;
    uint64_t letters = (x + 0x0606060606060606u) >> 4 & 0x0101010101010101u;
    return x + 0x3030303030303030u + letters * ('a' - '0' - 10);
}

/* Eight decimal digits of a number below 10^8: halves, quarters and digits by turns, all lanes at
 * once; the factors stand for division by 100 and by 10. */
static inline uint64_t spell_decimal(uint32_t value)
{
    uint64_t x = (uint64_t)(value / 10000) << 32 | value % 10000;
    uint64_t quotient = x * 10486 >> 20 & 0x0000007f0000007fu;
    x = (quotient << 16) + x - 100 * quotient;
    quotient = x * 103 >> 10 & 0x000f000f000f000fu;
    x = (quotient << 8) + x - 10 * quotient;
    return x + 0x3030303030303030u;
}

static inline struct text spell(const struct sf_field *field, uint64_t key)
{
    uint64_t drawn = sf_draw(key, field->draw);
    uint64_t value = field->count == 0 ? drawn >> (64 - 4 * field->width)
                                       : field->low + (uint64_t)field->step *
                                                          ((drawn >> 32) * field->count >> 32);
    if (field->form == SF_HEX) {
        return (struct text){spell_hex((uint32_t)(value >> 32)), spell_hex((uint32_t)value)};
    }
    if (field->form == SF_DECIMAL) {
        return (struct text){spell_decimal((uint32_t)(value / 100000000)),
                             spell_decimal((uint32_t)(value % 100000000))};
    }
    return (struct text){0, value};
}

/* Writes the last `n` octets of a text, 1 to 16: a piece from the front and one from the back. */
static inline void put(uint8_t *dst, struct text text, unsigned n)
{
    if (n > 8) {
        sf_store_be64(dst, text.high << (8 * (16 - n)) | (n < 16 ? text.low >> (8 * (n - 8)) : 0));
        sf_store_be64(dst + n - 8, text.low);
    } else if (n == 8) {
        sf_store_be64(dst, text.low);
    } else if (n >= 4) {
        sf_store_be32(dst, (uint32_t)(text.low >> (8 * (n - 4))));
        sf_store_be32(dst + n - 4, (uint32_t)text.low);
    } else if (n >= 2) {
        sf_store_be16(dst, (uint16_t)(text.low >> (8 * (n - 2))));
        sf_store_be16(dst + n - 2, (uint16_t)text.low);
    } else {
        *dst = (uint8_t)text.low;
    }
}

static void fill(const struct sf_mould *m, uint64_t key, uint32_t patches_at, uint32_t patches_n,
                 uint8_t *dst)
{
    const struct sf_patch *patch = m->patches + patches_at;
    const struct sf_patch *end = patch + patches_n;
    while (patch < end) {
        uint16_t field = patch->field;
        unsigned width = m->fields[field].width;
        struct text text = spell(&m->fields[field], key);
        do {
            put(dst + patch->at, text, width);
            patch++;
        } while (patch < end && patch->field == field);
    }
}

/* Numbers that do not fit their width would be cut. */
static bool field_sound(const struct sf_field *f)
{
    uint64_t most = f->low + (uint64_t)f->step * (f->count == 0 ? 0 : f->count - 1);
    uint64_t limit = 1;
    unsigned widest = f->form == SF_BINARY ? 8 : SF_FIELD_WIDTH;
    if (f->form > SF_BINARY || f->width == 0 || f->width > widest) {
        return false;
    }
    if (f->count == 0) {
        return f->form == SF_HEX;
    }
    for (unsigned i = 0; i < f->width && limit <= most; i++) {
        if (limit > UINT64_MAX / 256) {
            return true;
        }
        limit *= f->form == SF_HEX ? 16 : f->form == SF_DECIMAL ? 10 : 256;
    }
    return most < limit;
}

static bool within(size_t at, size_t n, size_t all)
{
    return at <= all && n <= all - at;
}

static const char *frame_fault(const struct sf_mould *m, uint32_t octets_at, uint32_t n,
                               uint32_t patches_at, uint32_t patches_n)
{
    if (!within(octets_at, n, m->octets_n) || !within(m->time_at, 8, n)) {
        return "a frame outside the octets";
    }
    if (!within(patches_at, patches_n, m->patches_n)) {
        return "patches outside their array";
    }
    for (uint32_t i = patches_at; i < patches_at + patches_n; i++) {
        const struct sf_patch *patch = &m->patches[i];
        if (patch->field >= m->fields_n) {
            return "a patch without a field";
        }
        if (!within(patch->at, m->fields[patch->field].width, n)) {
            return "a hole outside its frame";
        }
    }
    return NULL;
}

static const char *role_fault(const struct sf_mould *m, const struct sf_role *r)
{
    if (r->n > SF_TALKER_HEAD || r->n < m->time_at + 8 + SF_TALKER_RTP + 4) {
        return "a stream's head of a size that cannot be";
    }
    if (r->begin >= m->sayings_n || r->end >= m->sayings_n) {
        return "a stream that begins or ends with no message";
    }
    if (r->samples == 0 || r->samples > SF_TALKER_TAIL || r->samples % SF_TALKER_WINDOW != 0) {
        return "a packet of a length that cannot be";
    }
    if (r->quarters == 0 || r->quarters > 4 || r->speaker > SF_RINGBACK) {
        return "a stream of no speaker or no time";
    }
    if (m->speakers < 2 || !within(r->first_voice, (size_t)m->speakers + 1, m->voices_n)) {
        return "a voice outside the bank";
    }
    return NULL;
}

const char *sf_mould_fault(const struct sf_mould *m)
{
    if (m->sayings_n == 0 || m->sayings_n > UINT16_MAX || m->roles_n > UINT16_MAX) {
        return "no message, or too many";
    }
    for (size_t i = 0; i < m->fields_n; i++) {
        if (!field_sound(&m->fields[i])) {
            return "a field whose numbers do not fit its width";
        }
    }
    for (size_t i = 0; i < m->sayings_n; i++) {
        const struct sf_saying *s = &m->sayings[i];
        const char *fault = frame_fault(m, s->octets_at, s->n, s->patches_at, s->patches_n);
        if (fault != NULL) {
            return fault;
        }
        if (s->n > SF_DATAGRAM_MAX - SF_BATCH_HEAD - 4) {
            return "a message that no datagram holds";
        }
    }
    for (size_t i = 0; i < m->roles_n; i++) {
        const struct sf_role *r = &m->roles[i];
        const char *fault = frame_fault(m, r->octets_at, r->n, r->patches_at, r->patches_n);
        if (fault == NULL) {
            fault = role_fault(m, r);
        }
        if (fault != NULL) {
            return fault;
        }
    }
    return NULL;
}

uint64_t sf_mould_time(const struct sf_mould *m, const struct sf_call *call, size_t i)
{
    const struct sf_moment *when = &m->sayings[i].when;
    uint64_t tempo = 49152 + (sf_draw(call->key, SF_DRAW_TEMPO) >> 49);
    uint64_t reach = when->at_us * tempo >> 16;
    uint64_t most = call->span_us * when->share >> 16;
    if (reach > most) {
        reach = most;
    }
    return when->from_end ? call->start_us + call->span_us - reach : call->start_us + reach;
}

uint8_t *sf_mould_write(const struct sf_mould *m, const struct sf_call *call, size_t i,
                        uint8_t *dst)
{
    const struct sf_saying *saying = &m->sayings[i];
    memcpy(dst, m->octets + saying->octets_at, saying->n);
    sf_store_be64(dst + m->time_at, sf_mould_time(m, call, i));
    fill(m, call->key, saying->patches_at, saying->patches_n, dst);
    return dst + saying->n;
}

/* Both parties read one place of the loop, half a loop apart, so that they take turns. */
static const struct sf_voice *voice_of(const struct sf_mould *m, uint64_t key,
                                       const struct sf_role *role, uint32_t *place)
{
    const struct sf_voice *ringback = &m->voices[role->first_voice];
    *place = 0;
    if (role->speaker == SF_RINGBACK) {
        return ringback;
    }
    uint32_t number = sf_draw_below(key, SF_DRAW_VOICE, m->speakers);
    const struct sf_voice *own = ringback + 1 + number;
    *place = sf_draw_below(key, SF_DRAW_PLACE, own->loop);
    if (role->speaker == SF_OTHER) {
        number += 1 + sf_draw_below(key, SF_DRAW_OTHER, m->speakers - 1);
        own = ringback + 1 + number % m->speakers;
        *place = (*place + own->loop / 2) % own->loop;
    }
    return own;
}

bool sf_mould_cast(const struct sf_mould *m, const struct sf_call *call, size_t i,
                   struct sf_talker *out)
{
    const struct sf_role *role = &m->roles[i];
    uint64_t from = sf_mould_time(m, call, role->begin) + role->lag_us;
    uint64_t until = sf_mould_time(m, call, role->end);
    uint64_t interval = role->samples * 125u;
    if (until < from + interval) {
        return false;
    }
    uint64_t count = (until - from) * role->quarters / 4 / interval;
    if (count == 0 || count > UINT32_MAX) {
        return false;
    }
    uint32_t place;
    const struct sf_voice *voice = voice_of(m, call->key, role, &place);
    *out = (struct sf_talker){
        .audio = voice->audio,
        .activity = role->suppressed ? voice->activity : NULL,
        .capture_us = from,
        .count = (uint32_t)count,
        .loop = voice->loop,
        .place = place,
        .ssrc = (uint32_t)(sf_draw(call->key, role->draw) >> 32),
        .sequence = (uint16_t)(sf_draw(call->key, role->draw + 1u) >> 48),
        .timestamp = (uint32_t)(sf_draw(call->key, role->draw + 2u) >> 32),
        .samples = role->samples,
        .type = 0x80 | role->payload_type,
        .head_octets = (uint8_t)role->n,
        .time_at = (uint8_t)m->time_at,
    };
    memcpy(out->head, m->octets + role->octets_at, role->n);
    fill(m, call->key, role->patches_at, role->patches_n, out->head);
    sf_store_be32(out->head + role->n - 4, out->ssrc);
    return true;
}
