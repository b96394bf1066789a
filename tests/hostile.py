"""Calls that try to become part of the page: something to execute in every header that is shown."""

from capture_writer import frame
from sipflow.clock import SECOND_US

ATTEMPTS = (
    "<script>window.pwned=1</script>",
    '"><img src=x onerror=window.pwned=1>',
    "'><svg onload=window.pwned=1>",
    "</title></style></textarea><script>window.pwned=1</script>",
    "javascript:window.pwned=1",
    "{{ 7*7 }}${7*7}<%= 7*7 %>",
    "--><iframe srcdoc='<script>top.pwned=1</script>'>",
    "\u202eevil\u202c\u0007",
)
# Whatever else is taken apart or explained somewhere; a message may carry any of them.
OTHER_HEADERS = (
    "Accept", "Alert-Info", "Allow", "Allow-Events", "Authorization", "Call-Info", "Content-Disposition", "Date",
    "Diversion", "Error-Info", "Event", "Expires", "History-Info", "In-Reply-To", "Max-Forwards", "Min-Expires",
    "Organization", "P-Access-Network-Info", "P-Asserted-Identity", "P-Preferred-Identity", "Path", "Priority",
    "Privacy", "Proxy-Authenticate", "Proxy-Require", "RAck", "RSeq", "Record-Route", "Refer-To", "Referred-By",
    "Remote-Party-ID", "Replaces", "Reply-To", "Require", "Retry-After", "Route", "Security-Client", "Service-Route",
    "Session-Expires", "Supported", "Timestamp", "Unsupported", "Warning", "WWW-Authenticate",
)  # fmt: skip
_A, _B = ("198.51.100.7", 5060), ("198.51.100.8", 5060)


def hostile_call(number: int, attempt: str, at_us: int) -> list[tuple[int, bytes]]:
    """Write the frames of a refused call whose every header carries the attempt."""
    head = [
        f"Via: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bK{number}{attempt}",
        f'From: "{attempt}" <sip:{attempt}@198.51.100.7>;tag=f{number}',
        f'To: "{attempt}" <sip:{attempt}@198.51.100.8>',
        f"Call-ID: hostile-{number}-{attempt}",
        f"User-Agent: {attempt}",
        f"Contact: <sip:{attempt}@198.51.100.7>",
        f"Subject: {attempt}",
        f"X-{number}: {attempt}",
        *(f"{name}: {attempt}" for name in OTHER_HEADERS),
    ]
    described = [
        "v=0", f"o={attempt} 1 1 IN IP4 198.51.100.7", f"s={attempt}", f"i={attempt}", f"u={attempt}", f"e={attempt}",
        "c=IN IP4 198.51.100.7", "t=0 0", f"a={attempt}", "m=audio 4000 RTP/AVP 0 96", f"a=rtpmap:96 {attempt}/8000",
        f"a=fmtp:96 {attempt}", f"a=candidate:{attempt}", f"a=label:{attempt}", "",
    ]  # fmt: skip
    request = [
        f"INVITE sip:{attempt.replace(' ', '')}@198.51.100.8 SIP/2.0",
        *head,
        "CSeq: 1 INVITE",
        "Content-Type: application/sdp",
        "",
        *described,
    ]
    refusal = [f"SIP/2.0 403 {attempt}", *head, "CSeq: 1 INVITE", f"Reason: {attempt}", f"Server: {attempt}", "", ""]
    return [
        (at_us, frame(_A, _B, "\r\n".join(request).encode())),
        (at_us + SECOND_US // 10, frame(_B, _A, "\r\n".join(refusal).encode())),
    ]


def hostile_calls(start_us: int) -> list[tuple[int, bytes]]:
    """Write all of them, a second apart."""
    return [
        one
        for number, attempt in enumerate(ATTEMPTS)
        for one in hostile_call(number, attempt, start_us + number * SECOND_US)
    ]
