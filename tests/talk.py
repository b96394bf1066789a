"""The SIP of a hand-written call: messages between two parties, with session descriptions, second by second."""

from chunks import T0_US
from sipflow.wire.endpoint import Endpoint, parse_endpoint
from sipflow.wire.packet import Message, StreamKey

CALL_ID = "talk@test"
ALICE, BOB = Endpoint("198.51.100.1", 5060), Endpoint("203.0.113.2", 5060)
ALICE_RTP, BOB_RTP = Endpoint("198.51.100.1", 4000), Endpoint("203.0.113.2", 6000)
# What goes to Bob has the even leg, as Alice calls.
TO_BOB = StreamKey(CALL_ID, 0, ALICE_RTP, BOB_RTP, 1)
TO_ALICE = StreamKey(CALL_ID, 1, BOB_RTP, ALICE_RTP, 2)


def at(seconds: float) -> int:
    """Give the capture time of a moment of the call."""
    return T0_US + round(seconds * 1_000_000)


def sdp(place: Endpoint | str, formats: str = "0", *lines: str, kind: str = "audio", protocol: str = "RTP/AVP") -> str:
    """Write a description with one medium; `lines` follow its m= line."""
    where = parse_endpoint(place) if isinstance(place, str) else place
    family = "IP6" if ":" in where.ip else "IP4"
    head = ["v=0", "o=- 1 1 IN IP4 192.0.2.1", "s=-", f"c=IN {family} {where.ip}", "t=0 0"]
    return "\r\n".join([*head, f"m={kind} {where.port} {protocol} {formats}", *lines, ""])


class Talk:
    """Writes down the messages of one call; Alice calls Bob. `messages` is what was captured."""

    def __init__(self, alice: Endpoint = ALICE, bob: Endpoint = BOB) -> None:
        self.messages: list[Message] = []
        self._alice, self._bob = alice, bob

    def ask(
        self,
        seconds: float,
        method: str,
        body: str = "",
        *,
        cseq: int = 1,
        by: str = "alice",
        kind: str = "application/sdp",
    ) -> "Talk":
        """Send a request; the first INVITE begins the dialog, every other request is inside it."""
        inside = method != "INVITE" or cseq > 1
        to_tag = f";tag={'bob' if by == 'alice' else 'alice'}" if inside else ""
        return self._send(seconds, f"{method} sip:x@test SIP/2.0", by, f"{cseq} {method}", (by, to_tag), body, kind)

    def reply(
        self,
        seconds: float,
        status: str,
        body: str = "",
        *,
        cseq: str = "1 INVITE",
        by: str = "bob",
        tag: str = "",
        kind: str = "application/sdp",
    ) -> "Talk":
        """Answer a request that the other side sent; `tag` is another than that of the side when the call forks."""
        asker = "alice" if by == "bob" else "bob"
        return self._send(seconds, f"SIP/2.0 {status}", by, cseq, (asker, f";tag={tag or by}"), body, kind)

    def _send(
        self, seconds: float, start: str, by: str, cseq: str, tags: tuple[str, str], body: str, kind: str
    ) -> "Talk":
        src, dst = (self._alice, self._bob) if by == "alice" else (self._bob, self._alice)
        lines = [start, f"Call-ID: {CALL_ID}", f"From: <sip:a@test>;tag={tags[0]}", f"To: <sip:b@test>{tags[1]}"]
        lines += [f"CSeq: {cseq}", f"Content-Type: {kind}", f"Content-Length: {len(body)}", "", body]
        text = "\r\n".join(lines).encode()
        self.messages.append(Message(CALL_ID, at(seconds), at(seconds), src, dst, text))
        return self


def answered(offer: str, answer: str, *, seconds: float = 2.0) -> Talk:
    """Begin a call that is answered after some seconds and not yet over."""
    return (
        Talk()
        .ask(0, "INVITE", offer)
        .reply(0.1, "180 Ringing")
        .reply(seconds, "200 OK", answer)
        .ask(seconds + 0.1, "ACK")
    )
