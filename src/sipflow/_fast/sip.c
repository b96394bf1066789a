#include "sip.h"

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

/* What separates words in a value that may be folded. */
static bool is_space(uint8_t c)
{
    return is_blank(c) || c == '\r' || c == '\n';
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

static bool same_name(struct sf_slice a, const char *name)
{
    size_t i = 0;
    for (; i < a.n && name[i] != '\0'; i++) {
        if (lower(a.p[i]) != (uint8_t)name[i]) {
            return false;
        }
    }
    return i == a.n && name[i] == '\0';
}

static struct sf_slice trim(struct sf_slice s)
{
    while (s.n > 0 && is_space(s.p[0])) {
        s.p++;
        s.n--;
    }
    while (s.n > 0 && is_space(s.p[s.n - 1])) {
        s.n--;
    }
    return s;
}

/* Takes one line without its end (LF, or CR LF). */
static struct sf_slice take_line(struct sf_slice *rest)
{
    const uint8_t *lf = rest->n > 0 ? memchr(rest->p, '\n', rest->n) : NULL;
    size_t whole = lf == NULL ? rest->n : (size_t)(lf - rest->p) + 1;
    struct sf_slice line = sf_slice(rest->p, whole - (lf != NULL));
    if (lf != NULL && line.n > 0 && line.p[line.n - 1] == '\r') {
        line.n--;
    }
    rest->p += whole;
    rest->n -= whole;
    return line;
}

/* Takes a header with its folded lines (RFC 3261, 7.3.1); false at the empty line or the end. */
static bool take_header(struct sf_slice *rest, struct sf_slice *name, struct sf_slice *value)
{
    for (;;) {
        if (rest->n == 0) {
            return false;
        }
        struct sf_slice line = take_line(rest);
        if (line.n == 0) {
            return false;
        }
        while (rest->n > 0 && is_blank(rest->p[0])) {
            struct sf_slice more = take_line(rest);
            line.n = (size_t)(more.p + more.n - line.p);
        }
        const uint8_t *colon = memchr(line.p, ':', line.n);
        if (colon == NULL || is_blank(line.p[0])) {
            continue;
        }
        *name = trim(sf_slice(line.p, (size_t)(colon - line.p)));
        *value = trim(sf_slice(colon + 1, (size_t)(line.p + line.n - colon) - 1));
        return true;
    }
}

/* Takes what stands before the next white space, and that space. */
static struct sf_slice take_word(struct sf_slice *rest)
{
    size_t n = 0;
    while (n < rest->n && !is_space(rest->p[n])) {
        n++;
    }
    struct sf_slice word = sf_slice(rest->p, n);
    while (n < rest->n && is_space(rest->p[n])) {
        n++;
    }
    rest->p += n;
    rest->n -= n;
    return word;
}

static bool is_token(struct sf_slice s)
{
    static const char extra[] = "-.!%*_+`'~";
    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = lower(s.p[i]);
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') &&
            (c == '\0' || strchr(extra, c) == NULL)) {
            return false;
        }
    }
    return s.n > 0;
}

static bool is_version(struct sf_slice s)
{
    return same_name(s, "sip/2.0");
}

static bool read_digits(struct sf_slice s, uint32_t *out)
{
    uint64_t value = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9' || value > UINT32_MAX) {
            return false;
        }
        value = value * 10 + (uint64_t)(s.p[i] - '0');
    }
    *out = (uint32_t)value;
    return s.n > 0 && value <= UINT32_MAX;
}

static bool read_start_line(struct sf_slice line, struct sf_sip *out)
{
    struct sf_slice rest = line;
    struct sf_slice first = take_word(&rest);
    if (is_version(first)) {
        uint32_t status = 0;
        struct sf_slice code = take_word(&rest);
        out->is_response = code.n == 3 && read_digits(code, &status) && status >= 100;
        if (out->is_response) {
            out->status = status;
            out->reason = trim(rest);
        }
        return out->is_response;
    }
    /* The URI may hold blanks in broken messages: the version is the last word. */
    rest = trim(rest);
    size_t version = rest.n;
    while (version > 0 && !is_blank(rest.p[version - 1])) {
        version--;
    }
    if (version == 0 || !is_token(first) ||
        !is_version(sf_slice(rest.p + version, rest.n - version))) {
        return false;
    }
    out->is_request = true;
    out->method = first;
    out->uri = trim(sf_slice(rest.p, version));
    return true;
}

