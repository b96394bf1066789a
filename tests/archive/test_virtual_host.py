"""Objects of a bucket in the host name: put, proved, read and aborted by a real server that takes them so.

The name of the host leads nowhere: requests find the server by a forward proxy, as in many a company.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from archive.test_archiver import expected_of, objects_in, parts_of, unfinished
from faulty_proxy import FaultyProxy, faulty_proxy
from s3_server import BUCKET, SECRET_KEY, S3Server, s3_server
from sipflow.archive import leftovers
from sipflow.config import Retention
from sipflow.destination import Upload
from sipflow.storage.layout import DATA
from sipflow.storage.sweep import Sweep

DOMAIN = "s3.test"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[S3Server]:
    with s3_server(tmp_path / "s3", "--virtual-domain", DOMAIN) as one:
        yield one


@pytest.fixture
def proxy(server: S3Server) -> Iterator[FaultyProxy]:
    with faulty_proxy(server.url, lambda _method, _path: None) as one:
        yield one


def run(proxy: FaultyProxy, *arguments: str | Path) -> str:
    """Run `sipflow` behind the proxy; gives what it said."""
    # A process of its own: the object library looks for proxies once in each.
    environment = {**os.environ, "HTTP_PROXY": proxy.url, "http_proxy": proxy.url, "NO_PROXY": "", "no_proxy": ""}
    command = [sys.executable, "-m", "sipflow", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, check=False, timeout=120, env=environment)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def begin(upload: Upload, key: str) -> None:
    """Begin an upload in pieces that nobody will finish."""
    signer = leftovers._signer_of(upload)
    assert signer is not None
    with httpx.Client() as client:
        signer.ask(client, "POST", f"{upload.root}/{key}", {"uploads": ""})


def test_a_bucket_in_the_host_name_is_written_and_read(
    large: Path, server: S3Server, proxy: FaultyProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (part,) = parts_of(large)
    files = expected_of(large, [part])
    config = tmp_path / "sipflow.toml"
    config.write_text(
        f'[sipflow]\nroot = "{large}"\nnode = "pbx-1"\n[sipflow.upload]\ntype = "s3"\nvendor = "minio"\n'
        f'bucket = "{BUCKET}"\nregion = "us-east-1"\naccess_key = "{server.upload().access_key}"\n'
        f'secret_key = "{SECRET_KEY}"\nendpoint = "http://{DOMAIN}"\naddressing = "virtual"\nroot = "sipflow"\n'
        'verify = "read"\n'
    )
    by_proxy = server.upload(addressing="virtual", endpoint=f"http://{BUCKET}.{DOMAIN}")
    begin(server.upload(endpoint=server.url), f"pbx-1/{part.path}/{DATA}")
    assert len(unfinished(server, server.upload())) == 1
    flow = run(proxy, "flow", "long@h", "--dir", large)
    assert "1 parts" in run(proxy, "archive", "push", "--config", config)
    assert files.items() <= objects_in(server, by_proxy).items()
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    monkeypatch.setenv("http_proxy", proxy.url)
    assert leftovers.abort_uploads(by_proxy, "pbx-1") == 1
    monkeypatch.undo()
    assert unfinished(server, server.upload()) == []
    assert any("partNumber=2" in path for _, path in proxy.requests)
    assert run(proxy, "archive", "verify", "--config", config).rstrip().endswith("sound")
    Sweep(large, Retention(), upload=Upload("s3", keep_local=0)).run()
    assert not list(large.rglob(DATA))
    assert run(proxy, "flow", "long@h", "--config", config) == flow
    assert "1 parts" in run(proxy, "archive", "pull", "--config", config, part.path)
    assert expected_of(large, [part]) == files
    # None of the requests had the bucket in its path.
    assert {headers["host"] for headers in proxy.headers} == {f"{BUCKET}.{DOMAIN}"}
    assert not [path for _, path in proxy.requests if path.lstrip("/").startswith(BUCKET)]
