"""Settings: every wrong value is one line that names key, place, find and what is allowed."""

from ipaddress import ip_network
from pathlib import Path

import pytest

from sipflow.amount import Room
from sipflow.clock import DAY_US
from sipflow.config import Address, Retention, Settings, load
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
        ('type = "remote"', "type: found 'remote'; allowed: \"local\" (this server stores"),
        (
            'nodes = [{udp = "a:1"}]',
            "nodes: found 'the nodes of a cluster'; allowed: nothing: this is not supported by this",
        ),
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


def test_upload_is_refused_with_its_line_not_ignored(tmp_path: Path) -> None:
    message = refused(tmp_path, '[sipflow]\nroot = "x"\n\n[sipflow.upload]\ntype = "s3"\n')
    assert message.startswith("/sipflow.toml:4: upload: ")
    assert "not supported by this version" in message


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
