"""The formulas by which other programs turn loss, delay and jitter into MOS, to compare with what they show.

None of them is the E-model, and none is what sipflow reports: that is emodel.
"""

from typing import Final

from sipflow.media.emodel import R_NARROW, burst_ratio, delay_impairment, mos

_VOIPMONITOR_R0: Final = 93.2062
_VOIPMONITOR_BPL: Final = 17.2647
_VOIPMONITOR_LEAST: Final = 5  # fewer lost in an interval are not counted


def voipmonitor_rate(lost: int, received: int, runs: int) -> float:
    """Give R as VoIPmonitor reckons it, from the packets of an interval and the `runs` the lost ones came in."""
    share = lost / max(lost + received, 1)
    ratio = burst_ratio(lost, runs, lost + received)
    percent = 100 * share
    return _VOIPMONITOR_R0 - 95 * percent / (percent / ratio + _VOIPMONITOR_BPL)


def voipmonitor_mos(lost: int, received: int, runs: int) -> float:
    """Give MOS as VoIPmonitor reckons it; delay plays no part."""
    if lost < _VOIPMONITOR_LEAST:
        return 4.5
    if lost > received:
        return 1.0
    r = voipmonitor_rate(lost, received, runs)
    return min(4.5, max(1.0, 2.06405 + 0.031738 * r - 0.000356641 * r**2 + 2.93143e-6 * r**3))


def rtpengine_rate(loss_percent: float, delay_ms: float) -> float:
    """Give R as rtpengine reckons it on the narrow band; `delay_ms` is half the round trip plus jitter."""
    r = R_NARROW - loss_percent
    return 0.18 * r**2 - 27.9 * r + 1126.62 - delay_impairment(delay_ms)


def rtpengine_mos(loss_percent: float, delay_ms: float) -> float:
    """Give MOS as rtpengine reckons it on the narrow band; arguments as of rtpengine_rate."""
    return mos(rtpengine_rate(loss_percent, delay_ms))


def effective_latency_rate(round_trip_ms: float, jitter_ms: float, loss_percent: float) -> float:
    """Give R by "effective latency", as PingPlotter, nProbe and older versions of rtpengine do."""
    effective = round_trip_ms + 2 * jitter_ms + 10
    r = R_NARROW - (effective / 40 if effective < 160 else (effective - 120) / 10)
    return r - 2.5 * loss_percent


def effective_latency_mos(round_trip_ms: float, jitter_ms: float, loss_percent: float) -> float:
    """Give MOS by "effective latency"; arguments as of effective_latency_rate."""
    return mos(effective_latency_rate(round_trip_ms, jitter_ms, loss_percent))
