"""The E-model against published and independently computed numbers."""

import pytest

from sipflow.media import emodel
from sipflow.media.emodel import (
    G711,
    G711_PLAIN,
    G722,
    G723,
    G729A_VAD,
    GSM_EFR,
    OPUS,
    Impairment,
    Kind,
    Scale,
    band,
    burst_ratio,
    delay_impairment,
    full_rate,
    impairment_of,
    loss_impairment,
    mos,
    mouth_to_ear_ms,
    pure_delay_impairment,
    rate,
    score,
)
from sipflow.media.peer_scores import (
    effective_latency_mos,
    effective_latency_rate,
    rtpengine_mos,
    rtpengine_rate,
    voipmonitor_mos,
    voipmonitor_rate,
)

CODECS = (G711, G711_PLAIN, G729A_VAD, G723, GSM_EFR, OPUS)


@pytest.mark.parametrize(
    ("r", "expected"),
    [
        (0, 1.0),
        (10, 1.035),
        (50, 2.575),
        (60, 3.1),
        (70, 3.597),
        (80, 4.024),
        (90, 4.339),
        (93.2, 4.4093),
        (94, 4.4242),
        (100, 4.5),
    ],
)
def test_mos_of_r(r: float, expected: float) -> None:
    assert mos(r) == pytest.approx(expected, abs=6e-5)


def test_mos_stays_between_1_and_4_5() -> None:
    assert mos(3) == 1.0  # the cubic itself gives 0.989
    assert mos(-40) == 1.0
    assert mos(130) == 4.5


@pytest.mark.parametrize(
    ("delay", "simple", "pure"),
    [
        (0, 0, 0),
        (20, 0.48, 0),
        (50, 1.2, 0),
        (100, 2.4, 0),
        (150, 3.6, 0.1635),
        (177.3, 4.2552, 1.1721),
        (200, 7.297, 3.0444),
        (250, 13.997, 8.9167),
        (300, 20.697, 14.7607),
        (400, 34.097, 24.0701),
        (500, 47.497, 30.6359),
    ],
)
def test_delay(delay: float, simple: float, pure: float) -> None:
    assert delay_impairment(delay) == pytest.approx(simple, abs=1e-9)
    assert pure_delay_impairment(delay) == pytest.approx(pure, abs=6e-5)


# For each of CODECS: Ie,eff (None: not given), R (None: not given), MOS.
Row = list[tuple[float | None, float | None, float]]
MATRIX: list[tuple[tuple[float, float, float], Row]] = [
    (
        (20, 0, 1),
        [
            (0, 92.72, 4.400),
            (0, None, 4.400),
            (11, 81.72, 4.087),
            (15, 77.72, 3.935),
            (5, 87.72, 4.279),
            (5, None, 4.279),
        ],
    ),
    (
        (150, 0, 1),
        [
            (0, 89.60, 4.329),
            (0, None, 4.329),
            (11, 78.60, 3.970),
            (15, 74.60, 3.805),
            (5, 84.60, 4.185),
            (5, None, 4.185),
        ],
    ),
    (
        (150, 1, 1),
        [
            (3.6398, 85.960, 4.228),
            (17.9245, 71.675, 3.675),
            (15.2, 74.4, 3.796),
            (19.6784, 69.922, 3.593),
            (13.1818, 76.418, 3.882),
            (10.625, 78.975, 3.985),
        ],
    ),
    (
        (150, 2, 1),
        [
            (7.0111, 82.589, 4.118),
            (30.1587, 59.441, 3.071),
            (19.0, 70.6, 3.625),
            (23.8398, 65.760, 3.392),
            (20.0, 69.6, 3.578),
            (15.5882, 74.012, 3.779),
        ],
    ),
    (
        (150, 5, 1),
        [
            (15.7807, 73.819, 3.771),
            (51.0753, 38.525, 1.992),
            (28.5, 61.1, 3.157),
            (33.9573, 55.643, 2.872),
            (35.0, 54.6, 2.817),
            (27.5, 62.1, 3.208),
        ],
    ),
    (
        (150, 5, 2),
        [
            (17.2101, 72.390, 3.707),
            (69.8529, 19.747, 1.245),
            (30.5349, 59.065, 3.051),
            (36.5054, 53.095, 2.738),
            (41.0, 48.6, 2.502),
            (30.7143, 58.886, 3.042),
        ],
    ),
    (
        (300, 1, 1),
        [
            (None, 68.863, 3.543),
            (None, 54.578, 2.816),
            (None, 57.303, 2.959),
            (None, 52.825, 2.724),
            (None, 59.321, 3.065),
            (None, 61.878, 3.197),
        ],
    ),
]


