"""The commands of `sipflow archive` and `sipflow hold`, over a real S3 server."""

import contextlib
import hashlib
import json
import os
import pty
import re
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from archive.http_store import http_store
from archive.test_archiver import archiver, expected_of, objects_in, parts_of
from archived_root import everything
from damage import overwrite
from s3_server import BUCKET, SECRET_KEY, S3Server
from sipflow._fast import crc32c
from sipflow.archive.archiver import Archiver
from sipflow.archive.lock import archive_lock
from sipflow.archive.opening import open_place
from sipflow.archive.remote_opening import open_remote
from sipflow.cli import care, main
from sipflow.config import Retention, load
from sipflow.destination import HOUR_US, Upload
from sipflow.query.history import History
from sipflow.storage.catalog import Catalog
from sipflow.storage.layout import CATALOG, DATA, HOLD
from sipflow.storage.sweep import Sweep
from sipflow.storage.verify import find_all, verify_bucket, verify_catalog


@pytest.fixture
def config(root: Path, upload: Upload, s3: S3Server, tmp_path: Path) -> Path:
    file = tmp_path / "sipflow.toml"
    file.write_text(
        f'[sipflow]\nroot = "{root}"\nnode = "pbx-1"\n[sipflow.upload]\ntype = "s3"\nvendor = "minio"\n'
        f'bucket = "{BUCKET}"\nregion = "us-east-1"\naccess_key = "{upload.access_key}"\nsecret_key = "{SECRET_KEY}"\n'
        f'endpoint = "{s3.url}"\nroot = "{upload.root}"\n'
    )
    return file


def run(config: Path, *arguments: str, status: int = 0) -> Result:
    result = CliRunner().invoke(main, ["archive", arguments[0], "--config", str(config), *arguments[1:]])
    assert result.exit_code == status, result.output
    assert SECRET_KEY not in result.output
    return result


def evict(root: Path) -> None:
    Sweep(root, Retention(), upload=Upload("s3", keep_local=0)).run()


def test_push_ls_evict_pull(config: Path, root: Path, s3: S3Server, upload: Upload) -> None:
    files = expected_of(root, parts_of(root))
    first, second = (part.path for part in parts_of(root))
    assert "0 parts of pbx-1, 0B; 2 parts are not archived yet" in run(config, "ls").output
    assert "2 parts" in run(config, "push").output
    assert files.items() <= objects_in(s3, upload).items()
    listing = json.loads(run(config, "ls", "--json").output)
    assert [(one["path"], one["calls"], one["local"], one["listed"]) for one in listing["parts"]] == [
        (first, 1, True, True), (second, 1, True, True)
    ]  # fmt: skip
    evict(root)
    assert not (root / first / DATA).exists()
    table = run(config, "ls", first).output
    assert re.search(rf"^{first} +1 +3 +100 .* no$", table, re.MULTILINE)
    assert second not in table
    assert "1 parts" in run(config, "pull", first).output
    assert {f"pbx-1/{first}/{name}": (root / first / name).read_bytes() for name in ("data.raw", "sipflow.db")} == {
        key: octets for key, octets in files.items() if first in key
    }
    part = parts_of(root)[0]
    assert (part.evicted_us, part.sealed) == (None, True)
    findings: list[object] = []
    assert verify_bucket(root, Path(first)).findings == []
    assert verify_catalog(root, find_all(root, [])) == findings
    history = History.open(root)
    assert len(history.flow("call-0@h").messages) == 3
    history.close()
    # It stays until somebody lets it go.
    evict(root)
    assert (root / first / HOLD).exists()
    assert (root / first / DATA).exists()
    assert "0 parts" in run(config, "pull", first).output
    assert "allowed: a path of" in run(config, "pull", "2030/01", status=2).output


