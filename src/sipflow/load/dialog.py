"""SIP as the two parties of a call write it: requests, their responses, transactions and dialogs (RFC 3261)."""

import hashlib
import random
from dataclasses import dataclass, replace

from sipflow.load.party import DOMAIN, REALM, Parties, Party
from sipflow.wire.packet import Kind, Packet

_BRANCH = "z9hG4bK"  # RFC 3261, section 8.1.1.7
_REASONS = {
    100: "Trying",
    180: "Ringing",
    183: "Session Progress",
    200: "OK",
    401: "Unauthorized",
    486: "Busy Here",
    487: "Request Terminated",
}

Headers = list[tuple[str, str]]


@dataclass(frozen=True)
class Request:
    """One request as its sender remembers it, to match responses, CANCEL and ACK to it."""

    method: str
    uri: str
    by_caller: bool
    branch: str
    number: int
    to_tag: bool


class Dialog:
    """Writes the messages of one call in order; `messages` is what a mirror between the two would see."""

    def __init__(self, parties: Parties, rng: random.Random) -> None:
        """Begin with nothing said; takes random branches and numbers from `rng`."""
        self.messages: list[Packet] = []
        self._parties = parties
        self._rng = rng
        self._numbers = {True: rng.randrange(1, 20_000), False: rng.randrange(100, 900)}
        self._nonce = f"{rng.getrandbits(96):024x}"

    def invite(self, at_us: int, sdp: str, *, authorized: bool = False) -> Request:
        """Call the exchange, the second time with the answer to its challenge."""
        request = self._begin("INVITE", self._target())
        extra = [*self._contact(caller=True), *self._caller_habits(), *self._authorization(request, answer=authorized)]
        self._send(request, at_us, extra, sdp)
        return request

    def ack(self, at_us: int, invite: Request, *, accepted: bool) -> None:
        """Acknowledge the final response: of a 2xx as a transaction of its own, else within the INVITE's (17.1.1.3)."""
        branch = self._branch() if accepted else invite.branch
        uri = self._contact_uri(caller=False) if accepted else invite.uri
        extra = self._contact(caller=True) if accepted else []
        self._send(replace(invite, method="ACK", uri=uri, branch=branch, to_tag=True), at_us, extra)

    def cancel(self, at_us: int, invite: Request) -> Request:
        """Give up a call that rings: same branch and number as the INVITE (9.1)."""
        request = replace(invite, method="CANCEL")
        self._send(request, at_us, [("Reason", 'SIP;cause=487;text="ORIGINATOR_CANCEL"')])
        return request

    def bye(self, at_us: int, *, by_caller: bool) -> Request:
        """Hang up."""
        request = self._begin("BYE", self._contact_uri(caller=not by_caller), by_caller=by_caller)
        request = replace(request, to_tag=True)
        self._send(request, at_us, [("Reason", 'Q.850;cause=16;text="Normal call clearing"')])
        return request

    def register(self, at_us: int, *, authorized: bool = False) -> Request:
        """Bind the telephone's address to its user, the second time with the answer to the challenge."""
        request = self._begin("REGISTER", f"sip:{DOMAIN}")
        extra = [*self._contact(caller=True), ("Expires", "3600"), *self._authorization(request, answer=authorized)]
        self._send(request, at_us, extra)
        return request

    def options(self, at_us: int) -> Request:
        """Ask whether the exchange is there."""
        request = self._begin("OPTIONS", f"sip:{DOMAIN}")
        self._send(request, at_us, [*self._contact(caller=True), ("Accept", "application/sdp")])
        return request

    def respond(self, at_us: int, request: Request, status: int, sdp: str = "") -> None:
        """Answer `request`; a challenge, a contact or the allowed methods go with the status that needs them."""
        extra: Headers = []
        sender, receiver = self._ends(not request.by_caller)
        if status == 401:
            extra.append(
                ("WWW-Authenticate", f'Digest realm="{REALM}", nonce="{self._nonce}", algorithm=MD5, qop="auth"')
            )
        elif request.method == "INVITE" and 100 < status < 300:
            extra += [*self._contact(caller=False), ("Allow", sender.vendor.allow)]
        elif request.method == "REGISTER" and status == 200:
            uri = self._contact_uri(caller=True)
            extra += [("Contact", f"<{uri}>;expires=3600")]
        elif request.method == "OPTIONS" and status == 200:
            extra += [("Allow", sender.vendor.allow), ("Accept", "application/sdp")]
        answered = replace(request, to_tag=status > 100)
        via = self._via(request)
        if receiver.vendor.rport:
            via = via.replace(";rport", f";rport={receiver.signalling.port}") + f";received={receiver.signalling.ip}"
        headers = [*self._dialog_headers(answered, via), *extra, ("Server", sender.vendor.agent)]
        self._write(at_us, not request.by_caller, f"SIP/2.0 {status} {_REASONS[status]}", headers, sdp)

    def _send(self, request: Request, at_us: int, extra: Headers, sdp: str = "") -> None:
        sender, _ = self._ends(request.by_caller)
        headers = [
            *self._dialog_headers(request, self._via(request)),
            ("Max-Forwards", "70"),
            *extra,
            ("User-Agent", sender.vendor.agent),
        ]
        self._write(at_us, request.by_caller, f"{request.method} {request.uri} SIP/2.0", headers, sdp)

    def _write(self, at_us: int, by_caller: bool, first_line: str, headers: Headers, sdp: str) -> None:
        sender, receiver = self._ends(by_caller)
        body = sdp.encode()
        if body:
            headers.append(("Content-Type", "application/sdp"))
        headers.append(("Content-Length", str(len(body))))
        lines = [first_line, *(f"{sender.vendor.header(name)}: {value}" for name, value in headers), "", ""]
        payload = "\r\n".join(lines).encode() + body
        self.messages.append(
            Packet(Kind.SIP, sender.signalling, receiver.signalling, at_us, payload, self._parties.call_id)
        )

    def _dialog_headers(self, request: Request, via: str) -> Headers:
        caller, exchange = self._parties.caller, self._parties.exchange
        to_user = caller.user if request.method == "REGISTER" else self._parties.called
        calling = f'"{caller.name}" <sip:{caller.user}@{DOMAIN}>;tag={caller.tag}'
        called = f"<sip:{DOMAIN}>" if request.method == "OPTIONS" else f"<sip:{to_user}@{DOMAIN}>"
        # Only the party's own requests show its tag at once; the exchange's exists from its first response on.
        tagged = f"{called};tag={exchange.tag}" if request.to_tag or not request.by_caller else called
        return [
            ("Via", via),
            ("From", calling if request.by_caller else tagged),
            ("To", tagged if request.by_caller else calling),
            ("Call-ID", self._parties.call_id),
            ("CSeq", f"{request.number} {request.method}"),
        ]

    def _begin(self, method: str, uri: str, *, by_caller: bool = True) -> Request:
        self._numbers[by_caller] += 1
        return Request(method, uri, by_caller, self._branch(), self._numbers[by_caller], to_tag=False)

    def _branch(self) -> str:
        return f"{_BRANCH}{self._rng.getrandbits(64):016x}"

    def _via(self, request: Request) -> str:
        sender, _ = self._ends(request.by_caller)
        rport = ";rport" if sender.vendor.rport else ""
        return f"SIP/2.0/UDP {sender.host}:{sender.signalling.port};branch={request.branch}{rport}"

    def _ends(self, by_caller: bool) -> tuple[Party, Party]:
        caller, exchange = self._parties.caller, self._parties.exchange
        return (caller, exchange) if by_caller else (exchange, caller)

    def _target(self) -> str:
        return f"sip:{self._parties.called}@{DOMAIN}"

    def _contact_uri(self, *, caller: bool) -> str:
        party, _ = self._ends(caller)
        return f"sip:{party.user}@{party.host}:{party.signalling.port}"

    def _contact(self, *, caller: bool) -> Headers:
        return [("Contact", f"<{self._contact_uri(caller=caller)}>")]

    def _caller_habits(self) -> Headers:
        return [("Allow", self._parties.caller.vendor.allow), ("Supported", "replaces, timer")]

    def _authorization(self, request: Request, *, answer: bool) -> Headers:
        """Answer the challenge with a digest (RFC 2617, section 3.2.2; MD5 is what the scheme prescribes)."""
        if not answer:
            return []
        user, nonce_count, own = self._parties.caller.user, "00000001", f"{self._rng.getrandbits(32):08x}"
        secret = _md5(f"{user}:{REALM}:{self._parties.password}")
        asked = _md5(f"{request.method}:{request.uri}")
        proof = _md5(f"{secret}:{self._nonce}:{nonce_count}:{own}:auth:{asked}")
        value = (
            f'Digest username="{user}", realm="{REALM}", nonce="{self._nonce}", uri="{request.uri}", '
            f'response="{proof}", algorithm=MD5, cnonce="{own}", qop=auth, nc={nonce_count}'
        )
        return [("Authorization", value)]


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
