"""HEP in capture files: what a sender wrapped is taken out, as if it had been captured where the sender did."""

from collections.abc import Iterable, Iterator

from sipflow._fast import HepReader, hep_looks_like
from sipflow.ingest.datagram import Datagram, Refused
from sipflow.ingest.frame import Refusal
from sipflow.wire.sip import looks_like_sip

_MAGICS = (b"HEP3", b"EEP3")
# Where the frames stand for themselves; the rest is damage.
_NAMED = {"hep_other"}


def unwrapped(datagrams: Iterable[Datagram | Refused]) -> Iterator[Datagram | Refused]:
    """Give each datagram of HEP as the one in it, with its addresses and time; refuse what carries none.

    Versions 1 and 2 begin like many things, so they count only with SIP in them.
    """
    reader = HepReader()
    for one in datagrams:
        if isinstance(one, Datagram) and hep_looks_like(one.payload):
            yield _inner(one, reader)
        else:
            yield one


def _inner(one: Datagram, reader: HepReader) -> Datagram | Refused:
    found = reader.read(one.payload, one.time_us)
    if isinstance(found, str):
        if not one.payload.startswith(_MAGICS):
            return one
        reason = found if found in _NAMED else "bad_hep"
        return Refused(one.number, one.time_us, one.frames, Refusal(reason, _ends(one, found)))
    _, _, src, src_port, dst, dst_port, time_us, client_id, _, _, call_id, payload = found
    if not one.payload.startswith(_MAGICS) and not looks_like_sip(payload):
        return one
    return one._replace(
        time_us=time_us, src=(src, src_port), dst=(dst, dst_port), payload=payload, cut=False,
        wrapped=True, call_id=call_id.decode(), client_id=client_id,
    )  # fmt: skip


def _ends(one: Datagram, found: str) -> str:
    cut = ", cut by the capture" if one.cut else ""
    return f"{len(one.payload)} octets{cut}" + ("" if found in _NAMED else f": {found}")
