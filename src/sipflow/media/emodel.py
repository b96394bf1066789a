"""The E-model: from loss, delay and codec to R and MOS (ITU-T G.107, G.107.1, G.107.2), always with scale and origin.

Two figures that are never mixed: a listening score (LQ) knows nothing of delay, a conversational one (CQ) does. Three
scales that are not comparable: narrow band (NB) ends at R 93.2, wide band (WB) at 129, full band (FB) at 148.
"""

import enum
import math
from collections.abc import Mapping
from typing import Final

import msgspec

R_NARROW: Final = 93.2  # the simplified model; the full one gives 93.206 with its defaults
_TABLE: Final = "G.113 Table I.4"


class Kind(enum.StrEnum):
    """What a score is about: listening quality, or conversational quality, which delay lowers."""

    LQ = "LQ"
    CQ = "CQ"


class Scale(enum.StrEnum):
    """Which bandwidth a score is relative to."""

    NB = "NB"
    WB = "WB"
    FB = "FB"


# R of a perfect connection; the divisor that takes R to the scale of the MOS curve.
_BEST: Final[Mapping[Scale, float]] = {Scale.NB: R_NARROW, Scale.WB: 129.0, Scale.FB: 148.0}
_DIVISOR: Final[Mapping[Scale, float]] = {Scale.NB: 1.0, Scale.WB: 1.29, Scale.FB: 1.48}
# How much of R loss can take.
_ROOM: Final[Mapping[Scale, float]] = {Scale.NB: 95.0, Scale.WB: 95.0, Scale.FB: 132.0}


class Impairment(msgspec.Struct, frozen=True):
    """How an encoding impairs speech: Ie without loss, Bpl its robustness to loss, and where the numbers come from.

    `estimated` tells that no ITU table has the row, or not all of it. `look_ahead_ms` adds to the delay.
    """

    name: str
    ie: float
    bpl: float
    scale: Scale = Scale.NB
    origin: str = _TABLE
    estimated: bool = False
    look_ahead_ms: float = 0.0


def _guess(name: str, ie: float, bpl: float, origin: str, scale: Scale = Scale.NB, look: float = 0.0) -> Impairment:
    return Impairment(name, ie, bpl, scale, f"estimated: {origin}", True, look)


G711: Final = Impairment("G.711 with loss concealment", 0, 25.1, look_ahead_ms=0.25)
G711_PLAIN: Final = Impairment("G.711 without loss concealment", 0, 4.3, look_ahead_ms=0.25)
G729A_VAD: Final = Impairment("G.729A with VAD", 11, 19, look_ahead_ms=5)
G729: Final = _guess("G.729", 10, 19, "G.113 Table I.3, Bpl of G.729A with VAD", look=5)
G723: Final = Impairment("G.723.1 6.3 kbit/s with VAD", 15, 16.1, look_ahead_ms=7.5)
G723_LOW: Final = _guess("G.723.1 5.3 kbit/s", 19, 16.1, "Bpl of 6.3 kbit/s", look=7.5)
GSM_EFR: Final = Impairment("GSM EFR", 5, 10)
AMR: Final = _guess("AMR 12.2 kbit/s", 5, 10, "as GSM EFR")
GSM: Final = _guess("GSM FR", 20, 10, "Bpl in common use")
# No standard Bpl: without concealment loss hurts them as it does G.711.
G726: Final = tuple(
    _guess(f"G.726 {rate} kbit/s", ie, 4.3, "G.113 Table I.3, Bpl of G.711 without concealment")
    for rate, ie in ((40, 2), (32, 7), (24, 25), (16, 50))
)
G728: Final = _guess("G.728", 7, 16.1, "G.113 Table I.3, Bpl of G.723.1")
G728_LOW: Final = _guess("G.728 12.8 kbit/s", 20, 16.1, "G.113 Table I.3, Bpl of G.723.1")
OPUS: Final = _guess("Opus", 5, 15, "numbers in common use", look=6.5)
ILBC: Final = _guess("iLBC", 11, 32, "between the values of several papers")
SPEEX: Final = _guess("Speex", 11, 19, "as G.729A")
G722: Final = _guess("G.722 64 kbit/s", 13, 10, "numbers in common use", Scale.WB)
AMR_WB: Final = _guess("AMR-WB 12.65 kbit/s", 13, 13, "numbers in common use", Scale.WB)
FULL_BAND: Final = _guess("full band", 10.2, 4.3, "numbers of rtpengine", Scale.FB)
# Alahmadi 2021: fits to measured Opus speech, each on its own scale.
OPUS_FITS: Final = (
    _guess("Opus NB CBR 11 kbit/s", 2.03, 15.95, "Alahmadi 2021"),
    _guess("Opus WB VBR 13 kbit/s", 19.96, 19.5, "Alahmadi 2021", Scale.WB),
    _guess("Opus WB VBR 13 kbit/s, bursty loss", 19.96, 16.9, "Alahmadi 2021", Scale.WB),
    _guess("Opus WB CBR 15 kbit/s", 18.06, 18.74, "Alahmadi 2021", Scale.WB),
    _guess("Opus SWB VBR 40 kbit/s", 10.67, 9.79, "Alahmadi 2021", Scale.FB),
)
# By the encoding name of SDP, lower case. Phones conceal loss of G.711 (Appendix I), so that row is the usual one.
_BY_NAME: Final[Mapping[str, Impairment]] = {
    "pcmu": G711,
    "pcma": G711,
    "g729": G729,
    "g729a": G729,
    "g723": G723,
    "gsm": GSM,
    "gsm-efr": GSM_EFR,
    "amr": AMR,
    "amr-wb": AMR_WB,
    "g726-40": G726[0],
    "g726-32": G726[1],
    "g726-24": G726[2],
    "g726-16": G726[3],
    "g728": G728,
    "g722": G722,
    "opus": OPUS,
    "ilbc": ILBC,
    "speex": SPEEX,
}
# ITU-T G.109; what lies below the last is not recommended.
_BANDS: Final = ((90.0, "best"), (80.0, "high"), (70.0, "medium"), (60.0, "low"), (50.0, "poor"))


