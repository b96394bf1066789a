"""docs/LOAD.md: its options, profiles, scenarios and members exist, all of them, and its examples are understood."""

import re
import shlex
from pathlib import Path

import click
import msgspec
import pytest
from click.testing import CliRunner

from sipflow.load import cli
from sipflow.load.codec import SPOKEN
from sipflow.load.impairment import Impairment
from sipflow.load.outcome import Outcome
from sipflow.load.profile import PROFILES
from sipflow.load.report import Report
from sipflow.load.scenario import Scenario
from sipflow.load.target import Target
from sipflow.load.verdict import Found, Verdict

PAGE = (Path(__file__).parents[1] / "docs" / "LOAD.md").read_text("utf-8")
EXAMPLES = [shlex.split(line) for line in re.findall(r"^sipflow-load .*$", PAGE, re.MULTILINE)]
# What --help says of itself, and what every program has.
OF_COURSE = {"--help", "--version"}


def options() -> set[str]:
    names = (name for option in cli.main.params for name in (*option.opts, *option.secondary_opts))
    return {name for name in names if name.startswith("--")} - OF_COURSE


def table(head: str) -> list[tuple[str, str]]:
    """Give the rows of the table with this head."""
    part = PAGE.split(f"| {head} | what |\n|---|---|\n", 1)[1].split("\n\n", 1)[0]
    return [(row.split(" | ")[0].lstrip("| "), row.split(" | ", 1)[1]) for row in part.splitlines()]


def test_every_option_is_on_the_page_and_no_other() -> None:
    assert set(re.findall(r"--[a-z][a-z0-9-]*", PAGE)) == options()


@pytest.mark.parametrize("arguments", EXAMPLES, ids=range(len(EXAMPLES)))
def test_an_example_is_understood(arguments: list[str]) -> None:
    """As far as sending: everything that the options say is read and makes a plan."""
    context = click.Context(cli.main)
    cli.main.parse_args(context, arguments[1:])
    given = msgspec.convert({**context.params, "steps": context.params["steps"] or 0}, cli.Options)
    cli._refuse_contradictions(given)
    run = cli._run_of(given, Target(given.to, given.node, given.config, given.verify or ""))
    assert next(run.schedule.calls()).messages()


def test_profiles_scenarios_and_codecs_are_named() -> None:
    assert {name.strip("`") for name, _ in table("profile")} == set(PROFILES)
    named = PAGE.split("Scenarios: ", 1)[1].split("Dialogs of one call", 1)[0]
    assert set(re.findall(r"`([a-z0-9-]+)`", named)) == set(Scenario)
    for codec in (codec for profile in PROFILES.values() for codec, _ in profile.codecs):
        assert codec in SPOKEN
        assert codec.name in PAGE


def test_impairments_are_read_as_the_table_writes_them() -> None:
    parts = [part.strip("`") for part, _ in table("part")]
    assert not Impairment.parse(",".join(parts)).perfect
    assert {part.partition("=")[0] for part in parts} == {"loss", "burst", "jitter", "reorder", "duplicate"}


def test_the_members_of_the_outcome_are_all_there() -> None:
    rows = dict(table("member"))
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert named == set(Outcome.__struct_fields__)
    assert set(re.findall(r"`(\w+)`", rows["`sent`"])) == set(Report.__struct_fields__)
    told = set(re.findall(r"`(\w+)`", rows["`verdict`"])) - {"null"}
    assert told == {*Verdict.__struct_fields__, *Found.__struct_fields__}


def test_a_run_that_goes_nowhere_is_refused() -> None:
    for arguments in ([], ["--to", "127.0.0.1:1", "--ceiling"], ["--ceiling", "--verify"]):
        done = CliRunner().invoke(cli.main, arguments)
        assert done.exit_code == 2
        assert "allowed" in done.output or "of no use" in done.output
