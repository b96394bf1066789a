"""SIP as the two parties of a call write it: requests, their responses, transactions and dialogs (RFC 3261).

Whatever is each call's own is a hole: branches, tags, numbers.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sipflow.load.hole import Holes, octets_in
from sipflow.load.moment import Moment
from sipflow.load.mould import Saying
from sipflow.load.party import DOMAIN, REALM, Parties, Party
from sipflow.load.status import CAUSES, REASONS

_BRANCH = "z9hG4bK"  # RFC 3261, section 8.1.1.7
_EVENTS = "talk, hold, conference, refer, check-sync"

_NIL = "0" * 32  # the identifier of an end that is not known yet (RFC 7989, section 4.2)

Headers = list[tuple[str, str]]


@dataclass(frozen=True)
class Body:
    """What a message carries."""

    content_type: str
    text: str


@dataclass(frozen=True)
class Session:
    """The identifiers of the two ends of a call, which every dialog of it has in its headers (RFC 7989)."""

    caller: str
    called: str


@dataclass(frozen=True)
class Request:
    """One request as its sender remembers it, to match responses, CANCEL and ACK to it."""

    method: str
    uri: str
    by_caller: bool
    branch: str
    number: str
    to_tag: bool


class Dialog:
    """Writes the messages of a dialog in order, behind those that `sayings` has already, as those of its line.

    `sayings` is what a mirror between the two would see.
    """

    def __init__(
        self,
        parties: Parties,
        holes: Holes,
        rng: random.Random,
        sayings: list[Saying],
        line: int,
        session: Session | None,
    ) -> None:
        """Begin with nothing said; `rng` decides how many digits sequence numbers have."""
        self._sayings = sayings
        self._line = line
        self.session = session
        self._parties = parties
        self._holes = holes
        self._requests = {True: 0, False: 0}
        low = 10 ** rng.randrange(1, 5)
        # A dialog has few requests: their numbers stay as long as the first.
        self._first = {True: holes.decimal(low, 9 * low - 9), False: holes.decimal(100, 800)}
        self._nonce = holes.hex(16) + holes.hex(8)
        self._device = f"{rng.getrandbits(128):032x}"
        # One of the exchange's own proxies stands between, and marks the dialogs it carries.
        self._way = f"<sip:{'[2001:db8:1::8]' if parties.exchange.signalling.family == 6 else '192.0.2.8'};lr=on;" + (
            f"did={holes.hex(3)}.{holes.hex(8)}>"
        )

    def invite(
        self, when: Moment, sdp: str, *, authorized: bool = False, more: Sequence[tuple[str, str]] = ()
    ) -> Request:
        """Call the exchange, the second time with the answer to its challenge."""
        request = self._begin("INVITE", self._target())
        caller = self._parties.caller
        extra = [
            *self._contact(caller=True),
            *self._caller_habits(),
            ("P-Preferred-Identity", f'"{caller.name}" <sip:{caller.user}@{DOMAIN}>'),
            *self._authorization(request, answer=authorized),
            *more,
        ]
        self._send(request, when, extra, _description(sdp))
        return request

    def ack(self, when: Moment, invite: Request, *, accepted: bool) -> None:
        """Acknowledge the final response: of a 2xx as a transaction of its own, else within the INVITE's (17.1.1.3)."""
        branch = self._branch() if accepted else invite.branch
        uri = self._contact_uri(caller=False) if accepted else invite.uri
        extra = [("Route", self._way), *self._contact(caller=True)] if accepted else []
        self._send(replace(invite, method="ACK", uri=uri, branch=branch, to_tag=True), when, extra)

    def cancel(self, when: Moment, invite: Request) -> Request:
        """Give up a call that rings: same branch and number as the INVITE (9.1)."""
        request = replace(invite, method="CANCEL")
        self._send(request, when, [("Reason", 'SIP;cause=487;text="ORIGINATOR_CANCEL"')])
        return request

    def bye(self, when: Moment, *, by_caller: bool) -> Request:
        """Hang up."""
        request = self._begin("BYE", self._contact_uri(caller=not by_caller), by_caller=by_caller)
        request = replace(request, to_tag=True)
        reason = ("Reason", 'Q.850;cause=16;text="Normal call clearing"')
        self._send(request, when, [("Route", self._way), *self._contact(caller=by_caller), reason])
        return request

    def within(
        self,
        method: str,
        when: Moment,
        *,
        by_caller: bool,
        more: Sequence[tuple[str, str]] = (),
        body: Body | None = None,
    ) -> Request:
        """Send another request within the dialog: INFO, REFER, NOTIFY."""
        request = replace(
            self._begin(method, self._contact_uri(caller=not by_caller), by_caller=by_caller), to_tag=True
        )
        self._send(request, when, [("Route", self._way), *self._contact(caller=by_caller), *more], body)
        return request

    def register(self, when: Moment, *, authorized: bool = False) -> Request:
        """Bind the telephone's address to its user, the second time with the answer to the challenge."""
        request = self._begin("REGISTER", f"sip:{DOMAIN}")
        extra = [*self._contact(caller=True), ("Expires", "3600"), *self._authorization(request, answer=authorized)]
        self._send(request, when, extra)
        return request

    def options(self, when: Moment) -> Request:
        """Ask whether the exchange is there."""
        request = self._begin("OPTIONS", f"sip:{DOMAIN}")
        self._send(request, when, [*self._contact(caller=True), ("Accept", "application/sdp")])
        return request

    def respond(self, when: Moment, request: Request, status: int, sdp: str = "") -> None:
        """Answer `request`; a challenge or a contact goes with the status that needs it."""
        extra: Headers = []
        sender, receiver = self._ends(not request.by_caller)
        if status == 401:
            extra.append(
                ("WWW-Authenticate", f'Digest realm="{REALM}", nonce="{self._nonce}", algorithm=MD5, qop="auth"')
            )
        elif request.method == "INVITE" and 100 < status < 300:
            extra += [
                ("Record-Route", self._way),
                *self._contact(caller=False),
                ("P-Asserted-Identity", f"<sip:{self._parties.called}@{DOMAIN}>"),
            ]
            if status == 200:
                extra += [("Session-Expires", "1800;refresher=uas"), ("Require", "timer")]
        elif request.method == "INVITE" and status >= 300:
            extra += _refused(status)
        elif request.method == "REGISTER" and status == 200:
            uri = self._contact_uri(caller=True)
            extra += [("Contact", f"<{uri}>;expires=3600")]
        elif request.method == "OPTIONS" and status == 200:
            extra += [("Accept", "application/sdp")]
        answered = replace(request, to_tag=status > 100)
        via = self._via(request)
        if receiver.vendor.rport:
            via = via.replace(";rport", f";rport={receiver.signalling.port}") + f";received={receiver.signalling.ip}"
        headers = [
            *self._dialog_headers(answered, via),
            *extra,
            *([("Allow", sender.vendor.allow), ("Allow-Events", _EVENTS)] if status > 100 else []),
            ("Supported", sender.vendor.supported),
            ("Server", sender.vendor.agent),
        ]
        first_line = f"SIP/2.0 {status} {REASONS[status]}"
        self._write(when, answered, not request.by_caller, first_line, headers, _description(sdp))

    def _send(self, request: Request, when: Moment, extra: Headers, body: Body | None = None) -> None:
        sender, _ = self._ends(request.by_caller)
        headers = [
            *self._dialog_headers(request, self._via(request)),
            ("Max-Forwards", "70"),
            *extra,
            ("User-Agent", sender.vendor.agent),
        ]
        self._write(when, request, request.by_caller, f"{request.method} {request.uri} SIP/2.0", headers, body)

    def _write(
        self, when: Moment, request: Request, by_caller: bool, first_line: str, headers: Headers, body: Body | None
    ) -> None:
        sender, _ = self._ends(by_caller)
        charged = f'icid-value="{self._parties.charging}";icid-generated-at={self._parties.exchange.signalling.ip}'
        headers.append(("P-Charging-Vector", f"{charged};orig-ioi={DOMAIN}"))
        if self.session is not None:
            own, other = self.session.caller, self.session.called if request.to_tag else _NIL
            own, other = (own, other) if by_caller else (other, own)
            headers.append(("Session-ID", f"{own};remote={other}"))
        text = "" if body is None else body.text
        if body is not None:
            headers.append(("Content-Type", body.content_type))
        headers.append(("Content-Length", str(octets_in(text))))
        lines = [first_line, *(f"{sender.vendor.header(name)}: {value}" for name, value in headers), "", ""]
        self._sayings.append(Saying("\r\n".join(lines) + text, by_caller, when, self._line))

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
        number = self._holes.plus(self._first[by_caller], self._requests[by_caller])
        self._requests[by_caller] += 1
        return Request(method, uri, by_caller, self._branch(), number, to_tag=False)

    def _branch(self) -> str:
        return f"{_BRANCH}{self._holes.hex(16)}"

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
        contact = f"<{self._contact_uri(caller=caller)};transport=udp>"
        if self._ends(caller)[0].vendor.instance:
            device = self._device
            parts = (device[:8], device[8:12], f"4{device[13:16]}", f"a{device[17:20]}", device[20:])
            contact += f';reg-id=1;+sip.instance="<urn:uuid:{"-".join(parts)}>"'
        return [("Contact", contact)]

    def _caller_habits(self) -> Headers:
        vendor = self._parties.caller.vendor
        habits = [("Allow", vendor.allow), ("Supported", vendor.supported)]
        if vendor.instance:
            habits += [
                ("Allow-Events", _EVENTS),
                ("Session-Expires", "1800"),
                ("Min-SE", "90"),
                ("Accept", "application/sdp, multipart/mixed, application/dialog-info+xml"),
                ("Accept-Language", "en"),
            ]
        return habits

    def _authorization(self, request: Request, *, answer: bool) -> Headers:
        """Answer the challenge with a digest (RFC 2617, 3.2.2), which only the password could prove wrong."""
        if not answer:
            return []
        user, own = self._parties.caller.user, self._holes.hex(8)
        proof = self._holes.hex(16) + self._holes.hex(16)
        value = (
            f'Digest username="{user}", realm="{REALM}", nonce="{self._nonce}", uri="{request.uri}", '
            f'response="{proof}", algorithm=MD5, cnonce="{own}", qop=auth, nc=00000001'
        )
        return [("Authorization", value)]


def _description(sdp: str) -> Body | None:
    return Body("application/sdp", sdp) if sdp else None


def _refused(status: int) -> Headers:
    extra = [("Retry-After", "30")] if status in (480, 486, 503) else []
    if status in CAUSES:
        extra.append(("Reason", f"Q.850;cause={CAUSES[status]}"))
    return extra
