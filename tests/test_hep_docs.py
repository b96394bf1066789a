"""docs/HEP.md says of HEP what the code does: limits, words of refusal, and the lines that the console shows."""

import re
from pathlib import Path

from sipflow.config import DEFAULT_HEP
from sipflow.hep import connections

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "HEP.md").read_text("utf-8")
CONSOLE = (ROOT / "src" / "sipflow" / "web" / "console" / "templates" / "hep_lines.html").read_text("utf-8")


def section(title: str) -> str:
    return re.split(r"^#+ ", PAGE.split(f"# {title}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def test_limits_and_ports_are_those_of_the_code() -> None:
    text = section("Where it comes in")
    assert f'hep = "{DEFAULT_HEP}"' in text
    assert f"{connections.CONNECTIONS_MAX} connections may be open, {connections.CONNECTIONS_OF_ONE} from" in text
    assert connections.HANDSHAKE_SECONDS == 10
    assert "A handshake has ten seconds" in text
    header = (ROOT / "src" / "sipflow" / "_fast" / "unpack.h").read_text("utf-8")
    assert f"#define SF_UNPACKED_MAX {256 << 10}" in header
    assert "up to 256 KB when unpacked" in section("What is taken")


def test_words_are_those_of_the_code() -> None:
    source = (ROOT / "src" / "sipflow" / "_fast" / "status.c").read_text("utf-8")
    known = set(re.findall(r'= "(\w+)"', source))
    listed = set(re.findall(r"^\| `(\w+)` \|", section("What is refused"), re.MULTILINE))
    assert listed <= known
    assert {word for word in known if "hep" in word} <= listed


def test_the_console_shows_the_same_lines() -> None:
    filled = re.sub(r"' ~ host ~ \":\" ~ hep_port ~? ?'?", "COLLECTOR:9060", CONSOLE)
    for title in ("Kamailio", "OpenSIPS", "FreeSWITCH", "Asterisk"):
        (block,) = re.findall(rf'lines\("{title}", .*?,\n\'(.*?)\'?\) }}}}', filled, re.DOTALL)
        told = section(title)
        lines = [line.strip() for line in block.replace("COLLECTOR:9060\n'", "COLLECTOR:9060\n").splitlines()]
        assert len(lines) > 2
        for line in filter(None, lines):
            assert line.strip("'") in told, f"{title}: {line}"
