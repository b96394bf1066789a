/* What is remembered is found, and only that; what is longest unused goes first; nothing leaks or
 * is used after. */
#include "callbook.h"
#include "guard.h"
#include "hash.h"

static struct sf_slice named(char *room, unsigned number)
{
    return sf_slice(room, (size_t)snprintf(room, 32, "call-%u", number));
}

static uint64_t hash_of(struct sf_slice call_id)
{
    return sf_hash(call_id.p, call_id.n, 0);
}

static struct sf_known_call *find(struct sf_callbook *book, unsigned number)
{
    char room[32];
    struct sf_slice call_id = named(room, number);
    return sf_callbook_find(book, call_id, hash_of(call_id));
}

static struct sf_known_call *add(struct sf_callbook *book, unsigned number)
{
    char room[32];
    struct sf_slice call_id = named(room, number);
    struct sf_known_call *call = sf_callbook_add(book, call_id, hash_of(call_id));
    CHECK(call != NULL);
    call->id = number;
    return call;
}

static void the_longest_unused_is_forgotten_first(void)
{
    enum { MANY = 40000 };
    struct sf_callbook book;
    CHECK(sf_callbook_init(&book, true));
    sf_callbook_turn(&book);
    for (unsigned i = 0; i < MANY; i++) {
        CHECK(find(&book, i) == NULL);
        add(&book, i);
    }
    sf_callbook_turn(&book);
    /* Used again, so younger than all others. */
    CHECK(find(&book, 0)->id == 0 && find(&book, 0)->id == 0);
    sf_callbook_trim(&book);
    CHECK(book.call_count < MANY && book.call_count > MANY / 2);
    CHECK(find(&book, 0) != NULL && find(&book, 1) == NULL &&
          find(&book, MANY - 1)->id == MANY - 1);
    char room[32];
    unsigned in_vain = 0;
    for (unsigned i = 0; i < MANY; i++) {
        CHECK(sf_callbook_may_know(&book, hash_of(named(room, i)))); /* forgotten or not */
        in_vain += sf_callbook_may_know(&book, hash_of(named(room, MANY + i)));
    }
    CHECK(in_vain < MANY / 1000);
    sf_callbook_forget_all(&book);
    CHECK(book.call_count == 0 && book.octets == 0 && find(&book, 0) == NULL);
    CHECK(sf_callbook_may_know(&book, hash_of(named(room, 7))));
    sf_callbook_free(&book);
    /* Of a database that holds calls already, none is ruled out. */
    CHECK(sf_callbook_init(&book, false));
    CHECK(sf_callbook_may_know(&book, hash_of(named(room, 7))));
    sf_callbook_free(&book);
}

static void texts_and_streams_go_with_their_call(void)
{
    struct sf_callbook book;
    CHECK(sf_callbook_init(&book, true));
    struct sf_known_call *call = add(&book, 1);
    size_t octets = book.octets;
    char text[] = "INVITE";
    call->digest.party[SF_METHOD] = sf_slice(text, 6);
    call->digest.reason = sf_slice(text + 2, 4);
    CHECK(sf_callbook_keep(&book, call, SF_TOOK_PARTY | SF_TOOK_REASON));
    memset(text, 'x', 6);
    CHECK_TEXT(call->digest.party[SF_METHOD], "INVITE");
    CHECK_TEXT(call->digest.reason, "VITE");
    /* Kept again, from where they lie. */
    CHECK(sf_callbook_keep(&book, call, SF_TOOK_PARTY));
    CHECK_TEXT(call->digest.party[SF_METHOD], "INVITE");
    struct sf_known_stream stream = {.id = 5, .ssrc = 9, .has_ssrc = true};
    CHECK(sf_callbook_add_stream(&book, call, &stream)->id == 5 && call->streams->ssrc == 9);
    CHECK(book.octets > octets);
    sf_callbook_mark(&book, call, SF_CALL_NEW);
    sf_callbook_mark(&book, call, SF_MEDIA_CHANGED);
    CHECK(book.changed == call && call->next_changed == NULL && call->change == SF_CALL_NEW);
    sf_callbook_free(&book);
}

static void a_path_is_found_by_both_ends(void)
{
    struct sf_callbook book;
    CHECK(sf_callbook_init(&book, true));
    struct sf_known_call *one = add(&book, 1), *other = add(&book, 2);
    struct sf_ends_key ends = {.src_port = 1, .dst_port = 2, .family = 4}, back = ends;
    back.src_port = 2;
    back.dst_port = 1;
    CHECK(sf_callbook_path(&book, one, &ends) == 0);
    sf_callbook_add_path(&book, one, &ends, 7);
    CHECK(sf_callbook_path(&book, one, &back) == 0);
    CHECK(sf_callbook_path(&book, one, &ends) == 7 && sf_callbook_path(&book, other, &ends) == 7);
    /* However many others come, a call keeps its own two. */
    sf_callbook_add_path(&book, one, &back, 8);
    for (uint32_t i = 0; i < 70000; i++) {
        struct sf_ends_key some = {.src_port = (uint16_t)i, .family = i < 65536 ? 4 : 6};
        CHECK(sf_callbook_path(&book, other, &some) == 0);
        sf_callbook_add_path(&book, other, &some, i + 100);
        CHECK(sf_callbook_path(&book, other, &some) == i + 100);
    }
    CHECK(sf_callbook_path(&book, one, &ends) == 7 && sf_callbook_path(&book, one, &back) == 8);
    sf_callbook_free(&book);
}

int main(void)
{
    the_longest_unused_is_forgotten_first();
    texts_and_streams_go_with_their_call();
    a_path_is_found_by_both_ends();
    puts("ok callbook");
    return 0;
}