@pytest.mark.parametrize(("case", "rows"), MATRIX)
def test_r_and_mos_of_the_simplified_model(case: tuple[float, float, float], rows: Row) -> None:
    delay, loss, ratio = case
    for codec, (impaired, r, expected) in zip(CODECS, rows, strict=True):
        if impaired is not None:
            assert loss_impairment(codec, loss, ratio) == pytest.approx(impaired, abs=6e-5)
        if r is not None:
            assert rate(codec, loss, ratio, delay) == pytest.approx(r, abs=6e-4)
        assert score(codec, loss, ratio, delay).mos == pytest.approx(expected, abs=6e-4)


@pytest.mark.parametrize(
    ("codec", "loss", "delay", "r", "expected"),
    [
        (G711, 0, 0, 93.206, 4.4094),
        (G711, 0, 100, 90.664, 4.3549),
        (G711, 0, 150, 89.539, 4.3275),
        (G711, 0, 250, 79.177, 3.9925),
        (G711, 1, 0, 89.566, 4.3282),
        (G711, 5, 0, 77.4255, 3.9231),
        (G729A_VAD, 2, 0, 74.206, 3.7876),
    ],
)
def test_the_full_model(codec: Impairment, loss: float, delay: float, r: float, expected: float) -> None:
    found = full_rate(codec, loss, delay_ms=delay)
    assert found == pytest.approx(r, abs=1e-3)
    assert mos(found) == pytest.approx(expected, abs=6e-5)


def test_the_full_model_is_for_the_narrow_band() -> None:
    with pytest.raises(ValueError, match="found WB; allowed: NB"):
        full_rate(G722, 0)


def test_from_packets_to_both_scores() -> None:
    loss = 100 * (20 + 10) / 1000
    delay = mouth_to_ear_ms(G711, 40, 60, 20)
    assert (loss, delay) == (3.0, 120.25)
    assert delay_impairment(delay) == pytest.approx(2.886)
    assert loss_impairment(G711, loss) == pytest.approx(10.1423, abs=6e-5)
    talking, listening = score(G711, loss, delay_ms=delay), score(G711, loss)
    assert (talking.kind, listening.kind) == (Kind.CQ, Kind.LQ)
    assert (talking.r, talking.mos) == pytest.approx((80.172, 4.030), abs=6e-4)
    assert (listening.r, listening.mos) == pytest.approx((83.058, 4.134), abs=6e-4)
    delay = mouth_to_ear_ms(G729A_VAD, 40, 60, 20)
    assert delay == 125
    assert loss_impairment(G729A_VAD, loss, 1.5) == pytest.approx(23.0)
    assert rate(G729A_VAD, loss, 1.5, delay) == pytest.approx(67.2)
    assert score(G729A_VAD, loss, 1.5, delay).mos == pytest.approx(3.463, abs=6e-4)


def test_burst_ratio_of_a_chain() -> None:
    assert emodel.burst_ratio_of_chain(0.01, 0.49) == pytest.approx(2.0)
    assert emodel.burst_ratio_of_chain(0.05, 0.95) == pytest.approx(1.0)
    assert emodel.burst_ratio_of_chain(0.02, 0.2) == pytest.approx(4.5455, abs=6e-5)


def test_burst_ratio_of_a_trace() -> None:
    assert burst_ratio(20, 20, 1000) == 1.0  # 0.98
    assert burst_ratio(20, 5, 1000) == pytest.approx(3.92)
    assert burst_ratio(50, 10, 1000) == pytest.approx(4.75)
    assert burst_ratio(0, 0, 1000) == burst_ratio(0, 0, 0) == 1.0


def test_wide_band() -> None:
    assert mos(64.5, Scale.WB) == pytest.approx(2.575)
    assert mos(116.1, Scale.WB) == pytest.approx(4.339, abs=6e-5)
    for loss, delay, r, expected in (
        (0, None, 116.0, 4.337),
        (1, None, 108.545, 4.171),
        (3, None, 97.077, 3.833),
        (0, 50, 114.8, 4.314),
        (1, 50, 107.345, 4.139),
        (3, 50, 95.877, 3.793),
    ):
        one = score(G722, loss, delay_ms=delay)
        assert (one.r, one.mos) == pytest.approx((r, expected), abs=6e-4)
        assert one.scale is Scale.WB
    one = score(emodel.AMR_WB, 1)
    assert (one.r, one.mos) == pytest.approx((110.143, 4.210), abs=6e-4)
    assert score(G722, 3, 3.0).r == score(G722, 3).r  # G.107.1 knows no burst ratio


def test_full_band() -> None:
    for loss, delay, r, expected in ((0, 20, 137.8, 4.408), (1, 20, 114.819, 3.929), (2, 150, 98.891, 3.444)):
        one = score(emodel.FULL_BAND, loss, delay_ms=delay)
        assert (one.r, one.mos) == pytest.approx((r, expected), abs=6e-4)