/* Moves past a quoted string that starts at s[at]; gives the place behind it. */
static size_t skip_quoted(struct sf_slice s, size_t at)
{
    for (at++; at < s.n && s.p[at] != '"'; at++) {
        at += s.p[at] == '\\';
    }
    return at < s.n ? at + 1 : s.n;
}

static struct sf_slice user_of(struct sf_slice uri)
{
    if (uri.n == 0) {
        return uri;
    }
    const uint8_t *colon = memchr(uri.p, ':', uri.n);
    const uint8_t *at = memchr(uri.p, '@', uri.n);
    struct sf_slice rest = uri;
    /* `alice@host` without a scheme is not a URI, but devices send it. */
    if (colon != NULL && (at == NULL || colon < at)) {
        rest = sf_slice(colon + 1, (size_t)(uri.p + uri.n - colon) - 1);
    }
    if (same_name(sf_slice(uri.p, (size_t)(rest.p - uri.p)), "tel:")) {
        const uint8_t *semicolon = memchr(rest.p, ';', rest.n);
        return sf_slice(rest.p, semicolon == NULL ? rest.n : (size_t)(semicolon - rest.p));
    }
    if (at == NULL) {
        return sf_slice(NULL, 0);
    }
    const uint8_t *password = memchr(rest.p, ':', (size_t)(at - rest.p));
    return sf_slice(rest.p, (size_t)((password == NULL ? at : password) - rest.p));
}

/*
 * Finds `;name=value` from `at` on, outside quotes and before the comma that begins the next
 * value of a list; empty when it is not there.
 */
static struct sf_slice parameter(struct sf_slice s, size_t at, const char *wanted)
{
    while (at < s.n) {
        if (s.p[at] == '"') {
            at = skip_quoted(s, at);
            continue;
        }
        if (s.p[at] == ',') {
            break;
        }
        if (s.p[at++] != ';') {
            continue;
        }
        size_t start = at;
        while (at < s.n && s.p[at] != ';' && s.p[at] != '=' && s.p[at] != ',') {
            at++;
        }
        struct sf_slice name = trim(sf_slice(s.p + start, at - start));
        if (at == s.n || s.p[at] != '=' || !same_name(name, wanted)) {
            continue;
        }
        at++;
        while (at < s.n && is_space(s.p[at])) {
            at++;
        }
        start = at;
        while (at < s.n && s.p[at] != ';' && s.p[at] != ',' && s.p[at] != '>' &&
               !is_space(s.p[at])) {
            at++;
        }
        return sf_slice(s.p + start, at - start);
    }
    return sf_slice(NULL, 0);
}

/* From, To: name-addr or addr-spec with parameters (RFC 3261, 20.10). */
static struct sf_sip_party read_party(struct sf_slice value)
{
    struct sf_sip_party party = {.uri = {NULL, 0}};
    size_t at = 0;
    while (at < value.n && value.p[at] != '<') {
        at = value.p[at] == '"' ? skip_quoted(value, at) : at + 1;
    }
    if (at >= value.n && value.n > 0 && value.p[0] == '"') {
        /* A display name whose closing quote is missing (RFC 4475, 3.1.2.6). */
        const uint8_t *bracket = memchr(value.p, '<', value.n);
        at = bracket == NULL ? value.n : (size_t)(bracket - value.p);
    }
    if (at < value.n) {
        size_t start = ++at;
        while (at < value.n && value.p[at] != '>') {
            at++;
        }
        party.uri = trim(sf_slice(value.p + start, at - start));
    } else {
        /* Without brackets, parameters belong to the header, not to the URI. */
        at = 0;
        while (at < value.n && value.p[at] != ';') {
            at++;
        }
        party.uri = trim(sf_slice(value.p, at));
    }
    party.user = user_of(party.uri);
    party.tag = parameter(value, at, "tag");
    return party;
}

static void read_cseq(struct sf_slice value, struct sf_sip *out)
{
    struct sf_slice rest = value;
    struct sf_slice number = take_word(&rest);
    out->has_cseq = read_digits(number, &out->cseq);
    out->cseq_method = take_word(&rest);
}

/* An id holds no line end: it stops with the line it starts on, folded lines or not. */
static struct sf_slice id_of(struct sf_slice value)
{
    const uint8_t *lf = value.n > 0 ? memchr(value.p, '\n', value.n) : NULL;
    return lf == NULL ? value : trim(sf_slice(value.p, (size_t)(lf - value.p)));
}

