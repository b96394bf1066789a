"""What became of every frame of a capture file."""

import msgspec

EXAMPLES_MAX = 3

# Every reason for which frames are not imported, and what it means to people.
REASONS: dict[str, str] = {
    "sip_over_tcp": "SIP over TCP: not yet supported",
    "tcp": "other TCP",
    "sctp": "SCTP: not yet supported",
    "hep": "HEP over TCP: not yet supported",
    "hep_copy": "HEP with messages of calls that were captured themselves",
    "hep_other": "HEP that carries neither SIP nor RTP: reports, log lines",
    "bad_hep": "damaged HEP packets",
    "rtcp": "RTCP: not yet supported",
    "stun": "STUN",
    "dtls": "DTLS",
    "t38": "T.38 fax over UDPTL: not yet supported",
    "keepalive": "keep-alive datagrams without content",
    "rtp_unproven": "looks like RTP, but no SDP announces it and its sequence numbers do not count up",
    "other_udp": "other UDP",
    "icmp": "ICMP (what it quotes is no traffic)",
    "ip_protocol": "other protocols over IP",
    "fragments_missing": "fragments of datagrams that never became whole",
    "not_ip": "neither IPv4 nor IPv6 (ARP, LLDP, ...)",
    "link_type": "link types that are not supported",
    "bad_frame": "frames too short for their link header",
    "bad_ip": "damaged IP headers",
    "bad_udp": "damaged UDP headers",
}


class Skipped(msgspec.Struct):
    """The frames not imported for one reason; `examples` names up to three of them."""

    count: int = 0
    examples: list[str] = []

    def add(self, frames: int, example: str) -> None:
        """Count `frames` more."""
        self.count += frames
        if example and len(self.examples) < EXAMPLES_MAX:
            self.examples.append(example)


class ImportReport(msgspec.Struct):
    """What became of every frame: frames = sip + rtp + joined + the counts of all reasons in `skipped`.

    `sip` and `rtp` are packets imported; `rtp_untied` those of `rtp` that no SDP announces, `unidentified` those of
    `sip` without Call-ID, `cut` those of both that the capture's snap length cut short. `joined` counts frames that
    were fragments of a datagram beyond its first. `calls` are Call-IDs seen in SIP, `streams` (source, destination,
    SSRC). Times in microseconds since the epoch, None when nothing was imported. `damage` is empty or says where
    and why the file could not be read on: everything before was imported.
    """

    path: str
    octets: int
    frames: int = 0
    sip: int = 0
    rtp: int = 0
    rtp_untied: int = 0
    unidentified: int = 0
    cut: int = 0
    joined: int = 0
    calls: int = 0
    streams: int = 0
    first_us: int | None = None
    last_us: int | None = None
    damage: str = ""
    skipped: dict[str, Skipped] = {}

    def skip(self, reason: str, frames: int = 1, example: str = "") -> None:
        """Count frames that are not imported."""
        self.skipped.setdefault(reason, Skipped()).add(frames, example)

    def imported(self, time_us: int) -> None:
        """Widen the bounds by the time of a packet that was imported."""
        self.first_us = time_us if self.first_us is None else min(self.first_us, time_us)
        self.last_us = time_us if self.last_us is None else max(self.last_us, time_us)
