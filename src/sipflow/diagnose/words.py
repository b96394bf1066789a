"""The words of a diagnosis: what status codes and Q.850 causes mean, and what a message may add to a sentence."""

from typing import Final, NamedTuple

from sipflow.wire.sip import SipHead

_TEXT_MAX: Final = 120


class Meaning(NamedTuple):
    """One status: what it says to a person, and where it is defined."""

    words: str
    reference: str


def _rfc3261(section: str, words: str) -> Meaning:
    return Meaning(words, f"RFC 3261 section {section}")


STATUS: Final = {
    300: _rfc3261("21.3.1", "the called number has several addresses to choose from"),
    301: _rfc3261("21.3.2", "the called user has moved for good to another address"),
    302: _rfc3261("21.3.3", "the call was redirected to another address"),
    305: _rfc3261("21.3.4", "the call has to go through another proxy"),
    380: _rfc3261("21.3.5", "another service is offered instead"),
    400: _rfc3261("21.4.1", "the request could not be understood: its syntax is wrong"),
    401: _rfc3261("21.4.2", "the server wants credentials and did not accept, or did not get, any"),
    402: _rfc3261("21.4.3", "payment is required"),
    403: _rfc3261("21.4.4", "the server understood the request and refuses it; trying again will not help"),
    404: _rfc3261("21.4.5", "the called user or number does not exist there"),
    405: _rfc3261("21.4.6", "this method is not allowed at that address"),
    406: _rfc3261("21.4.7", "no form of answer that the caller accepts could be made"),
    407: _rfc3261("21.4.8", "the proxy wants credentials and did not accept, or did not get, any"),
    408: _rfc3261("21.4.9", "no answer came in time: the next hop or the called phone did not respond"),
    410: _rfc3261("21.4.10", "the called user was known there once and is gone for good"),
    413: _rfc3261("21.4.11", "the body of the request is too large"),
    414: _rfc3261("21.4.12", "the address in the request is too long"),
    415: _rfc3261("21.4.13", "the type of the body is not supported"),
    416: _rfc3261("21.4.14", "the scheme of the address is not supported"),
    420: _rfc3261("21.4.15", "an extension that the caller requires is not supported"),
    421: _rfc3261("21.4.16", "the server needs an extension that the caller does not support"),
    422: Meaning("the session interval is shorter than the server allows", "RFC 4028 section 6"),
    423: _rfc3261("21.4.17", "the registration would expire sooner than the registrar allows"),
    433: Meaning("calls without a caller's identity are not accepted", "RFC 5079 section 5"),
    480: _rfc3261("21.4.18", "the called user is known and cannot be reached now: not registered, or does not answer"),
    481: _rfc3261("21.4.19", "the server does not know this dialog or transaction (any more)"),
    482: _rfc3261("21.4.20", "a server found that the request goes round in a loop"),
    483: _rfc3261("21.4.21", "the request passed more hops than Max-Forwards allows, most often because of a loop"),
    484: _rfc3261("21.4.22", "the number is incomplete"),
    485: _rfc3261("21.4.23", "the address is ambiguous"),
    486: _rfc3261("21.4.24", "the called user is busy"),
    487: _rfc3261("21.4.25", "the call was cancelled before it was answered"),
    488: _rfc3261("21.4.26", "the offered media is not acceptable there: codecs, encryption, addresses"),
    489: Meaning("the event package is not known", "RFC 6665 section 8.3.2"),
    491: _rfc3261("21.4.27", "both sides changed the call at the same moment"),
    493: _rfc3261("21.4.28", "the encrypted body could not be read"),
    500: _rfc3261("21.5.1", "an error inside the server"),
    501: _rfc3261("21.5.2", "the server does not implement this method"),
    502: _rfc3261("21.5.3", "the server got an invalid answer from the one behind it"),
    503: _rfc3261("21.5.4", "the server is overloaded or under maintenance, or its trunk is not available"),
    504: _rfc3261("21.5.5", "the server got no answer in time from the one behind it"),
    505: _rfc3261("21.5.6", "the version of SIP is not supported"),
    513: _rfc3261("21.5.7", "the message is too large"),
    580: Meaning("a precondition (QoS) could not be met", "RFC 3312 section 8"),
    600: _rfc3261("21.6.1", "the called user is busy on every device"),
    603: _rfc3261("21.6.2", "the called user declined"),
    604: _rfc3261("21.6.3", "the called user does not exist anywhere"),
    606: _rfc3261("21.6.4", "the called user wants the call, but some of its media is not acceptable anywhere"),
    607: Meaning("the called user does not want this call (unwanted)", "RFC 8197 section 4"),
    608: Meaning("an intermediary rejected the call", "RFC 8688 section 3"),
}
_CLASSES: Final = {
    3: "the call was redirected",
    4: "the request failed at this server",
    5: "the server failed",
    6: "the call failed everywhere",
}
# ITU-T Q.850, table 1: those that calls end with in practice.
CAUSES: Final = {
    1: "unallocated number", 2: "no route to the transit network", 3: "no route to destination",
    6: "channel unacceptable", 16: "normal call clearing", 17: "user busy", 18: "no user responding",
    19: "no answer from user (alerted)", 20: "subscriber absent", 21: "call rejected", 22: "number changed",
    26: "non-selected user clearing", 27: "destination out of order", 28: "invalid number format",
    29: "facility rejected", 31: "normal, unspecified", 34: "no circuit available", 38: "network out of order",
    41: "temporary failure", 42: "switching equipment congestion", 44: "requested circuit not available",
    47: "resource unavailable", 50: "requested facility not subscribed", 52: "outgoing call barred",
    54: "incoming call barred", 55: "incoming calls barred within the group", 57: "bearer capability not authorized",
    58: "bearer capability not available", 63: "service not available", 65: "bearer capability not implemented",
    69: "requested facility not implemented", 79: "service not implemented", 87: "user not member of the group",
    88: "incompatible destination", 95: "invalid message", 96: "mandatory information element missing",
    97: "message type not implemented", 99: "information element not implemented", 100: "invalid information element",
    101: "message not compatible with call state", 102: "recovery on timer expiry", 111: "protocol error",
    127: "interworking, unspecified",
}  # fmt: skip


def meaning(status: int) -> Meaning:
    """Say what a final status means; a code that nobody defined means what its class does (section 8.1.3.2)."""
    known = STATUS.get(status)
    return known or Meaning(_CLASSES.get(status // 100, "an unknown status"), "RFC 3261 section 8.1.3.2")


def brief(text: str) -> str:
    """Bound what a captured message may write into a sentence, and keep control characters out of it."""
    plain = printable(text[: 2 * _TEXT_MAX])
    return plain if len(plain) <= _TEXT_MAX else plain[: _TEXT_MAX - 1] + "…"


def printable(text: str) -> str:
    """Replace what is not printable by question marks."""
    return "".join(char if char.isprintable() else "?" for char in text)


def label(head: SipHead) -> str:
    """Name a message in a sentence: its method, or status and reason."""
    return brief(head.label)
