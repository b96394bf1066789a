"""Settings: every wrong value is one line that names key, place, find and what is allowed."""

from ipaddress import ip_network
from pathlib import Path

import pytest

from sipflow.amount import Room
from sipflow.clock import DAY_US
from sipflow.config import Address, Retention, Settings, load
from sipflow.destination import HOUR_US, Upload
from sipflow.errors import ConfigError
from sipflow.server_options import parse_arguments


def write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "sipflow.toml"
    file.write_text(text, encoding="utf-8")
    return file


def refused(tmp_path: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, text), environment={})
    message = str(caught.value)
    assert "\n" not in message
    return message.replace(str(tmp_path), "")


def test_defaults_are_those_of_the_document() -> None:
    settings = load(environment={})
    assert settings == Settings()
    assert settings.udp == (Address("0.0.0.0", 3000),)
    assert str(settings.http) == "0.0.0.0:3001"
    assert (settings.subdirs, settings.flush_count, settings.flush_interval_secs) == ("hourly", 500, 10)


def test_the_sample_of_rustpbx_loads(tmp_path: Path) -> None:
    settings = load(
        write(
            tmp_path,
            '[server]\nport = 1\n[sipflow]\ntype = "local"\nroot = "/data/sipflow"\nsubdirs = "Hourly"\n'
            'flush_count = 500\nflush_interval_secs = 10\nengine = "flowdb"\nid_cache_size = 8192\n',
        ),
        environment={},
    )
    assert settings.root == Path("/data/sipflow")
    assert settings.subdirs == "hourly"
    assert settings.without_effect == (
        "engine: accepted, has no effect: there is one storage format",
        "id_cache_size: accepted, has no effect: Call-IDs need no cache",
    )


def test_all_our_keys_load(tmp_path: Path) -> None:
    settings = load(
        write(
            tmp_path,
            '[sipflow]\nudp = ["[::1]:3000", "localhost:3002"]\nhttp = "127.0.0.1:0"\nmedia = false\n'
            'token = "0123456789abcdef"\ntrusted = ["10.0.0.0/8"]\n'
            'allow = ["2001:db8::/32", "192.0.2.1"]\npool_mb = 64\n'
            'pool_dir = "/tmp/pool"\nrecv_buffer_mb = 8\nreceivers = 2\nencoders = 1\ndurability = "Process"\n'
            'log_level = "DEBUG"\n',
        ),
        environment={},
    )
    assert settings.udp == (Address("::1", 3000), Address("127.0.0.1", 3002))
    assert str(settings.udp[0]) == "[::1]:3000"
    assert settings.http.loopback
    assert settings.trusted == (ip_network("10.0.0.0/8"),)
    assert settings.allow == (ip_network("2001:db8::/32"), ip_network("192.0.2.1/32"))
    assert (settings.durability, settings.log_level, settings.media) == ("process", "debug", False)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "flush_cuont = 1",
            "/sipflow.toml:2: flush_cuont: found 'an unknown key'; allowed: flush_count (did you mean that?)",
        ),
        ("flush_count = -1", "/sipflow.toml:2: flush_count: found -1; allowed: a whole number from 0 to 10000000"),
        ("flush_count = true", "flush_count: found True; allowed: a whole number"),
        ('subdirs = "weekly"', 'subdirs: found \'weekly\'; allowed: "hourly" or "daily" or "none"'),
        ('udp = "3000"', "udp: found '3000'; allowed: IP:PORT"),
        ('udp = "0.0.0.0:70000"', "udp: found '0.0.0.0:70000'; allowed: IP:PORT"),
        ('udp = "::1:3000"', "udp: found '::1:3000'; allowed: IP:PORT"),
        ('http = "pbx.example:3001"', "http: found 'pbx.example:3001'; allowed: IP:PORT"),
        ("udp = []", "udp: found []; allowed: at least one"),
        ('udp = ["127.0.0.1:1", "127.0.0.1:1"]', "each address once"),
        ('trusted = ["10.0.0.1/8"]', "trusted: found '10.0.0.1/8'; allowed: networks in CIDR form"),
        ("trusted = [7]", "trusted: found 7; allowed: networks in CIDR form"),
        ('media = "yes"', "media: found 'yes'; allowed: true or false"),
        ('root = ""', "root: found ''; allowed: a directory"),
        ('type = "both"', 'type: found \'both\'; allowed: "local" or "remote"'),
        ('type = "remote"', "nodes: found 'nothing'; allowed: one table [[sipflow.nodes]] or more"),
        ('udp_addr = "a:1"', "udp_addr: found 'a node of a cluster'; allowed: [[sipflow.nodes]]"),
        ('nodes = [{udp = "a:1"}]', "nodes: found 'a:1 without http'; allowed: http = "),
        ('nodes = [{udp = "a:1", http = "a:2"}]', "nodes[0].http: found 'a:2'; allowed: http://HOST:PORT"),
        ('nodes = [{udp = "a:1", port = 5}]', "nodes[0]: found "),
        ('nodes = [{udp = "a:0", http = "http://a:2"}]', "nodes[0]: found 'a:0'; allowed"),
        ('nodes = [{udp = "a:1", slot = -1}]', "nodes[0].slot: found -1; allowed: a whole number from 0 to 255"),
        ('nodes = ["a:1", {udp = "b:1", slot = 0}]', "nodes[1].slot: found 0; allowed: each slot once"),
        ('nodes = [{udp = "a:1", name = "x"}, {udp = "b:1", name = "x"}]', "allowed: each name once"),
        ('nodes = ["-"]', "nodes: found 'nodes: found none; allowed: one or more'"),
        ('node = "a:1"', "node: found 'a:1'; allowed: 1 to 64 letters, digits, dots, dashes or underscores"),
        (
            'nodes = [{udp = "a:1", http = "http://a:2"}]\nupload = {type = "http", url = "http://x"}',
            "nodes: found 'a:1'; allowed: with [sipflow.upload] a name for each",
        ),
        ('node = "x"\nnodes = [{udp = "a:1", http = "http://a:2"}]', "node: found 'x'; allowed: the name of one"),
        ('self = "x"\nnode = "x"', "self: found 'beside node'; allowed: one of the two spellings"),
        ('node = "a:1"\ntype = "remote"\nnodes = [{udp = "a:1", http = "http://a:2"}]', "which is none of the nodes"),
        ("pool_mb = 15", "pool_mb: found 15; allowed: a whole number from 16 to 1048576"),
        ("replicas = 3", "replicas: found 3; allowed: a whole number from 1 to 2"),
    ],
)
def test_a_wrong_value_is_refused_by_name(tmp_path: Path, line: str, expected: str) -> None:
    assert expected in refused(tmp_path, f"[sipflow]\n{line}\n")


