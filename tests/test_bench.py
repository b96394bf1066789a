"""bench/: what it measures with, what it keeps, and the table it writes into the README."""

import re
import socket
from pathlib import Path

import pytest
from bench import __main__ as program
from bench import results
from bench.archive import build
from bench.bare import Bare
from bench.figures import (
    Column,
    Findings,
    Line,
    NothingToMeasure,
    Row,
    Scale,
    Spread,
    machine,
    spread,
    spread_rows,
    table,
    written,
)
from bench.results import BEGIN, END, README, Results, load, markdown, measured, read, rewritten, save
from bench.watch import slope

from sipflow.errors import CallUnknown
from sipflow.query.answer import Criteria
from sipflow.query.history import History

COLUMNS = [Column("name", "name"), Column("rate", "rate/s", ",.0f"), Column("loss", "loss", ".2f")]
FINDINGS = Findings(
    "a title",
    COLUMNS,
    [{"name": "one", "rate": Spread(1500.0, 1400.0, 1600.0, 3), "loss": None}],
    {"seconds": 8.0},
    [Line("packets a second | more", written(Spread(1500.0, 1400.0, 1600.0, 3)), "2,000")],
)


def section() -> list[list[str]]:
    """Read the rows of the README's table, without heading and rule."""
    block = README.read_text("utf-8").split(BEGIN, 1)[1].split(END, 1)[0]
    rows = [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in block.splitlines()
        if line.startswith("|")
    ]
    assert rows[0] == ["what", "figure", "aim"]
    return rows[2:]


def test_the_table_of_the_readme_is_one_that_the_program_writes() -> None:
    for what, figure, _ in section():
        name = re.search(r"\(`(\w+)`(, quick)?\)$", what)
        assert name is not None, what
        assert name[1] in program.BENCHES
        assert figure


def test_the_section_is_replaced_and_nothing_else() -> None:
    page = README.read_text("utf-8")
    block = markdown(
        Results(machine(), {"query": measured(FINDINGS, quick=True, runs=3, seconds=1.0, load_before=0.5)})
    )
    once = rewritten(page, block)
    assert "| packets a second \\| more (`query`, quick) | 1,500 (1,400 to 1,600) | 2,000 |" in once
    assert rewritten(once, block) == once
    assert once.split(BEGIN)[0] == page.split(BEGIN)[0]
    assert once.split(END)[1] == page.split(END)[1]


@pytest.mark.parametrize("page", ["", BEGIN, f"{END} {BEGIN}", f"{BEGIN} {BEGIN} {END}"])
def test_a_page_without_the_one_place_is_refused(page: str) -> None:
    with pytest.raises(ValueError, match="bench: begin"):
        rewritten(page, "table")


def test_results_come_back_as_they_were_kept_and_not_on_another_machine(tmp_path: Path) -> None:
    path = tmp_path / "results" / "bench.json"
    assert load(path).benches == {}
    kept = Results(machine(), {"query": measured(FINDINGS, quick=False, runs=3, seconds=1.0, load_before=0.5)})
    save(kept, path)
    assert load(path) == read(path) == kept
    kept.machine["processor"] = "another"
    save(kept, path)
    assert load(path).benches == {}
    assert read(path).benches == kept.benches


def test_the_last_results_are_printed_again_and_put_into_the_readme(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(results, "PATH", tmp_path / "bench.json")
    monkeypatch.setattr(results, "README", tmp_path / "README.md")
    results.README.write_text(f"# one\n{BEGIN}\nold\n{END}\n# two\n", "utf-8")
    monkeypatch.setattr("sys.argv", ["bench", "--table"])
    assert program.main() == 1
    assert "run python -m bench" in capsys.readouterr().err
    save(
        Results(machine(), {"wav": measured(FINDINGS, quick=True, runs=1, seconds=1.0, load_before=0.5)}), results.PATH
    )
    assert program.main() == 0
    assert "| packets a second" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["bench", "--readme"])
    assert program.main() == 0
    page = results.README.read_text("utf-8")
    assert page.startswith(f"# one\n{BEGIN}\n| what |")
    assert page.endswith(f"{END}\n# two\n")
    assert "old" not in page


def test_what_is_measured_again_replaces_what_was_and_a_failure_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(scale: Scale) -> Findings:
        raise RuntimeError("no server")

    def absent(scale: Scale) -> Findings:
        raise NothingToMeasure("no captures")

    monkeypatch.setattr(results, "PATH", tmp_path / "bench.json")
    monkeypatch.setattr(program, "BENCHES", {"query": broken, "packet": absent, "wav": lambda _scale: FINDINGS})
    monkeypatch.setattr("sys.argv", ["bench", "--quick"])
    assert program.main() == 1
    found = read(tmp_path / "bench.json")
    assert (found.benches["wav"].findings, found.benches["wav"].quick) == (FINDINGS, True)
    assert list(found.benches) == ["wav"]
    assert found.failed == {"query": "RuntimeError: no server"}


def test_several_runs_become_median_and_bounds() -> None:
    assert spread([3, 1, 2]) == Spread(2, 1, 3, 3)
    runs: list[Row] = [{"name": "a", "rate": rate, "loss": None, "calls": 7} for rate in (5.0, 9.0, 6.0)]
    assert spread_rows(runs) == {"name": "a", "rate": Spread(6.0, 5.0, 9.0, 3), "loss": None, "calls": 7}
    with pytest.raises(ValueError, match="no run"):
        spread([])


def test_tables_align_and_show_what_is_missing() -> None:
    assert table(COLUMNS, FINDINGS.rows) == "name  rate/s  loss\none    1,500     -"


def test_growth_is_told_from_a_steady_level() -> None:
    assert slope([(n, 100 + 50 * n) for n in range(10)]) == pytest.approx(50)
    assert slope([(n, 100 + n % 2) for n in range(10)]) == pytest.approx(0, abs=0.1)
    assert slope([(0.0, 1)]) == 0


def test_the_bare_loop_counts_what_it_throws_away() -> None:
    with Bare() as bare, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _ in range(300):
            sock.sendto(b"octets", ("127.0.0.1", bare.udp))
        taken = bare.stop()
    assert (taken.datagrams, taken.octets, taken.drops) == (300, 1800, 0)


def test_an_archive_answers_for_its_real_hours_and_knows_no_other_call(tmp_path: Path) -> None:
    archive = build(tmp_path, hours=5, calls_per_hour=40, real_hours=2, media_rows=6)
    history = History.open(tmp_path)
    assert [len(history.flow(one).messages) > 0 for one in archive.calls] == [True] * 80
    newest = history.calls(Criteria(limit=40)).calls
    assert {one.call_id for one in newest} == set(archive.calls[40:])
    with pytest.raises(CallUnknown):
        history.call("unknown")
    history.close()
    assert archive.parts == 5
