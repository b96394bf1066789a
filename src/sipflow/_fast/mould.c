#include "mould.h"

#include "jump.h"
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

static const char *patch_fault(const struct sf_mould *m, uint32_t octets_at, uint32_t n,
                               uint32_t patches_at, uint32_t patches_n)
{
    if (!within(octets_at, n, m->octets_n)) {
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

/* Octets of a capture time, with what is between its parts. */
static size_t time_octets(const struct sf_mould *m)
{
    return m->hep ? 14 : 8;
}

static const char *frame_fault(const struct sf_mould *m, uint32_t octets_at, uint32_t n,
                               uint32_t patches_at, uint32_t patches_n)
{
    if (!within(octets_at, n, m->octets_n) || !within(m->time_at, time_octets(m), n)) {
        return "a frame outside the octets";
    }
    return patch_fault(m, octets_at, n, patches_at, patches_n);
}

/* Every voice of a codec has frames of the length that packets have, or none has frames. */
static bool voices_fit(const struct sf_mould *m, const struct sf_role *r)
{
    const struct sf_voice *first = &m->voices[r->first_voice];
    for (size_t i = 0; i <= m->speakers; i++) {
        if ((first[i].frames == NULL) != (first->frames == NULL) ||
            (first[i].frames != NULL && first[i].samples != r->samples)) {
            return false;
        }
    }
    return true;
}

static const char *role_fault(const struct sf_mould *m, const struct sf_role *r)
{
    size_t length = m->hep ? 6 : 4;
    if (r->n > SF_TALKER_HEAD || m->time_at > UINT8_MAX ||
        r->n < m->time_at + time_octets(m) + SF_TALKER_RTP + length) {
        return "a stream's head of a size that cannot be";
    }
    if (r->begin >= m->sayings_n || r->end >= m->sayings_n ||
        m->sayings[r->begin].line != m->sayings[r->end].line) {
        return "a stream that begins or ends with no message of its line";
    }
    if (r->samples == 0 || r->samples > SF_TALKER_TAIL || r->samples % SF_TALKER_WINDOW != 0) {
        return "a packet of a length that cannot be";
    }
    if (r->quarters == 0 || r->quarters > 4 || r->speaker > SF_RINGBACK || r->ticks == 0) {
        return "a stream of no speaker, no time or no clock";
    }
    if (r->digits > SF_SCRIPT_DIGITS || r->network.jitter_us > SF_SCRIPT_JITTER_US) {
        return "more digits or jitter than a script has";
    }
    if (m->speakers < 2 || !within(r->first_voice, (size_t)m->speakers + 1, m->voices_n)) {
        return "a voice outside the bank";
    }
    return voices_fit(m, r) ? NULL : "a voice in frames of another length";
}

static const char *line_fault(const struct sf_mould *m, const struct sf_line *l)
{
    const char *fault = patch_fault(m, l->octets_at, l->n, l->patches_at, l->patches_n);
    return fault == NULL && l->n > SF_CALL_ID ? "a Call-ID that is too long" : fault;
}

const char *sf_mould_fault(const struct sf_mould *m)
{
    if (m->sayings_n == 0 || m->sayings_n > UINT16_MAX || m->roles_n > UINT16_MAX) {
        return "no message, or too many";
    }
    if (m->lines_n == 0 || m->lines_n > SF_LINES) {
        return "no line, or too many";
    }
    for (size_t i = 0; i < m->fields_n; i++) {
        if (!field_sound(&m->fields[i])) {
            return "a field whose numbers do not fit its width";
        }
    }
    for (size_t i = 0; i < m->lines_n; i++) {
        const char *fault = line_fault(m, &m->lines[i]);
        if (fault != NULL) {
            return fault;
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
        if (s->line >= m->lines_n) {
            return "a message of no line";
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
    sf_frame_stamp(dst + m->time_at, m->hep, sf_mould_time(m, call, i));
    fill(m, call->key, saying->patches_at, saying->patches_n, dst);
    return dst + saying->n;
}

/* A packet of frames begins with one. */
static uint32_t begin_of(const struct sf_voice *voice, uint32_t place)
{
    return voice->frames == NULL ? place : place - place % voice->samples;
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
    *place = begin_of(own, *place);
    return own;
}

static bool begin_script(const struct sf_role *role, const struct sf_talker *t, uint64_t chance,
                         struct sf_script *script)
{
    memset(script, 0, offsetof(struct sf_script, waiting));
    script->chance = chance;
    script->network = role->network;
    script->activity = t->activity;
    script->loop = t->loop;
    script->place = t->place;
    script->count = t->count;
    script->samples = t->samples;
    script->digits_n = role->digits;
    for (unsigned i = 0; i < role->digits; i++) {
        script->digits[i] = (uint8_t)((chance >> (4 * i) & 15) % 12); /* 0 to 9, * and # */
    }
    return sf_script_begin(script);
}

bool sf_mould_cast(const struct sf_mould *m, const struct sf_call *call, size_t i,
                   struct sf_talker *out, struct sf_script *script)
{
    const struct sf_role *role = &m->roles[i];
    uint64_t from = sf_mould_time(m, call, role->begin) + role->lag_us;
    uint64_t until = sf_mould_time(m, call, role->end);
    uint64_t interval = role->samples * 125u;
    if (until < from + interval + role->tail_us) {
        return false;
    }
    uint64_t count = (until - role->tail_us - from) * role->quarters / 4 / interval;
    if (count == 0 || count > UINT32_MAX / SF_TALKER_TAIL) {
        return false;
    }
    uint32_t place;
    const struct sf_voice *voice = voice_of(m, call->key, role, &place);
    bool framed = voice->frames != NULL || role->ticks != 1;
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
        .flags = (uint8_t)((m->hep ? SF_TALKER_HEP : 0) | (framed ? SF_TALKER_FRAMED : 0)),
        .head_octets = (uint8_t)role->n,
        .time_at = (uint8_t)m->time_at,
        .frames = voice->frames,
        .event_type = role->event_type,
        .ticks = role->ticks,
    };
    memcpy(out->head, m->octets + role->octets_at, role->n);
    fill(m, call->key, role->patches_at, role->patches_n, out->head);
    sf_store_be32(out->head + role->n - 4, out->ssrc);
    if (role->scripted) {
        uint64_t chance = sf_draw(call->key, role->draw + 3u);
        if (!begin_script(role, out, chance, script)) {
            return false;
        }
        out->activity = NULL;
        out->script = script;
        out->flags |= SF_TALKER_SCRIPTED;
    }
    return true;
}

size_t sf_mould_call_id(const struct sf_mould *m, uint64_t key, size_t line, uint8_t *dst)
{
    const struct sf_line *l = &m->lines[line];
    memcpy(dst, m->octets + l->octets_at, l->n);
    fill(m, key, l->patches_at, l->patches_n, dst);
    return l->n;
}

int32_t sf_mould_node(const struct sf_mould *m, uint64_t key, size_t line, int32_t nodes)
{
    uint8_t call_id[SF_CALL_ID];
    size_t n = sf_mould_call_id(m, key, line, call_id);
    return sf_jump(sf_slice(call_id, n), nodes);
}
