"""What the messages of one Call-ID say of the call, gathered one by one and in any portions.

A digest of some messages merged with a digest of the others is the digest of all: buckets each hold one for their part
of a call, and the live pool holds the rest.
"""

import msgspec

from sipflow.wire.endpoint import Endpoint
from sipflow.wire.sip import SipHead

_FAILED = 300


class CallDigest(msgspec.Struct):
    """The life of one call as its signalling shows it; times in microseconds, None while not seen.

    The party fields come from its earliest request; `begins` is true when the request that opens the dialog (no To
    tag, RFC 3261 section 12.1) was among the messages.
    """

    call_id: str
    first_us: int
    last_us: int
    invite_us: int | None = None
    ring_us: int | None = None
    answer_us: int | None = None
    cancel_us: int | None = None
    bye_us: int | None = None
    bye_answer_us: int | None = None
    method: str = ""
    begins: bool = False
    from_user: str = ""
    to_user: str = ""
    from_uri: str = ""
    to_uri: str = ""
    user_agent: str = ""
    src: str = ""
    dst: str = ""
    status: int | None = None
    status_us: int | None = None
    reason: str = ""
    sip_messages: int = 0

    def add(self, head: SipHead, time_us: int, src: Endpoint, dst: Endpoint) -> None:
        """Take in one message."""
        self.merge(digest_of(self.call_id, head, time_us, src, dst))

    def merge(self, other: "CallDigest") -> None:
        """Take in what another digest of the same call knows; order does not matter."""
        if other.method and (not self.method or _before(other, self)):
            for name in _PARTY:
                setattr(self, name, getattr(other, name))
        self._merge_status(other)
        self.begins = self.begins or other.begins
        for name in _MOMENTS:
            theirs = getattr(other, name)
            if theirs is not None:
                ours = getattr(self, name)
                if ours is None or theirs < ours:
                    setattr(self, name, theirs)
        self.first_us = min(self.first_us, other.first_us)
        self.last_us = max(self.last_us, other.last_us)
        self.sip_messages += other.sip_messages

    def _merge_status(self, other: "CallDigest") -> None:
        if other.status is None or other.status_us is None:
            return
        if self.status is None or self.status_us is None or _outranks(other, self):
            self.status, self.status_us, self.reason = other.status, other.status_us, other.reason

    @property
    def end_us(self) -> int | None:
        """Tell when the call ended: its first BYE, or the response that refused it."""
        if self.bye_us is not None or self.status is None or self.status < _FAILED:
            return self.bye_us
        return self.status_us

    @property
    def state(self) -> str:
        """Tell the state: trying, ringing, answered, completed, failed, cancelled, or other (no INVITE)."""
        if self.invite_us is None:
            return "other"
        if self.answer_us is not None:
            return "answered" if self.bye_us is None else "completed"
        if self.status is not None and self.status >= _FAILED:
            return "cancelled" if self.cancel_us is not None else "failed"
        return "ringing" if self.ring_us is not None else "trying"

    @property
    def whole(self) -> bool:
        """Tell whether these messages hold the beginning and the end of the call, a BYE with its answer."""
        return self.begins and (self.end_us if self.bye_us is None else self.bye_answer_us) is not None


_MOMENTS = ("invite_us", "ring_us", "answer_us", "cancel_us", "bye_us", "bye_answer_us")
_PARTY = ("method", "from_user", "to_user", "from_uri", "to_uri", "user_agent", "src", "dst")


def digest_of(call_id: str, head: SipHead, time_us: int, src: Endpoint, dst: Endpoint) -> CallDigest:
    """Make the digest of a single message."""
    digest = CallDigest(call_id, time_us, time_us, sip_messages=1)
    if head.is_request:
        digest.method = head.method
        digest.begins = not head.to_tag and head.method not in ("ACK", "CANCEL")
        digest.from_user, digest.to_user = head.from_user, head.to_user
        digest.from_uri, digest.to_uri = head.from_uri, head.to_uri
        digest.user_agent, digest.src, digest.dst = head.user_agent, str(src), str(dst)
        match head.method:
            case "INVITE":
                digest.invite_us = time_us
            case "CANCEL":
                digest.cancel_us = time_us
            case "BYE":
                digest.bye_us = time_us
    elif head.status is not None:
        _note_response(digest, head, time_us)
    return digest


def _note_response(digest: CallDigest, head: SipHead, time_us: int) -> None:
    status = head.status or 0
    if head.cseq_method == "INVITE":
        # A response alone proves the INVITE, whose own copy may not have been captured.
        digest.invite_us = time_us
        if 100 < status < 200:
            digest.ring_us = time_us
        elif 200 <= status < _FAILED:
            digest.answer_us = time_us
    elif head.cseq_method == "BYE" and 200 <= status < _FAILED:
        digest.bye_answer_us = time_us
    if status >= 200 and head.cseq_method not in ("BYE", "CANCEL", "ACK", "PRACK", "UPDATE", "INFO", "NOTIFY"):
        digest.status, digest.status_us, digest.reason = status, time_us, head.reason


def _before(a: CallDigest, b: CallDigest) -> bool:
    return (not a.begins, a.first_us) < (not b.begins, b.first_us)


def _outranks(a: CallDigest, b: CallDigest) -> bool:
    # The first success decides a call for good; before it, the latest final response does: 401 gives way to 200 or 486.
    a_ok, b_ok = (a.status or 0) < _FAILED, (b.status or 0) < _FAILED
    if a_ok != b_ok:
        return a_ok
    return (a.status_us or 0) < (b.status_us or 0) if a_ok else (a.status_us or 0) > (b.status_us or 0)
