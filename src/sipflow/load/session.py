"""Session descriptions of a call: offer and answer (RFC 4566, RFC 3264)."""

from sipflow.load.party import Party
from sipflow.load.stream import EVENT_TYPE

_NAMES = {0: "PCMU/8000", 8: "PCMA/8000", 9: "G722/8000", 18: "G729/8000", 3: "GSM/8000", 97: "iLBC/8000"}
_PARAMETERS = {18: "annexb=no", 97: "mode=30", EVENT_TYPE: "0-15"}


def describe(party: Party, codecs: tuple[int, ...], session_id: str, control: str) -> str:
    """Write the description by which `party` says where it wants its audio, and in which codecs, preferred first.

    `session_id` and `control`, the port of RTCP, may be holes.
    """
    family = f"IP{party.media.family}"
    offered = (*codecs, EVENT_TYPE)
    names = {**_NAMES, EVENT_TYPE: "telephone-event/8000"}
    lines = [
        "v=0",
        f"o={party.vendor.session} {session_id} {session_id} IN {family} {party.media.ip}",
        f"s={party.vendor.session}",
        f"c=IN {family} {party.media.ip}",
        "t=0 0",
        f"m=audio {party.media.port} RTP/AVP {' '.join(map(str, offered))}",
        f"a=rtcp:{control}",
    ]
    for codec in offered:
        lines.append(f"a=rtpmap:{codec} {names[codec]}")
        if codec in _PARAMETERS:
            lines.append(f"a=fmtp:{codec} {_PARAMETERS[codec]}")
    lines += [f"a=ptime:{party.vendor.packet_ms}", "a=sendrecv"]
    return "".join(f"{line}\r\n" for line in lines)