def test_what_is_kept_is_read_from_its_table(tmp_path: Path) -> None:
    text = (
        '[sipflow]\nroot = "x"\n[sipflow.retention]\nsip_age = "400d"\nrtp_age = "4w"\nsip_bytes = "50GB"\n'
        'rtp_bytes = 1000000\nmin_free = "10%"\n'
    )
    settings = load(write(tmp_path, text), environment={})
    assert settings.root == Path("x")
    assert settings.retention == Retention(400 * DAY_US, 28 * DAY_US, 50 * 10**9, 10**6, Room(share=0.1))
    settings = load(write(tmp_path, '[sipflow.retention]\nsip_age = "none"\nmin_free = "none"\n'), environment={})
    assert settings.retention == Retention(min_free=Room())


@pytest.mark.parametrize("line", ['retention = "30d"', "ttl_secs = 2592000"])
def test_one_age_for_all(tmp_path: Path, line: str) -> None:
    file = write(tmp_path, f"[sipflow]\n{line}\n")
    assert load(file, environment={}).retention == Retention(30 * DAY_US, 30 * DAY_US)
    assert parse_arguments(["--config", str(file), "--sip-age", "10d"]).retention == Retention(10 * DAY_US, 10 * DAY_US)
    assert parse_arguments(["--config", str(file), "--rtp-age", "36h"]).retention.rtp_age == DAY_US * 3 // 2


