"""What a person at a terminal sees of a run."""

import io
import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from running import RunningServer
from sipflow.load import cli
from sipflow.load.view import Screen

ROW = re.compile(r"^(sending|rate|ramp|sent|stored|lost|errors|comparing) +(\S.*?) *$", re.MULTILINE)


def shown(text: str) -> dict[str, list[str]]:
    """Give what stood in each row, one after the other."""
    rows: dict[str, list[str]] = {}
    # What is recorded lacks how the cursor goes back to the first row.
    for name, said in ROW.findall(re.sub("(?=sending |comparing )", "\n", text)):
        rows.setdefault(name, []).append(said)
    return rows


def count(said: str) -> int:
    return int(said.split(maxsplit=1)[0].replace(",", ""))


def test_the_screen_follows_a_run_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(record=True, force_terminal=True, width=120, height=30, file=io.StringIO())
    monkeypatch.setattr(cli, "_view", lambda _: Screen(console))
    with RunningServer(tmp_path / "root") as server:
        run = CliRunner().invoke(
            cli.main,
            ["--to", f"127.0.0.1:{server.udp[1]}", "--cps", "5..20", "--duration", "4", "--talk", "2", "--verify",
             server.url, "--json", str(tmp_path / "outcome.json")],
        )  # fmt: skip
    assert run.exit_code == 0, run.output
    outcome = json.loads((tmp_path / "outcome.json").read_text())
    rows = shown(console.export_text())

    # It moves: what was sent grows, and the rate is that of a run which sends all of it in its time.
    sent = [count(said) for said in rows["sent"]]
    assert sent == sorted(sent)
    assert sent[0] < sent[-1] == outcome["sent"]["sip"] + outcome["sent"]["rtp"]
    assert (
        f"{outcome['sent']['calls']:,} calls, {outcome['sent']['sip']:,} SIP, {outcome['sent']['rtp']:,} RTP"
        in (rows["sent"][-1])
    )
    assert 0.3 < max(count(said) for said in rows["rate"]) / outcome["rate"] < 4
    assert all("packets/s" in said for said in rows["rate"])
    asked = [float(said.split()[0]) for said in rows["ramp"]]
    assert 5 <= asked[0] < asked[-1] <= 20

    # What the server says it has, and how many calls are as they were sent.
    stored = [count(said) for said in rows["stored"]]
    assert 0 < max(stored) <= sent[-1]
    assert {count(said) for said in rows["lost"]} == {count(said) for said in rows["errors"]} == {0}
    calls = outcome["sent"]["calls"]
    assert rows["comparing"][-1].endswith(f"{calls} of {calls} as sent")
    seconds = [re.search(r"(\d+) of (\d+) s of the calls' clock", said) for said in rows["sending"]]
    done = [(int(found[1]), int(found[2])) for found in seconds if found]
    assert done[0][0] < done[-1][0] == done[-1][1]
