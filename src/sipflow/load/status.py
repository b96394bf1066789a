"""Statuses by which calls are refused: their phrases, and the causes that go with them."""

from sipflow.errors import ConfigError

REASONS = {  # RFC 3261, section 21; 202 and 489 RFC 6665; 428 to 438 RFC 8224
    100: "Trying", 180: "Ringing", 183: "Session Progress", 200: "OK", 202: "Accepted",
    302: "Moved Temporarily", 380: "Alternative Service",
    400: "Bad Request", 401: "Unauthorized", 402: "Payment Required", 403: "Forbidden", 404: "Not Found",
    405: "Method Not Allowed", 406: "Not Acceptable", 408: "Request Timeout", 410: "Gone",
    413: "Request Entity Too Large", 415: "Unsupported Media Type", 416: "Unsupported URI Scheme",
    420: "Bad Extension", 421: "Extension Required", 422: "Session Interval Too Small", 423: "Interval Too Brief",
    428: "Use Identity Header", 433: "Anonymity Disallowed", 437: "Unsupported Credential",
    438: "Invalid Identity Header", 480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist", 482: "Loop Detected", 483: "Too Many Hops", 484: "Address Incomplete",
    485: "Ambiguous", 486: "Busy Here", 487: "Request Terminated", 488: "Not Acceptable Here", 489: "Bad Event",
    491: "Request Pending", 493: "Undecipherable", 494: "Security Agreement Required",
    500: "Server Internal Error", 501: "Not Implemented", 502: "Bad Gateway", 503: "Service Unavailable",
    504: "Server Time-out", 505: "Version Not Supported", 513: "Message Too Large", 580: "Precondition Failure",
    600: "Busy Everywhere", 603: "Decline", 604: "Does Not Exist Anywhere", 606: "Not Acceptable", 607: "Unwanted",
    608: "Rejected",
}  # fmt: skip
CAUSES = {  # RFC 3398, section 8.2.6.1: what a gateway would have been told (Q.850)
    404: 1, 410: 22, 480: 18, 484: 28, 486: 17, 500: 41, 502: 38, 503: 34, 504: 102, 600: 17, 603: 21, 604: 1,
}  # fmt: skip

Refusals = tuple[tuple[int, float], ...]

_NEVER = frozenset((401, 487))  # a challenge and a CANCEL's: calls that go another way

USUAL_REFUSALS: Refusals = ((404, 3), (480, 3), (488, 1), (500, 1), (503, 2), (603, 1))


def parse_refusals(text: str, option: str = "--status") -> Refusals:
    """Read statuses and shares of all calls [%], such as 486=5,503=1. Raises ConfigError that names the option."""
    found: list[tuple[int, float]] = []
    for part in text.split(","):
        name, equals, value = part.strip().partition("=")
        try:
            status, share = int(name), float(value) if equals else -1.0
        except ValueError:
            status, share = 0, -1.0
        known = 300 <= status <= 699 and status in REASONS and status not in _NEVER
        if not known or not 0 < share <= 100 or status in [one for one, _ in found]:
            raise ConfigError(
                option, part, "STATUS=PERCENT,… of final refusals of RFC 3261, each once, 401 and 487 not"
            )
        found.append((status, share))
    if sum(share for _, share in found) > 100:
        raise ConfigError(option, text, "no more than 100 percent together")
    return tuple(found)