class Score(msgspec.Struct, frozen=True):
    """A MOS with all that it needs to be read rightly.

    `r` is on `scale`. `delay_ms` is the mouth-to-ear delay of a CQ score, None for LQ; `assumed` tells that somebody
    supposed that delay rather than RTCP measuring it. `estimated` and `origin` are those of the codec's numbers.
    """

    mos: float
    r: float
    kind: Kind
    scale: Scale
    estimated: bool
    origin: str
    loss_percent: float
    burst_ratio: float
    delay_ms: float | None = None
    assumed: bool = False

    @property
    def label(self) -> str:
        """Name the figure as it must be shown beside it, such as "MOS-LQ NB"."""
        notes = [note for note, holds in (("estimated", self.estimated), ("delay assumed", self.assumed)) if holds]
        return f"MOS-{self.kind} {self.scale}" + (f" ({', '.join(notes)})" if notes else "")

    @property
    def band(self) -> str:
        """Name the category of G.109, on whichever scale."""
        return band(self.r / _DIVISOR[self.scale])


def impairment_of(encoding: str) -> Impairment | None:
    """Find the numbers of an encoding by its name in SDP; None when nothing is known of it."""
    return _BY_NAME.get(encoding.lower())


def mos(r: float, scale: Scale = Scale.NB) -> float:
    """Turn R into MOS, 1 to 4.5 (G.107, annex B; its dip below 1 near R 3 is cut off)."""
    r = r / _DIVISOR[scale]
    if r <= 0:
        return 1.0
    if r >= 100:
        return 4.5
    return max(1.0, 1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6)


def band(r: float) -> str:
    """Name the category of speech quality (G.109) of a narrow-band R."""
    return next((name for least, name in _BANDS if r >= least), "not recommended")


def loss_impairment(codec: Impairment, loss_percent: float, burst_ratio: float = 1.0) -> float:
    """Give Ie,eff of random or bursty loss [percent of the packets, late ones included] (G.107, 7.5).

    The wide and full-band models know no burst ratio (G.107.1, G.107.2).
    """
    ratio = max(burst_ratio, 1.0) if codec.scale is Scale.NB else 1.0
    if loss_percent <= 0:
        return codec.ie
    return codec.ie + (_ROOM[codec.scale] - codec.ie) * loss_percent / (loss_percent / ratio + codec.bpl)


def delay_impairment(delay_ms: float) -> float:
    """Give Id of a mouth-to-ear delay, simplified (Cole and Rosenbluth 2001)."""
    return 0.024 * delay_ms + 0.11 * max(0.0, delay_ms - 177.3)


def pure_delay_impairment(delay_ms: float) -> float:
    """Give Idd: what too long a delay impairs even without echo (G.107, 7.4)."""
    if delay_ms <= 100:
        return 0.0
    x = math.log2(delay_ms / 100)
    return 25 * (math.pow(1 + x**6, 1 / 6) - 3 * math.pow(1 + (x / 3) ** 6, 1 / 6) + 2)