def test_verify_names_what_is_damaged_and_pull_takes_none_of_it(
    config: Path, root: Path, s3: S3Server, upload: Upload
) -> None:
    run(config, "push")
    first, second = (part.path for part in parts_of(root))
    assert "2 parts of pbx-1" in run(config, "verify").output
    assert run(config, "verify").output.rstrip().endswith("sound")
    evict(root)
    top = s3.directory / BUCKET / upload.root / "pbx-1"
    octets = bytearray((top / first / DATA).read_bytes())
    octets[100] ^= 1
    (top / first / DATA).write_bytes(octets)
    assert "sound" in run(config, "verify", "--quick").output
    report = json.loads(run(config, "verify", "--json", status=1).output)
    assert [one["path"] for one in report["findings"]] == [f"pbx-1/{first}/{DATA}"]
    failed = run(config, "pull", first, status=1)
    assert "size or checksum are others" in failed.output
    assert not (root / first).exists()
    assert parts_of(root)[0].evicted_us is not None
    (top / second / "manifest.json").unlink()
    assert f"{second}: the catalog has it as archived" in run(config, "verify", status=1).output


# The polynomial of CRC-32C (RFC 3720, appendix B.4) in the order in which its bits are sent: adding it to any octets
# leaves their checksum as it is.
POLYNOMIAL = sum(1 << bit for bit in range(33) if 0x11EDC6F41 >> (32 - bit) & 1)


def test_what_a_checksum_cannot_tell_apart_is_found_by_the_digest(
    config: Path, root: Path, s3: S3Server, upload: Upload
) -> None:
    run(config, "push")
    first = parts_of(root)[0].path
    files = expected_of(root, parts_of(root))
    evict(root)
    top = s3.directory / BUCKET / upload.root / "pbx-1" / first
    manifest = json.loads((top / "manifest.json").read_bytes())
    for file in manifest["files"]:
        octets = (top / file["name"]).read_bytes()
        assert file["blake2b"] == hashlib.blake2b(octets, digest_size=32).hexdigest()
        assert (file["octets"], file["crc32c"]) == (len(octets), crc32c(octets))
    octets = files[f"pbx-1/{first}/{DATA}"]
    middle = int.from_bytes(octets[1000:1005], "little") ^ POLYNOMIAL
    other = octets[:1000] + middle.to_bytes(5, "little") + octets[1005:]
    assert other != octets
    assert crc32c(other) == crc32c(octets)
    overwrite(top / DATA, other)
    report = json.loads(run(config, "verify", "--json", status=1).output)
    assert [one["path"] for one in report["findings"]] == [f"pbx-1/{first}/{DATA}"]
    assert report["by_crc"] == 0
    assert "size or checksum are others" in run(config, "pull", first, status=1).output
    # As it was written before manifests had digests: it is read, and what cannot be known is said.
    older = {**manifest, "files": [{k: v for k, v in one.items() if k != "blake2b"} for one in manifest["files"]]}
    overwrite(top / "manifest.json", json.dumps(older).encode())
    output = run(config, "verify").output
    assert f"{len(older['files'])} objects held to a CRC-32C alone" in output
    assert output.rstrip().endswith("sound")
    assert "alone" not in run(config, "verify", "--quick").output
    assert json.loads(run(config, "verify", "--json").output)["by_crc"] == len(older["files"])
    overwrite(top / DATA, octets[:1000] + b"other" + octets[1005:])
    assert f"{first}/{DATA}: " in run(config, "verify", status=1).output
    overwrite(top / DATA, octets)
    assert "1 parts" in run(config, "pull", first).output
    assert (root / first / DATA).read_bytes() == octets


def commanded(config: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "sipflow", "archive", arguments[0], "--config", str(config), *arguments[1:]]


def on_terminal(command: list[str]) -> tuple[str, str]:
    """Run a command whose standard error is a terminal; gives what it wrote there, and its standard output."""
    leader, follower = pty.openpty()
    shown = bytearray()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=follower, env=environment) as process:
        os.close(follower)
        # The terminal holds little: who does not read it stops the command.
        with contextlib.suppress(OSError):  # its other end is closed
            while some := os.read(leader, 65_536):
                shown += some
        said, _ = process.communicate(timeout=60)
    os.close(leader)
    assert process.returncode == 0, shown
    return shown.decode(), said.decode()


