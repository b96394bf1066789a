"""A captured frame, and the word for one that yields no packet."""

from typing import NamedTuple


class Frame(NamedTuple):
    """One record of a capture file.

    `number` counts from 1 as Wireshark does, `link` is the LINKTYPE of its interface, `length` what the frame measured
    on the wire: `data` is shorter when the capture was limited (snap length).
    """

    number: int
    time_us: int
    link: int
    data: bytes
    length: int


class Refusal(NamedTuple):
    """Why a frame or datagram is not imported: `reason` is a key of import_report.REASONS, `detail` is for people."""

    reason: str
    detail: str = ""