def test_no_life_is_for_ever(tmp_path: Path) -> None:
    assert load(write(tmp_path, "[sipflow]\nttl_secs = 0\n"), environment={}).retention == Retention()
    assert parse_arguments(["--ttl-secs", "7200", "--min-free", "none"]).retention == Retention(
        DAY_US // 12, DAY_US // 12, min_free=Room()
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('retention = "30"', "/sipflow.toml:2: retention: found '30'; allowed: a whole number of minutes, hours, days"),
        ('retention = "30m"', "retention: found '30m'; allowed: a whole number"),
        ("retention = 30", "retention: found 30; allowed: a whole number of"),
        ("ttl_secs = 60", "ttl_secs: found 60; allowed: 0 for ever, or 3600 and more"),
        ("ttl_secs = -1", "ttl_secs: found -1; allowed: a whole number from 0"),
        ('retention = "30d"\nttl_secs = 7200', "ttl_secs: found 'beside retention'; allowed: one of the two"),
        ('subdirs = "none"\nretention = "30d"', "sipflow.toml:2: subdirs: found 'none'; allowed: \"hourly\" or"),
        ('[sipflow.retention]\nsip_age = "1y"', "/sipflow.toml:3: retention.sip_age: found '1y'; allowed: a whole"),
        ('[sipflow.retention]\nsip_bytes = "many"', "retention.sip_bytes: found 'many'; allowed: octets, or a number"),
        ("[sipflow.retention]\nrtp_bytes = 0", "retention.rtp_bytes: found 0; allowed: octets"),
        ("[sipflow.retention]\nmin_free = true", "retention.min_free: found True; allowed: a share of the disk"),
        ('[sipflow.retention]\nmin_free = "120%"', "retention.min_free: found '120%'; allowed: a share"),
        (
            '[sipflow.retention]\nrtp_aeg = "1d"',
            "/sipflow.toml:3: retention.rtp_aeg: found 'an unknown key'; allowed: retention.rtp_age (did you",
        ),
        (
            '[sipflow.retention]\nsip_age = "1d"\nrtp_age = "2d"',
            "/sipflow.toml:4: retention.rtp_age: found '2d'; allowed: up to 1d, the age of SIP",
        ),
    ],
)
def test_a_wrong_limit_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in refused(tmp_path, f"[sipflow]\n{text}\n")


def test_a_server_has_one_name_among_nodes_and_in_an_archive(tmp_path: Path) -> None:
    upload = '[sipflow.upload]\ntype = "http"\nurl = "http://x"\n'
    nodes = '[[sipflow.nodes]]\nname = "east"\nudp = "a:1"\nhttp = "http://a:2"\n'
    alone = load(write(tmp_path, f'[sipflow]\nnode = "pbx-1"\n{upload}'), environment={})
    assert (alone.node, alone.nodes) == ("pbx-1", ())
    one = load(write(tmp_path, f'[sipflow]\nself = "east"\n{upload}{nodes}'), environment={})
    assert one.node == "east"
    assert one.upload is not None
    onlooker = load(write(tmp_path, f'[sipflow]\ntype = "remote"\n{upload}{nodes}'), environment={})
    assert onlooker.upload is None
    assert [sentence for sentence in onlooker.without_effect if sentence.startswith("upload: ")]


def test_upload_as_in_the_mission(tmp_path: Path) -> None:
    file = tmp_path / "sipflow.toml"
    file.write_text(
        '[sipflow]\n[sipflow.upload]\ntype = "s3"\nvendor = "aws"\nbucket = "my-sipflow-archive"\n'
        'region = "us-east-1"\naccess_key = "your-access-key"\nsecret_key = "your-secret-key"\n'
        'endpoint = "https://s3.us-east-1.amazonaws.com"\nroot = "sipflow/"\nmedia = true\n'
    )
    settings = load(file, environment={})
    assert settings.upload == Upload(
        "s3", "aws", "my-sipflow-archive", "us-east-1", "your-access-key", "your-secret-key",
        "https://s3.us-east-1.amazonaws.com", "sipflow",
    )  # fmt: skip
    assert settings.upload.where == "s3://my-sipflow-archive/sipflow"
    assert settings.without_effect == ()
    assert "your-" not in repr(settings)


def test_http_upload(tmp_path: Path) -> None:
    file = tmp_path / "sipflow.toml"
    file.write_text(
        '[sipflow.upload]\ntype = "http"\nurl = "https://me:pw@archive.example:8443/a?sig=s"\nmethod = "POST"\n'
        'headers = { Authorization = "Bearer x" }\nkeep_local = "24h"\nkeep_archive = "400d"\nbandwidth = "20MB"\n'
    )
    upload = load(file, environment={}).upload
    assert upload is not None
    assert (upload.method, upload.headers, upload.bandwidth) == ("post", (("Authorization", "Bearer x"),), 20_000_000)
    assert (upload.keep_local, upload.keep_archive) == (24 * HOUR_US, 400 * 24 * HOUR_US)
    assert upload.where == "https://archive.example:8443/a"
    assert {"pw", "sig=s", "Bearer x"} == set(upload.secrets)