def test_bars_are_for_terminals_only(config: Path, root: Path, upload: Upload, s3: S3Server) -> None:
    first, second = (part.path for part in parts_of(root))
    catalog = (root / CATALOG).read_bytes()
    steps = (("push",), ("verify",), ("pull", "--no-hold", first))
    for name in ("terminal", "pipe"):
        for command in steps:
            if command[0] == "pull":
                evict(root)
            if name == "pipe":
                done = subprocess.run(commanded(config, *command), capture_output=True, check=True, timeout=60)
                assert done.stderr == b""
                said = done.stdout.decode()
            else:
                shown, said = on_terminal(commanded(config, *command))
                assert "\x1b[" in shown
                assert first in shown
                assert (second in shown) == (command[0] != "pull")
                if command[0] != "push":
                    assert f"{first}/{DATA}" in shown
            assert said.count("\n") == 1
            assert "\x1b" not in said
            assert "\r" not in said
        # Again from the beginning: nothing is archived, and all of it is here.
        assert "1 parts" in run(config, "pull", "--no-hold", "2024").output
        shutil.rmtree(s3.directory / BUCKET / upload.root)
        for path in root.glob(f"{CATALOG}*"):
            path.unlink()
        (root / CATALOG).write_bytes(catalog)


def test_without_a_terminal_long_work_shows_a_sign_of_life(
    config: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(care, "_PLAIN_SECONDS", 0.0)
    first = parts_of(root)[0].path
    octets = (root / first / DATA).stat().st_size
    assert re.search(rf"^{first}: \d+ of \d+$", run(config, "push").stderr, re.MULTILINE)
    assert f"pbx-1/{first}/{DATA}: {octets} of {octets}\n" in run(config, "verify").stderr
    evict(root)
    pulled = run(config, "pull", first)
    assert f"pbx-1/{first}/{DATA}: {octets} of {octets}\n" in pulled.stderr
    assert pulled.stdout.count("\n") == 1


def test_a_lost_root_is_known_again(config: Path, root: Path) -> None:
    run(config, "push")
    known = parts_of(root)
    shutil.rmtree(root)
    assert "2 parts" in run(config, "adopt").output
    assert "0 parts" in run(config, "adopt").output
    again = parts_of(root)
    assert [(one.path, one.calls, one.t0_us, one.t1_us, one.archive_key) for one in again] == [
        (one.path, one.calls, one.t0_us, one.t1_us, one.archive_key) for one in known
    ]
    catalog = Catalog(root)
    assert [part.path for part in catalog.parts_with("call-1@h")] == [known[1].path]
    assert catalog.audit() == ""
    catalog.close()
    assert "2 parts" in run(config, "pull", "2024").output
    assert [verify_bucket(root, Path(one.path)).findings for one in known] == [[], []]


def test_beside_an_archiver_push_says_so(config: Path, root: Path) -> None:
    with archive_lock(root):
        assert "a server archives here already" in run(config, "push", status=1).output


def test_without_a_place_it_says_what_is_missing(tmp_path: Path) -> None:
    file = tmp_path / "sipflow.toml"
    file.write_text("[sipflow]\n")
    assert "[sipflow.upload]: found 'nothing'" in run(file, "ls", status=2).output


def test_what_expires_goes_from_the_archive_and_is_known_to_have_expired(
    root: Path, s3: S3Server, upload: Upload
) -> None:
    archiver(root, upload).turn()
    first, second = parts_of(root)
    result = CliRunner().invoke(main, ["hold", "call-1@h", "--dir", str(root), "--why", "case 7"])
    assert result.exit_code == 0, result.output
    listed = json.loads(CliRunner().invoke(main, ["hold", "--dir", str(root), "--json"]).output)
    assert [(one["call_id"], one["why"], one["parts"]) for one in listed] == [("call-1@h", "case 7", [second.path])]
    short = Upload(**{**vars(upload), "keep_local": 0, "keep_archive": HOUR_US})
    evict(root)
    clock = (second.t1_us or 0) + 2 * HOUR_US
    Archiver(root, short, "pbx-1", open_place(short), lambda: clock).turn()
    assert {key.rpartition("/")[0] for key in objects_in(s3, upload)} == {f"pbx-1/{second.path}"}
    assert [part.path for part in parts_of(root)] == [second.path]
    assert (root / second.path / DATA).exists()
    catalog = Catalog(root)
    assert [part.path for part in catalog.expired_with("call-0@h")] == [first.path]
    assert catalog.audit() == ""
    catalog.close()
    assert CliRunner().invoke(main, ["release", "call-1@h", "--dir", str(root)]).exit_code == 0
    assert CliRunner().invoke(main, ["release", "call-1@h", "--dir", str(root)]).exit_code == 1
    Archiver(root, short, "pbx-1", open_place(short), lambda: clock).turn()
    assert objects_in(s3, upload) == {}
    assert not (root / second.path).exists()


def test_a_removal_that_was_interrupted_is_finished(root: Path, s3: S3Server, upload: Upload) -> None:
    archiver(root, upload).turn()
    evict(root)
    first, _ = parts_of(root)
    catalog = Catalog(root)
    catalog.expiring(first, 5, None)
    catalog.close()
    (s3.directory / BUCKET / upload.root / f"{first.archive_key}/manifest.json").unlink()
    archiver(root, upload).turn()
    assert not [key for key in objects_in(s3, upload) if key.startswith(f"{first.archive_key}/")]
    assert (root / CATALOG).exists()
    catalog = Catalog(root)
    assert [part.path for part in catalog.expired_with("call-0@h")] == [first.path]
    catalog.close()


def test_filters_that_were_dropped_as_damaged_come_back_from_the_archive(
    root: Path, s3: S3Server, upload: Upload
) -> None:
    archiver(root, upload).turn()
    evict(root)
    known = parts_of(root)
    catalog = Catalog(root)
    catalog.forget_filters()
    assert {part.state for part in catalog.standing()} == {"unlisted"}
    archiver(root, upload).turn()
    assert sorted(catalog.standing()) == sorted(known)
    assert [part.path for part in catalog.parts_with("call-0@h")] == [known[0].path]
    assert catalog.audit() == ""
    catalog.close()


def test_an_http_server_is_asked_the_same(root: Path, tmp_path: Path) -> None:
    files = expected_of(root, parts_of(root))
    first, second = (part.path for part in parts_of(root))
    with closing(History.open(root)) as history:
        before = everything(history)
    with http_store(tmp_path / "store", token="Bearer of-the-store") as store:
        config = tmp_path / "http.toml"
        config.write_text(
            f'[sipflow]\nroot = "{root}"\nnode = "pbx-1"\n[sipflow.upload]\ntype = "http"\nurl = "{store.url}/sip"\n'
            'root = "deep"\nheaders = { Authorization = "Bearer of-the-store" }\n'
        )
        asked = [ask(config, *one) for one in QUESTIONS]
        assert "2 parts" in run(config, "push").output
        evict(root)
        assert not list(root.rglob(DATA))
        settings = load(config, {})
        with closing(History.open(root, open_remote(root, settings))) as history:
            assert everything(history) == before
        assert [ask(config, *one) for one in QUESTIONS] == asked
        listing = json.loads(run(config, "ls", "--json").output)
        assert [(one["path"], one["calls"], one["local"], one["listed"]) for one in listing["parts"]] == [
            (first, 1, False, True), (second, 1, False, True)
        ]  # fmt: skip
        assert "2 parts of pbx-1" in run(config, "verify").output
        assert f"{first} " not in run(config, "ls", second).output
        assert "2 parts" in run(config, "pull", "2024").output
        assert expected_of(root, parts_of(root)) == files
        stored = store.directory / "sip/deep/pbx-1" / first / DATA
        octets = stored.read_bytes()
        stored.write_bytes(octets[:-100] + bytes([octets[-100] ^ 1]) + octets[-99:])
        assert f"{first}/{DATA}: " in run(config, "verify", status=1).output
        stored.unlink()
        assert f"{first}/{DATA}: " in run(config, "verify", "--quick", status=1).output


QUESTIONS = (
    ("calls", "--json"), ("calls", "--json", "--user", "bob"), ("flow", "call-0@h"),
    ("export", "call-1@h", "--format", "pcapng", "-o", "-"), ("export", "call-0@h", "--format", "txt", "-o", "-"),
)  # fmt: skip


def ask(config: Path, *arguments: str) -> bytes:
    """Ask a command on a data directory."""
    result = CliRunner().invoke(main, [*arguments, "--config", str(config)])
    assert result.exit_code == 0, result.output
    return result.stdout_bytes