/* Which header a name means; compact forms of RFC 3261, 7.3.3. */
enum header {
    OTHER,
    CALL_ID,
    FROM,
    TO,
    CSEQ,
    VIA,
    USER_AGENT,
    SERVER,
    CONTENT_TYPE,
    CONTENT_LENGTH,
    HEADERS
};

static enum header header_of(struct sf_slice name)
{
    /* By length first: most headers are none of these. */
    switch (name.n) {
    case 1:
        switch (lower(name.p[0])) {
        case 'i':
            return CALL_ID;
        case 'f':
            return FROM;
        case 't':
            return TO;
        case 'v':
            return VIA;
        case 'c':
            return CONTENT_TYPE;
        case 'l':
            return CONTENT_LENGTH;
        default:
            return OTHER;
        }
    case 2:
        return same_name(name, "to") ? TO : OTHER;
    case 3:
        return same_name(name, "via") ? VIA : OTHER;
    case 4:
        return same_name(name, "from") ? FROM : same_name(name, "cseq") ? CSEQ : OTHER;
    case 6:
        return same_name(name, "server") ? SERVER : OTHER;
    case 7:
        return same_name(name, "call-id") ? CALL_ID : OTHER;
    case 10:
        return same_name(name, "user-agent") ? USER_AGENT : OTHER;
    case 12:
        return same_name(name, "content-type") ? CONTENT_TYPE : OTHER;
    case 14:
        return same_name(name, "content-length") ? CONTENT_LENGTH : OTHER;
    default:
        return OTHER;
    }
}

static void read_header(enum header header, struct sf_slice value, struct sf_sip *out)
{
    switch (header) {
    case CALL_ID:
        out->has_call_id = true;
        out->call_id = id_of(value);
        break;
    case FROM:
        out->from = read_party(value);
        break;
    case TO:
        out->to = read_party(value);
        break;
    case CSEQ:
        read_cseq(value, out);
        break;
    case VIA:
        out->branch = parameter(value, 0, "branch");
        break;
    case SERVER:
        if (out->user_agent.n == 0) {
            out->user_agent = value;
        }
        break;
    case USER_AGENT:
        out->user_agent = value;
        break;
    case CONTENT_TYPE:
        out->content_type = value;
        break;
    case CONTENT_LENGTH:
        out->has_content_length = read_digits(value, &out->content_length);
        break;
    default:
        break;
    }
}

/* Keep-alives may stand before the start line (RFC 3261, 7.5). */
static struct sf_slice skip_empty_lines(struct sf_slice message)
{
    while (message.n > 0 && (message.p[0] == '\r' || message.p[0] == '\n')) {
        message.p++;
        message.n--;
    }
    return message;
}

/*
 * Takes the start line, if it is one; otherwise the headers begin at once, as in a message
 * whose start was lost.
 */
static bool take_start(struct sf_slice *rest, struct sf_sip *out)
{
    *rest = skip_empty_lines(*rest);
    struct sf_slice behind = *rest;
    if (rest->n == 0 || !read_start_line(take_line(&behind), out)) {
        return false;
    }
    *rest = behind;
    return true;
}

bool sf_sip_scan(struct sf_slice message, struct sf_sip *out)
{
    *out = (struct sf_sip){.body = message.n};
    struct sf_slice rest = message;
    bool good = take_start(&rest, out);
    bool seen[HEADERS] = {false};
    struct sf_slice name, value;
    while (take_header(&rest, &name, &value)) {
        enum header header = header_of(name);
        if (header != OTHER && !seen[header]) {
            seen[header] = true;
            read_header(header, value, out);
        }
    }
    out->body = message.n - rest.n;
    return good;
}

bool sf_sip_call_id(struct sf_slice message, struct sf_slice *out)
{
    struct sf_sip start;
    struct sf_slice rest = message;
    struct sf_slice name, value;
    take_start(&rest, &start);
    while (take_header(&rest, &name, &value)) {
        if (header_of(name) == CALL_ID) {
            *out = id_of(value);
            return true;
        }
    }
    return false;
}

bool sf_sip_looks_like(struct sf_slice octets)
{
    struct sf_sip start;
    struct sf_slice rest = octets;
    return take_start(&rest, &start);
}
