"""Rules of one's own: registered, asked, and never able to break a diagnosis."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from diagnose.scene import talked
from sipflow.diagnose import Call, Finding, Severity, diagnose, load_rules, rule


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sipflow.diagnose.own_rule._registered", {})


def seen(call: Call) -> Iterator[Finding]:
    yield Finding("own", Severity.ERROR, f"It has {len(call.messages)} messages.", "house rule 1")


def test_a_registered_rule_is_asked() -> None:
    assert rule(seen) is seen
    assert [finding.sentence for finding in diagnose(talked().call) if finding.code == "own"] == ["It has 7 messages."]


def test_a_rule_that_fails_is_a_finding() -> None:
    @rule
    def wrong(_call: Call) -> Iterable[Finding]:
        raise ValueError("no such thing")

    found = [finding for finding in diagnose(talked().call) if finding.code == "rule-failed"]
    assert [finding.sentence for finding in found] == ["The rule wrong failed: ValueError: no such thing."]


def test_a_rule_that_gives_something_else_or_too_much() -> None:
    def endless(_call: Call) -> Iterator[Finding]:
        while True:
            yield "text"  # type: ignore[misc]

    found = diagnose(talked().call, [endless])
    assert sum("gave a str instead of a Finding" in finding.sentence for finding in found) == 100


def test_a_file_of_rules(tmp_path: Path) -> None:
    file = tmp_path / "house.py"
    file.write_text(
        "import sipflow.diagnose as d\n"
        "@d.rule\n"
        "def long_talk(call):\n"
        "    yield d.Finding('long', d.Severity.NOTE, 'Long.', 'house rule 2')\n"
    )
    load_rules(file)
    assert any(finding.code == "long" for finding in diagnose(talked().call))


def test_a_file_that_cannot_be_loaded_is_a_finding(tmp_path: Path) -> None:
    file = tmp_path / "house.py"
    file.write_text("1 / 0\n")
    load_rules(file)
    found = [finding.sentence for finding in diagnose(talked().call) if finding.code == "rule-failed"]
    assert found == ["The rules file house.py cannot be loaded (ZeroDivisionError: division by zero)."]
