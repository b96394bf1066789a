"""Settings written for the reader are read back as they were."""

from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipflow.amount import AGES, Room
from sipflow.config import Address, Alias, Retention, Settings, settings_from
from sipflow.effective import read_back, written
from sipflow.errors import ConfigError
from sipflow.given import Given
from sipflow.node import Node

ages = st.none() | st.integers(1, 10_000).map(lambda hours: hours * AGES["h"])
sizes = st.none() | st.integers(1, 10**15)
rooms = st.sampled_from([Retention().min_free, Room(share=0.07), Room()]) | st.integers(1, 10**12).map(
    lambda octets: Room(octets=octets)
)


def limits(sip: int | None, rtp: int | None, sip_bytes: int | None, rtp_bytes: int | None, room: Room) -> Retention:
    if sip is not None and rtp is not None:
        rtp = min(sip, rtp)
    return Retention(sip, sip if rtp is None else rtp, sip_bytes, rtp_bytes, room)


@given(st.builds(limits, ages, ages, sizes, sizes, rooms))
def test_every_retention(retention: Retention) -> None:
    assert read_back(written(Settings(retention=retention))).retention == retention


def test_everything_else() -> None:
    settings = Settings(
        udp=(Address("127.0.0.1", 3000), Address("::1", 3002)), http=Address("::1", 3001), root=Path("/x y"),
        subdirs="daily", flush_count=0, flush_interval_secs=3, media=False, token="0123456789abcdef",
        trusted=(ip_network("10.0.0.0/8"),), allow=(ip_network("2001:db8::/32"),), pool_mb=64, pool_dir=Path("/y"),
        recv_buffer_mb=8, receivers=2, encoders=3, durability="disk", sync_ms=100, log_level="debug",
        aliases=(Alias("10.0.0.5", "kamailio-1"), Alias("2001:db8::1", "edge")),
        nodes=(Node("a", "a.example", 3000, "http://a"), None, Node("b", "::1", 3000, "http://b:1", "0123456789abcdef"),
               None), node="b", replicas=2, peer_timeout_ms=300,
        hep=(Address("::", 9060),), hep_key="myHep", hep_tls=(Address("::", 9061),), hep_tls_cert=Path("/c.pem"),
        hep_tls_key=Path("/k.pem"),
    )  # fmt: skip
    assert read_back(written(settings)) == settings
    assert read_back(written(Settings())) == Settings()
    assert read_back(written(Settings(hep=()))).hep == ()


@pytest.mark.parametrize("value", ["x", {"10.0.0": "a"}, {"10.0.0.1": ""}, {"10.0.0.1": 5}, {"10.0.0.1": "a\nb"}])
def test_names_of_addresses_are_checked(value: object) -> None:
    with pytest.raises(ConfigError, match=r"allowed: a table of IP addresses"):
        settings_from({"aliases": Given(value, "aliases")})
