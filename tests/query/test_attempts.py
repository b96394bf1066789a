"""Attempts to register: paired as RFC 6076 has it, and counted in real buckets."""

from pathlib import Path

import pytest

from capture_writer import frame, pcap, sip
from sipflow.clock import SECOND_US
from sipflow.importer import import_files
from sipflow.query.attempts import Attempts, Transaction, count_attempts
from sipflow.query.history import History
from sipflow.query.window import Window

T0 = 1_753_000_000 * SECOND_US
LATE = T0 + 3600 * SECOND_US
PHONE, REGISTRAR = ("192.0.2.10", 5060), ("192.0.2.20", 5060)


def asked(at_s: float, took_s: float | None, status: int | None) -> Transaction:
    at_us = T0 + round(at_s * SECOND_US)
    return Transaction(at_us, None if took_s is None else at_us + round(took_s * SECOND_US), status)


@pytest.mark.parametrize(
    ("transactions", "found"),
    [
        ([asked(0, 0.1, 200)], Attempts(1, 0, 1, 100_000)),
        # A challenge and what meets it are one attempt, timed from the first REGISTER on.
        ([asked(0, 0.1, 401), asked(0.2, 0.3, 200)], Attempts(1, 0, 1, 500_000)),
        ([asked(0, 0.1, 407), asked(0.2, 0.1, 403)], Attempts(1, 1, 0, 0)),
        ([asked(0, None, None)], Attempts(1, 1, 0, 0)),
        ([asked(0, 0.1, 302)], Attempts(1, 0, 0, 0)),
        # Never met: an attempt, and none of the registrar's failures (section 4.2 leaves challenges out).
        ([asked(0, 0.1, 401)], Attempts(1, 0, 0, 0)),
        ([asked(0, 0.1, 401), asked(600, 0.1, 200)], Attempts(2, 0, 1, 100_000)),
        ([asked(0, 0.1, 200), asked(600, 0.2, 503), asked(660, 0.3, 200)], Attempts(3, 1, 2, 400_000)),
        ([Transaction(None, T0, 200)], Attempts()),
        ([asked(3599, None, None)], Attempts()),
    ],
)
def test_transactions_make_attempts(transactions: list[Transaction], found: Attempts) -> None:
    assert count_attempts(transactions, LATE) == found


def test_nothing_gives_no_value() -> None:
    assert (Attempts().ira, Attempts().rrd_s) == (None, None)
    assert Attempts(8, 2, 4, 3 * SECOND_US).ira == 25.0
    assert Attempts(8, 2, 4, 3 * SECOND_US).rrd_s == 0.75


def register(call_id: str, cseq: int, at_s: float, answers: list[tuple[float, str]]) -> list[tuple[int, bytes]]:
    head = f"{cseq} REGISTER"
    found = [(T0 + round(at_s * SECOND_US), sip("REGISTER sip:example.com SIP/2.0", call_id, head))]
    for after_s, status in answers:
        found.append((T0 + round((at_s + after_s) * SECOND_US), sip(f"SIP/2.0 {status}", call_id, head, to_tag="r")))
    return [
        (at_us, frame(*((PHONE, REGISTRAR) if octets.startswith(b"REGISTER") else (REGISTRAR, PHONE)), octets))
        for at_us, octets in found
    ]


def test_a_bucket_tells_delays_and_failures(tmp_path: Path) -> None:
    frames = [
        *register("good", 1, 0, [(0.1, "401 Unauthorized")]),
        *register("good", 2, 0.2, [(0.05, "100 Trying"), (0.2, "200 OK")]),
        # The answer was sent twice, the request as well.
        *register("bad", 1, 5, [(0.1, "503 Service Unavailable"), (0.6, "503 Service Unavailable")]),
        *register("silent", 1, 10, []),
        *register("silent", 1, 10.5, []),
        *register("last", 1, 120, [(0.1, "200 OK")]),
    ]
    capture = tmp_path / "registers.pcap"
    capture.write_bytes(pcap(sorted(frames)))
    import_files([capture], tmp_path / "root")
    history = History.open(tmp_path / "root")
    found = history.registrations(Window())
    assert (found.users, found.attempts, found.ineffective, found.ira) == (1, 4, 2, 50.0)
    assert found.rrd_s == pytest.approx(0.25)
    assert found.registrations[0].attempts == 4
    assert found.registrations[0].rrd_s == pytest.approx(0.25)
    early = history.registrations(Window(end_us=T0 + SECOND_US))
    assert (early.attempts, early.ineffective) == (1, 0)
    history.close()
