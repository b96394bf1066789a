"""`sipflow diagnose` and `sipflow export`, over a data directory."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sample_root import make_sample
from sipflow.cli import main


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sample(tmp_path_factory.mktemp("insight") / "root")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def test_diagnose_says_sentences_with_evidence(root: Path) -> None:
    found = run("diagnose", "early-0", "--dir", str(root))
    assert found.exit_code == 0
    assert "note    The call was answered after 0.1 s (200 OK).\n" in found.output
    assert "ended-by · RFC 3261 section 15 · message 3" in found.output


def test_diagnose_as_json_and_with_rules(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sipflow.diagnose.own_rule._registered", {})
    rules = tmp_path / "house.py"
    rules.write_text(
        "from sipflow.diagnose import Finding, Severity, rule\n"
        "@rule\ndef house(call):\n    return [Finding('house', Severity.NOTE, call.call_id, 'house rule')]\n"
    )
    found = json.loads(run("diagnose", "early-0", "--dir", str(root), "--json", "--rules", str(rules)).output)
    assert [entry["sentence"] for entry in found["findings"] if entry["code"] == "house"] == ["early-0"]


def test_an_unknown_call(root: Path) -> None:
    for command in ("diagnose", "export"):
        found = run(command, "nobody", "--dir", str(root))
        assert found.exit_code == 1
        assert "no packet of call 'nobody'" in found.output


STARTS = [
    ("pcapng", b"\n\r\r\n"),
    ("txt", b"1  2026-06-01 00:10:00.000000 UTC  192.0.2.1:5060 -> "),
    ("jsonl", b'{"time":'),
    ("bundle", b"<!doctype html>"),
]


@pytest.mark.parametrize(("form", "start"), STARTS)
def test_export(root: Path, tmp_path: Path, form: str, start: bytes) -> None:
    target = tmp_path / "out"
    assert run("export", "early-0", "--dir", str(root), "--format", form, "-o", str(target)).exit_code == 0
    assert target.read_bytes().startswith(start)


@pytest.mark.parametrize("form", ["svg", "bundle"])
def test_a_ladder_has_the_aliases_of_the_settings_but_not_under_pseudonyms(
    root: Path, tmp_path: Path, form: str
) -> None:
    config, target = tmp_path / "sipflow.toml", tmp_path / "out"
    config.write_text('[sipflow.aliases]\n"192.0.2.1" = "phone-7"\n')
    command = ("export", "early-0", "--dir", str(root), "--config", str(config), "--format", form, "-o", str(target))
    assert run(*command).exit_code == 0
    assert ">phone-7</text>" in target.read_text()
    assert run(*command, "--pseudonyms").exit_code == 0
    assert "phone-7" not in target.read_text()


def test_the_name_of_a_file_under_pseudonyms_says_nothing(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("export", "early-0", "--dir", str(root.resolve()), "--format", "txt", "--pseudonyms").exit_code == 0
    assert b"early-0" not in (tmp_path / "call.txt").read_bytes()
