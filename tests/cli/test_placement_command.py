"""`sipflow placement`: which nodes keep a call, and why."""

from click.testing import CliRunner

from sipflow.cli import main


def told(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["placement", *arguments])
    return done.exit_code, done.output


def test_the_owner_by_the_published_hash() -> None:
    wanted = "call-123: c\n  try 1: slot 2 of 3 (jump hash of the Call-ID): c keeps it\n"
    assert told("--nodes", "a,b,c", "--explain", "call-123") == (0, wanted)


def test_what_a_removed_node_and_a_second_owner_change() -> None:
    # The same call as in the golden slots of tests/test_placement.py.
    status, text = told("--nodes", "a,-,c,d,-,f", "--replicas", "2", "--explain", "1-2345@10.0.0.1")
    first, *tries = text.splitlines()
    assert (status, first) == (0, "1-2345@10.0.0.1: d and c")
    assert tries[0] == "  try 1: slot 4 of 6 (jump hash of the Call-ID): empty: its node was removed"
    assert [line.rpartition(": ")[2] for line in tries if line.endswith("keeps it")] == ["d keeps it", "c keeps it"]


def test_a_wrong_list_is_refused_in_one_line() -> None:
    status, text = told("--nodes", "a,a", "--explain", "x")
    assert status == 2
    assert text.startswith("sipflow: --nodes: found 'a,a'; allowed: names between commas")
    assert text.count("\n") == 1
