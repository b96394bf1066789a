"""Who ended a call, and which dialog a message is of."""

from sipflow.query.dialogs import dialogs
from sipflow.query.ending import ending
from sipflow.wire.endpoint import Endpoint
from sipflow.wire.packet import Message

A, B = Endpoint("192.0.2.1", 5060), Endpoint("192.0.2.2", 5060)


def message(start: str, cseq: str, tags: str, at: int, src: Endpoint = A, dst: Endpoint = B) -> Message:
    own, _, other = tags.partition(" ")
    text = (
        f"{start}\r\nFrom: <sip:{own}@x>;tag={own}\r\nTo: <sip:bob@x>{';tag=' + other if other else ''}\r\n"
        f"Call-ID: c\r\nCSeq: {cseq}\r\n\r\n"
    )
    return Message("c", at, at, src, dst, text.encode())


INVITE = message("INVITE sip:bob@x SIP/2.0", "1 INVITE", "alice", 1)
RINGING = message("SIP/2.0 180 Ringing", "1 INVITE", "alice bob", 2, B, A)
OK = message("SIP/2.0 200 OK", "1 INVITE", "alice bob", 3, B, A)


def test_who_hangs_up_is_named() -> None:
    by_caller = message("BYE sip:bob@x SIP/2.0", "2 BYE", "alice bob", 9)
    by_called = message("BYE sip:alice@x SIP/2.0", "1 BYE", "bob alice", 9, B, A)
    found = ending([INVITE, OK, by_caller])
    assert (found.sentence, found.number, found.time_us) == ("alice, the caller, hung up", 3, 9)
    assert ending([INVITE, OK, by_called, by_caller]).sentence == "bob, the called side, hung up"


def test_a_caller_gives_up_and_a_callee_refuses() -> None:
    cancel = message("CANCEL sip:bob@x SIP/2.0", "1 CANCEL", "alice", 5)
    gone = message("SIP/2.0 487 Request Terminated", "1 INVITE", "alice bob", 6, B, A)
    busy = message("SIP/2.0 486 Busy Here", "1 INVITE", "alice bob", 6, B, A)
    assert ending([INVITE, RINGING, cancel, gone]).sentence == "alice, the caller, gave up before an answer"
    assert ending([INVITE, RINGING, busy]).sentence == "refused with 486 Busy Here by 192.0.2.2:5060"
    assert ending([INVITE, busy]).number == 2


def test_an_answer_outlives_a_challenge_and_a_late_cancel() -> None:
    challenge = message("SIP/2.0 401 Unauthorized", "1 INVITE", "alice x", 2, B, A)
    assert ending([INVITE, challenge, INVITE, OK]).sentence == "no end of the call was captured"
    assert ending([]).number is None


def test_dialogs_are_told_apart_by_both_tags_whoever_speaks() -> None:
    fork = message("SIP/2.0 180 Ringing", "1 INVITE", "alice carol", 2, B, A)
    bye = message("BYE sip:alice@x SIP/2.0", "1 BYE", "carol alice", 9, B, A)
    assert dialogs([INVITE, RINGING, fork, OK, bye]) == [0, 0, 1, 0, 1]
    alone = message("OPTIONS sip:x SIP/2.0", "1 OPTIONS", "dave", 1)
    assert dialogs([INVITE, alone]) == [0, 1]