S3 = 'type = "s3"\nvendor = "aws"\nbucket = "b"\n'


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ('vendor = "aws"', 'upload.type: found \'nothing\'; allowed: "s3" or "http"'),
        ('type = "ftp"', "/sipflow.toml:2: upload.type: found 'ftp'"),
        ('type = "s3"\nbucket = "b"', "upload.vendor: found 'nothing'"),
        ('type = "s3"\nvendor = "aws"', "upload.bucket: found 'nothing'"),
        (
            'type = "s3"\nvendor = "ibm"\nbucket = "b"',
            "/sipflow.toml:3: upload.vendor: found 'ibm'; allowed: \"aws\" or",
        ),
        ('type = "s3"\nvendor = "minio"\nbucket = "b"', "upload.endpoint: found 'nothing'; allowed: the URL of minio"),
        (f'{S3}access_key = "k"', "upload.secret_key: found 'nothing'; allowed: both keys"),
        (f"{S3}secret_key = 5", "/sipflow.toml:5: upload.secret_key: found 'int'"),
        (
            f'{S3}buckets = "k"',
            "/sipflow.toml:5: upload.buckets: found 'an unknown key'; allowed: bucket (did you mean",
        ),
        (f'{S3}headers = {{ a = "hunter2" }}', "upload.headers: found 'dict'; allowed: nothing with type = \"s3\""),
        (f'{S3}root = "a/../b"', "/sipflow.toml:5: upload.root: found 'a/../b'"),
        (f'{S3}kms_key = "k"', "/sipflow.toml:5: upload.kms_key: found 'k'; allowed: nothing without encryption"),
        (f'{S3}keep_local = "2d"\nkeep_archive = "1d"', "/sipflow.toml:6: upload.keep_archive: found '1d'"),
        (f'{S3}bandwidth = "1KB"', "/sipflow.toml:5: upload.bandwidth: found '1KB'"),
        ('type = "http"', "upload.url: found 'nothing'"),
        ('type = "http"\nurl = "hunter2:x"', "/sipflow.toml:3: upload.url: found '9 characters'; allowed: a URL"),
        (
            'type = "http"\nurl = "http://a"\nheaders = { "a b" = "hunter2" }',
            "upload.headers.a b: found '7 characters'",
        ),
        ('type = "http"\nurl = "http://a"\nheaders = { a = "hunter2\\n" }', "upload.headers.a: found '8 characters'"),
    ],
)
def test_a_wrong_place_for_uploads_is_refused(tmp_path: Path, table: str, expected: str) -> None:
    message = refused(tmp_path, f"[sipflow.upload]\n{table}\n")
    assert expected in message
    assert "hunter2" not in message


def test_a_token_is_never_repeated(tmp_path: Path) -> None:
    message = refused(tmp_path, '[sipflow]\ntoken = "hunter2"\n')
    assert "hunter2" not in message
    assert "7 characters" in message
    assert "0123456789abcdef" not in repr(load(environment={"SIPFLOW_TOKEN": "0123456789abcdef"}))


def test_broken_toml_names_file_and_line(tmp_path: Path) -> None:
    assert refused(tmp_path, "[sipflow]\nroot = \n").startswith("/sipflow.toml:2: TOML: found ")


def test_a_misspelt_table_is_not_an_empty_one(tmp_path: Path) -> None:
    assert "[sipfow]" in refused(tmp_path, '[sipfow]\nroot = "x"\n')


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load(tmp_path / "absent.toml", environment={})
    (tmp_path / "binary.toml").write_bytes(b"[sipflow]\n\xff\n")
    with pytest.raises(ConfigError, match="octet 10"):
        load(tmp_path / "binary.toml", environment={})


def test_the_command_line_wins_over_the_file_and_the_environment_over_its_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path, '[sipflow]\nroot = "/file"\nflush_count = 7\ntoken = "token-from-the-file"\n')
    monkeypatch.setenv("SIPFLOW_TOKEN", "token-from-the-environment")
    settings = parse_arguments(["--config", str(file), "--dir", "/line", "--no-media"])
    assert (settings.root, settings.flush_count, settings.media) == (Path("/line"), 7, False)
    assert settings.token == "token-from-the-environment"


