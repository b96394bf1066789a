"""Session descriptions of a call: offer and answer (RFC 4566, RFC 3264)."""

from sipflow.load.party import Party
from sipflow.load.stream import EVENT_TYPE

_NAMES = {0: "PCMU", 8: "PCMA"}


def describe(party: Party, codecs: tuple[int, ...], session_id: int) -> str:
    """Write the description by which `party` says where it wants its audio, and in which codecs, preferred first."""
    family = f"IP{party.media.family}"
    types = " ".join(map(str, (*codecs, EVENT_TYPE)))
    lines = [
        "v=0",
        f"o={party.vendor.session} {session_id} {session_id} IN {family} {party.media.ip}",
        f"s={party.vendor.session}",
        f"c=IN {family} {party.media.ip}",
        "t=0 0",
        f"m=audio {party.media.port} RTP/AVP {types}",
        *(f"a=rtpmap:{codec} {_NAMES[codec]}/8000" for codec in codecs),
        f"a=rtpmap:{EVENT_TYPE} telephone-event/8000",
        f"a=fmtp:{EVENT_TYPE} 0-15",
        f"a=ptime:{party.vendor.packet_ms}",
        "a=sendrecv",
    ]
    return "\r\n".join(lines) + "\r\n"