def test_a_score_says_what_it_is() -> None:
    assert score(G711, 0).label == "MOS-LQ NB"
    assert score(G722, 0, delay_ms=50).label == "MOS-CQ WB (estimated)"
    assert score(OPUS, 0, delay_ms=50, assumed=True).label == "MOS-CQ NB (estimated, delay assumed)"
    assert score(OPUS, 0, assumed=True).label == "MOS-LQ NB (estimated)"
    assert (score(G711, 0).estimated, score(G711, 0).origin) == (False, "G.113 Table I.4")
    assert score(OPUS, 0).origin.startswith("estimated")
    assert score(G711, 0).delay_ms is None


@pytest.mark.parametrize(
    ("r", "name"),
    [(90, "best"), (89.9, "high"), (80, "high"), (70, "medium"), (60, "low"), (50, "poor"), (49.9, "not recommended")],
)
def test_bands(r: float, name: str) -> None:
    assert band(r) == name


def test_a_band_is_of_the_scale() -> None:
    assert score(G722, 0).band == "high"  # 116 / 1.29 = 89.9


@pytest.mark.parametrize(
    ("name", "ie", "bpl", "estimated"),
    [
        ("PCMU", 0, 25.1, False),
        ("pcma", 0, 25.1, False),
        ("G723", 15, 16.1, False),
        ("G729", 10, 19, True),
        ("GSM-EFR", 5, 10, False),
        ("AMR", 5, 10, True),
        ("GSM", 20, 10, True),
        ("G726-40", 2, 4.3, True),
        ("G726-32", 7, 4.3, True),
        ("G726-24", 25, 4.3, True),
        ("G726-16", 50, 4.3, True),
        ("G728", 7, 16.1, True),
        ("opus", 5, 15, True),
        ("G722", 13, 10, True),
    ],
)
def test_the_table(name: str, ie: float, bpl: float, estimated: bool) -> None:
    row = impairment_of(name)
    assert row is not None
    assert (row.ie, row.bpl, row.estimated) == (ie, bpl, estimated)
    assert row.estimated == row.origin.startswith("estimated")


def test_other_rows() -> None:
    assert (G711_PLAIN.ie, G711_PLAIN.bpl) == (0, 4.3)
    assert (G729A_VAD.ie, G729A_VAD.bpl, G729A_VAD.look_ahead_ms) == (11, 19.0, 5)
    assert (emodel.G723_LOW.ie, emodel.G723_LOW.bpl) == (19, 16.1)
    assert emodel.G728_LOW.ie == 20
    assert [(fit.ie, fit.bpl, fit.scale) for fit in emodel.OPUS_FITS] == [
        (2.03, 15.95, Scale.NB),
        (19.96, 19.5, Scale.WB),
        (19.96, 16.9, Scale.WB),
        (18.06, 18.74, Scale.WB),
        (10.67, 9.79, Scale.FB),
    ]
    assert impairment_of("payload type 96") is None


# --- what peers make of the same packets ---


@pytest.mark.parametrize(
    ("lost", "received", "runs", "r", "expected"),
    [
        (5, 495, 5, 88.005, 4.093),
        (5, 495, 1, 87.767, 4.084),
        (10, 490, 10, 83.344, 3.929),
        (25, 475, 25, 71.872, 3.591),
        (25, 475, 5, 67.274, 3.478),
        (50, 450, 50, 58.363, 3.284),
    ],
)
def test_voipmonitor(lost: int, received: int, runs: int, r: float, expected: float) -> None:
    assert voipmonitor_rate(lost, received, runs) == pytest.approx(r, abs=6e-4)
    assert voipmonitor_mos(lost, received, runs) == pytest.approx(expected, abs=6e-4)


def test_voipmonitor_at_its_limits() -> None:
    assert voipmonitor_mos(0, 500, 0) == voipmonitor_mos(4, 496, 4) == 4.5
    assert voipmonitor_mos(251, 249, 30) == 1.0


@pytest.mark.parametrize(
    ("loss", "delay", "r", "expected"),
    [
        (0, 0, 89.863, 4.336),
        (1, 20, 83.911, 4.163),
        (2, 20, 78.799, 3.978),
        (5, 20, 65.623, 3.386),
        (0, 200, 82.566, 4.117),
    ],
)
def test_rtpengine(loss: float, delay: float, r: float, expected: float) -> None:
    assert rtpengine_rate(loss, delay) == pytest.approx(r, abs=6e-4)
    assert rtpengine_mos(loss, delay) == pytest.approx(expected, abs=6e-4)


@pytest.mark.parametrize(
    ("trip", "jitter", "loss", "r", "expected"),
    [(40, 2, 0, 91.85, 4.382), (40, 2, 1, 89.35, 4.323), (200, 10, 2, 77.2, 3.914), (400, 20, 5, 47.7, 2.455)],
)
def test_effective_latency(trip: float, jitter: float, loss: float, r: float, expected: float) -> None:
    assert effective_latency_rate(trip, jitter, loss) == pytest.approx(r, abs=1e-9)
    assert effective_latency_mos(trip, jitter, loss) == pytest.approx(expected, abs=6e-4)