def rate(codec: Impairment, loss_percent: float, burst_ratio: float = 1.0, delay_ms: float | None = None) -> float:
    """Give R on the scale of the codec, simplified model without advantage factor; `delay_ms` None leaves delay out."""
    r = _BEST[codec.scale] - loss_impairment(codec, loss_percent, burst_ratio)
    if delay_ms is None:
        return r
    return r - (1.48 * pure_delay_impairment(delay_ms) if codec.scale is Scale.FB else delay_impairment(delay_ms))


def score(
    codec: Impairment,
    loss_percent: float,
    burst_ratio: float = 1.0,
    delay_ms: float | None = None,
    *,
    assumed: bool = False,
) -> Score:
    """Score a stream: LQ without a delay, CQ with one; `assumed` tells that nobody measured that delay.

    `loss_percent` = 100 * (lost in the network + too late for the jitter buffer) / expected.
    """
    r = rate(codec, loss_percent, burst_ratio, delay_ms)
    return Score(
        mos=mos(r, codec.scale),
        r=r,
        kind=Kind.LQ if delay_ms is None else Kind.CQ,
        scale=codec.scale,
        estimated=codec.estimated,
        origin=codec.origin,
        loss_percent=loss_percent,
        burst_ratio=burst_ratio,
        delay_ms=delay_ms,
        assumed=assumed and delay_ms is not None,
    )


def mouth_to_ear_ms(codec: Impairment, one_way_ms: float, buffer_ms: float, packet_ms: float) -> float:
    """Add up Ta: the network one way, the jitter buffer, a packet's length and the codec's look-ahead."""
    return one_way_ms + buffer_ms + packet_ms + codec.look_ahead_ms


def burst_ratio_of_chain(p: float, q: float) -> float:
    """Give BurstR of a two-state chain: `p` into loss, `q` out of it."""
    return 1 / (p + q)


def burst_ratio(lost: int, runs: int, expected: int) -> float:
    """Give BurstR of a trace: the mean run of loss against that of random loss, at least 1."""
    if not lost or not runs or not expected:
        return 1.0
    return max(1.0, lost / runs * (1 - lost / expected))


# The full model with the defaults of G.107, table 2: circuit noise and loudness give Ro, Is stays as it is.
_SLR, _RLR, _TELR, _WEPL, _LSTR, _ROOM_NOISE, _CIRCUIT_NOISE, _FLOOR_NOISE, _D = 8, 2, 65, 110, 18, 35, -70, -64, 3
_IS: Final = 1.4136


def _noise() -> float:
    send = _ROOM_NOISE - _SLR - _D - 100 + 0.004 * (_ROOM_NOISE - _SLR - _RLR - _D - 14) ** 2
    heard = _ROOM_NOISE + 10 * math.log10(1 + 10 ** ((10 - _LSTR) / 10))
    receive = _RLR - 121 + heard + 0.008 * (heard - 35) ** 2
    return 10 * math.log10(sum(10 ** (level / 10) for level in (_CIRCUIT_NOISE, send, receive, _FLOOR_NOISE + _RLR)))


_NO: Final = _noise()
_RO: Final = 15 - 1.5 * (_SLR + _NO)


def full_delay_impairment(delay_ms: float) -> float:
    """Give Id of the full model: talker echo, listener echo and pure delay with default echo loss (G.107, 7.4)."""
    heard = _TELR - 40 * math.log10((1 + delay_ms / 10) / (1 + delay_ms / 150)) + 6 * math.exp(-0.3 * delay_ms**2)
    talker = (-1.5 * (_NO - _RLR) - (80 + 2.5 * (heard - 14))) / 2
    listener = (_RO - 10.5 * (_WEPL + 7) * math.pow(2 * delay_ms + 1, -0.25)) / 2
    return (
        (talker + math.sqrt(talker**2 + 100) - 1) * (1 - math.exp(-delay_ms))
        + listener
        + math.sqrt(listener**2 + 169)
        + pure_delay_impairment(delay_ms)
    )


def full_rate(codec: Impairment, loss_percent: float, burst_ratio: float = 1.0, delay_ms: float = 0.0) -> float:
    """Give the narrow-band R of the full model with its default parameters. Raises ValueError for other scales."""
    if codec.scale is not Scale.NB:
        raise ValueError(f"scale: found {codec.scale}; allowed: NB, which is all that G.107 speaks of")
    return _RO - _IS - full_delay_impairment(delay_ms) - loss_impairment(codec, loss_percent, burst_ratio)
