"""Session descriptions of a call: offer and answer (RFC 8866, RFC 3264)."""

from sipflow.load.codec import BY_TYPE
from sipflow.load.party import Party
from sipflow.load.stream import EVENT_TYPE


def describe(party: Party, codecs: tuple[int, ...], packet_ms: int, session_id: str, control: str) -> str:
    """Write the description by which `party` says where it wants its audio, and in which codecs, preferred first.

    `session_id` and `control`, the port of RTCP, may be holes. Telephone events have the clock of the first codec
    (RFC 4733, section 2.1).
    """
    family = f"IP{party.media.family}"
    lines = [
        "v=0",
        f"o={party.vendor.session} {session_id} {session_id} IN {family} {party.media.ip}",
        f"s={party.vendor.session}",
        f"c=IN {family} {party.media.ip}",
        "t=0 0",
        f"m=audio {party.media.port} RTP/AVP {' '.join(map(str, (*codecs, EVENT_TYPE)))}",
        f"a=rtcp:{control}",
    ]
    for codec in (BY_TYPE[payload_type] for payload_type in codecs):
        lines.append(f"a=rtpmap:{codec.payload_type} {codec.mapping}")
        if codec.parameters:
            lines.append(f"a=fmtp:{codec.payload_type} {codec.parameters}")
    lines.append(f"a=rtpmap:{EVENT_TYPE} telephone-event/{BY_TYPE[codecs[0]].clock}")
    lines.append(f"a=fmtp:{EVENT_TYPE} 0-15")
    lines += [f"a=ptime:{packet_ms}", "a=sendrecv"]
    return "".join(f"{line}\r\n" for line in lines)
