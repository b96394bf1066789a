"""A hand-written call for the diagnosis: requests and responses with any header lines, second by second."""

from chunks import T0_US
from sipflow.diagnose import Call, Finding, call_of, diagnose
from sipflow.wire.endpoint import Endpoint, parse_endpoint
from sipflow.wire.packet import Message

CALL_ID = "scene@test"
PLACES = {"alice": Endpoint("198.51.100.1", 5060), "bob": Endpoint("203.0.113.2", 5060)}


def sdp(ip: str, *lines: str, formats: str = "0 8") -> str:
    """Write a description of audio."""
    return "\r\n".join(["v=0", "o=- 1 1 IN IP4 192.0.2.1", "s=-", f"c=IN IP4 {ip}", "t=0 0",
                        f"m=audio 4000 RTP/AVP {formats}", *lines, ""])  # fmt: skip


class Scene:
    """Writes down what was captured; `caller` and the other side answer each other."""

    def __init__(self, **places: str) -> None:
        self.places = {**PLACES, **{name: parse_endpoint(text) for name, text in places.items()}}
        self.messages: list[Message] = []

    def ask(self, seconds: float, method: str, *lines: str, by: str = "alice", cseq: int = 1, body: str = "",
            branch: str = "", inside: bool | None = None) -> "Scene":  # fmt: skip
        """Send a request; what opens a dialog has no To tag."""
        within = method not in ("INVITE", "REGISTER", "OPTIONS") if inside is None else inside
        to_tag = f";tag={self._other(by)}" if within and method != "CANCEL" else ""
        branch = branch or f"z9hG4bK{cseq}{'INVITE' if method == 'CANCEL' else method}{by}"
        start = f"{method} sip:x@test SIP/2.0"
        return self._put(seconds, by, start, (by, to_tag), f"{cseq} {method}", branch, (*lines, body))

    def reply(self, seconds: float, status: str, *lines: str, by: str = "bob", to: str = "INVITE", cseq: int = 1,
              body: str = "", tag: str | None = None, branch: str = "") -> "Scene":  # fmt: skip
        """Answer a request of the other side."""
        asker = self._other(by)
        branch = branch or f"z9hG4bK{cseq}{'INVITE' if to == 'CANCEL' else to}{asker}"
        to_tag = f";tag={tag or by}"
        start = f"SIP/2.0 {status}"
        return self._put(seconds, by, start, (asker, to_tag), f"{cseq} {to}", branch, (*lines, body))

    def _other(self, side: str) -> str:
        return "bob" if side == "alice" else "alice"

    def _put(self, seconds: float, by: str, start: str, tags: tuple[str, str], cseq: str, branch: str,
             rest: tuple[str, ...]) -> "Scene":  # fmt: skip
        *lines, body = rest
        src, dst = self.places[by], self.places[self._other(by)]
        own = any(line.lower().startswith("via") for line in lines)
        via = () if own else (f"Via: SIP/2.0/UDP {src if start[:3] != 'SIP' else dst};rport;branch={branch}",)
        head = [start, *via, f"From: <sip:a@test>;tag={tags[0]}", f"To: <sip:b@test>{tags[1]}", f"Call-ID: {CALL_ID}",
                f"CSeq: {cseq}", *lines, f"Content-Length: {len(body)}"]  # fmt: skip
        head += ["Content-Type: application/sdp"] if body else []
        at_us = T0_US + round(seconds * 1_000_000)
        octets = ("\r\n".join(head) + "\r\n\r\n" + body).encode("utf-8", "surrogateescape")
        self.messages.append(Message(CALL_ID, at_us, at_us, src, dst, octets))
        return self

    @property
    def call(self) -> Call:
        return call_of(CALL_ID, self.messages)

    def found(self, code: str) -> list[Finding]:
        return [finding for finding in diagnose(self.call, []) if finding.code == code]

    def one(self, code: str) -> Finding:
        """Give the one finding of this code; fails with all of them."""
        every = diagnose(self.call, [])
        found = [finding for finding in every if finding.code == code]
        assert len(found) == 1, [finding.code for finding in every]
        return found[0]

    @property
    def codes(self) -> set[str]:
        return {finding.code for finding in diagnose(self.call, [])}


def talked(seconds: float = 60.0, by: str = "alice", ring: float = 1.0, **places: str) -> Scene:
    """Write a good call: rings, is answered after 2 s, ends after `seconds` of talk."""
    scene = Scene(**places).ask(0, "INVITE", body=sdp("198.51.100.1")).reply(0.01, "100 Trying")
    scene.reply(ring, "180 Ringing").reply(2, "200 OK", body=sdp("203.0.113.2")).ask(2.05, "ACK")
    return scene.ask(2 + seconds, "BYE", by=by, cseq=2).reply(
        2.04 + seconds, "200 OK", to="BYE", cseq=2, by="bob" if by == "alice" else "alice"
    )
