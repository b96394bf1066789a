"""README.md: what it tells people to type is understood."""

import re
import shlex
import tomllib
from pathlib import Path

import click
import pytest
from starlette.routing import Route

from memory_history import MemoryHistory, SteadyRecorder
from sipflow.cli import main
from sipflow.config import Settings, load
from sipflow.server_options import parse_arguments
from sipflow.storage.layout import HOUR_US
from sipflow.web.app import build

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "README.md").read_text("utf-8")
TABLES = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = [line.partition("  #")[0] for line in re.findall(r"^(sipflow(?:-server)? .*)$", PAGE, re.MULTILINE)]


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_are_understood(command: str) -> None:
    program, *arguments = shlex.split(command)
    if program == "sipflow-server":
        assert parse_arguments(arguments).root == Path("/var/lib/sipflow")
        return
    name, *rest = arguments
    found = main.get_command(click.Context(main), name)
    assert found is not None
    # Parses, and does nothing.
    found.make_context(name, rest)


def test_every_command_is_shown() -> None:
    assert {shlex.split(command)[1] for command in COMMANDS if command.startswith("sipflow ")} == set(main.commands)


def test_the_archive_that_is_shown_is_one(tmp_path: Path) -> None:
    (tmp_path / "sipflow.toml").write_text(TABLES[2], encoding="utf-8")
    upload = load(tmp_path / "sipflow.toml", environment={}).upload
    assert upload is not None
    assert (upload.vendor, upload.bucket, upload.keep_local) == ("minio", "calls", 24 * HOUR_US)


def test_the_settings_load(tmp_path: Path) -> None:
    (tmp_path / "sipflow.toml").write_text(TABLES[0], encoding="utf-8")
    settings = load(tmp_path / "sipflow.toml", environment={})
    assert settings.root == Path("/var/lib/sipflow")
    assert settings.without_effect == ()
    assert settings.udp == Settings().udp


def test_what_rustpbx_is_told_fits_the_defaults() -> None:
    told = tomllib.loads(TABLES[1])
    (node,) = told["sipflow"]["nodes"]
    assert node["udp"].endswith(f":{Settings().udp[0].port}")
    assert node["http"].endswith(f":{Settings().http.port}")


def test_paths_are_routes() -> None:
    routes = [one for one in build(MemoryHistory(), SteadyRecorder(), Settings()).routes if isinstance(one, Route)]
    table = PAGE.split("## Ask over HTTP\n", 1)[1].split("\n\n**", 1)[0]
    paths = re.findall(r"`(/[\w/.]+)", "\n".join(row.split("|")[1] for row in table.splitlines() if row[:3] == "| `"))
    assert len(paths) == 16
    for path in paths:
        assert any(route.path_regex.match(path) for route in routes), path


def test_make_knows_what_it_is_told() -> None:
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert set(re.findall(r"\bmake (\w+)\b", PAGE)) - set(targets) == set()