def test_the_spelling_of_the_document(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SIPFLOW_TOKEN", raising=False)
    settings = parse_arguments(["--udp", "0.0.0.0:3000", "--http", "0.0.0.0:3001", "--dir", "/data/sipflow"])
    assert settings == Settings(root=Path("/data/sipflow"))


def test_every_flag_of_rustpbx_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SIPFLOW_TOKEN", raising=False)
    line = (
        "-a :: -p 4000 --http-port 4001 -r /d --engine sqlite --subdirs daily --no-compress --compress-level 6"
        " --buffer-size 100000 --recv-buffer-size 8388608 --recv-tasks 0 --flush-count 1000 --flush-interval 5"
        " --id-cache-size 8192 --shards 4 --blocking-backpressure --perf-log-interval 5 --ttl-secs 0"
        " --memtable-size-mb 64 --block-cache-capacity-mb 128 --log-file /var/log/sipflow.log --log-level info"
    )
    settings = parse_arguments(line.split())
    assert settings.udp == (Address("::", 4000),)
    assert settings.http == Address("0.0.0.0", 4001)
    assert (settings.recv_buffer_mb, settings.receivers, settings.flush_count, settings.subdirs) == (
        8,
        1,
        1000,
        "daily",
    )
    assert len(settings.without_effect) == 11
    assert settings.retention == Retention()


def test_where_hep_is_taken(tmp_path: Path) -> None:
    assert load(environment={}).hep == (Address("0.0.0.0", 9060),)
    for text in ('hep = "none"', "hep = []", 'hep = ["none"]'):
        assert load(write(tmp_path, f"[sipflow]\n{text}"), environment={}).hep == ()
    assert parse_arguments(["--hep", "none"]).hep == ()
    assert parse_arguments(["--hep", "[::1]:1", "--hep", "10.0.0.1:2"]).hep == (
        Address("::1", 1), Address("10.0.0.1", 2)
    )  # fmt: skip
    text = '[sipflow]\nhep_tls = ":9061"\n'
    assert refused(tmp_path, text).endswith('port 0 to 65535; or "none"')
    settings = load(
        write(tmp_path, '[sipflow]\nhep_key = "of the file"\nhep_tls = "[::]:9061"\nhep_tls_cert = "/c.pem"'),
        environment={"SIPFLOW_HEP_KEY": "of the environment"},
    )
    assert (settings.hep_key, settings.hep_tls_cert, settings.hep_tls_key) == (
        "of the environment", Path("/c.pem"), None
    )  # fmt: skip
    assert "of the" not in repr(settings)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('hep_tls = "0.0.0.0:9061"', "hep_tls: found '0.0.0.0:9061'; allowed: an address only beside hep_tls_cert"),
        ('hep_tls_cert = "/c.pem"', "hep_tls_cert: found '/c.pem'; allowed: a file only beside hep_tls"),
        ('hep_tls_key = "/k.pem"', "hep_tls_key: found '/k.pem'; allowed: a file only beside hep_tls"),
        ('hep_key = ""', "hep_key: found '0 characters'; allowed: 1 to 255 printable ASCII characters"),
        ('hep_key = "s\u00e9cret"', "hep_key: found '6 characters'"),
        ("hep = 9060", "hep: found 9060; allowed: IP:PORT"),
    ],
)
def test_settings_of_hep_that_cannot_be_used(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in refused(tmp_path, f"[sipflow]\n{text}\n")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ["--flush-cuont", "3"],
            "--flush-cuont: found 'an unknown option'; allowed: --flush-count (did you mean that?)",
        ),
        (["--udp", "3000"], "--udp: found '3000'; allowed: IP:PORT"),
        (["--udp", "0.0.0.0:1", "--port", "2"], "--addr/--port: found 'beside --udp'"),
        (["--flush-count", "many"], "argument --flush-count: invalid int value: 'many'"),
        (["--subdirs", "weekly"], "--subdirs: found 'weekly'"),
        (["--config", "/absent.toml"], "--config: found '/absent.toml'; allowed: a readable file (No such file"),
        (["--rtp-age", "2"], "--rtp-age: found '2'; allowed: a whole number of minutes"),
        (["--min-free", "x"], "--min-free: found 'x'; allowed: a share of the disk, e.g. 5%, or octets"),
        (["--recv-buffer-size", "0"], "--recv-buffer-size (in MB): found 0"),
    ],
)
def test_a_wrong_argument_is_one_line_and_status_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        parse_arguments(arguments)
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith(f"sipflow-server: {expected}")
    assert error.count("\n") == 1


def test_help_and_version_exit_0(capsys: pytest.CaptureFixture[str]) -> None:
    for argument, text in (("--help", "--http-port"), ("--version", "sipflow-server 0.")):
        with pytest.raises(SystemExit) as caught:
            parse_arguments([argument])
        assert caught.value.code == 0
        assert text in capsys.readouterr().out
