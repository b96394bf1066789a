"""Who may ask: loopback is open; beyond it a token or a trusted network, and the refusal says what to add."""

import asyncio
from ipaddress import ip_network

import httpx
import pytest
from starlette.applications import Starlette

from memory_history import MemoryHistory, SteadyRecorder
from sipflow.config import Address, Settings
from sipflow.web.app import build

TOKEN = "0123456789abcdef-secret"
OPEN = Settings(http=Address("127.0.0.1", 3001))
CLOSED = Settings()
GUARDED = Settings(token=TOKEN, trusted=(ip_network("10.0.0.0/8"), ip_network("2001:db8::/32")))


def fetch(app: Starlette, peer: str, path: str, headers: dict[str, str]) -> tuple[int, str]:
    async def run() -> httpx.Response:
        transport = httpx.ASGITransport(app, client=(peer, 50000))
        async with httpx.AsyncClient(transport=transport, base_url="http://collector") as client:
            return await client.get(path, headers=headers)

    answer = asyncio.run(run())
    return answer.status_code, answer.text


def ask(settings: Settings, peer: str, path: str = "/flow?callid=x", **headers: str) -> tuple[int, str]:
    return fetch(build(MemoryHistory(), SteadyRecorder(), settings), peer, path, headers)


def test_loopback_is_open() -> None:
    assert ask(OPEN, "127.0.0.1")[0] == 200


def test_beyond_loopback_nobody_is_answered_unasked_not_even_neighbours_on_the_machine() -> None:
    for peer in ("203.0.113.9", "127.0.0.1", "::1"):
        assert ask(CLOSED, peer)[0] == 401


def test_the_refusal_names_the_line_to_add() -> None:
    code, text = ask(CLOSED, "203.0.113.9")
    assert code == 401
    assert 'trusted = [\\"203.0.113.9/32\\"]' in text
    assert "SIPFLOW_TOKEN" in text
    assert '"status":"error"' in text
    assert 'trusted = [\\"2001:db8::7/128\\"]' in ask(CLOSED, "2001:db8::7")[1]


@pytest.mark.parametrize(
    ("peer", "code"),
    [
        ("10.200.0.1", 200), ("::ffff:10.200.0.1", 200), ("2001:db8:1::1", 200), ("11.0.0.1", 401),
        ("2001:db9::1", 401), ("::ffff:11.0.0.1", 401), ("testclient", 401), ("fe80::1%eth0", 401),
    ],
)  # fmt: skip
def test_trusted_networks_need_no_token(peer: str, code: int) -> None:
    assert ask(GUARDED, peer)[0] == code


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (f"Bearer {TOKEN}", 200), (f"bearer  {TOKEN}", 200), (f"Bearer {TOKEN}x", 401), (f"Bearer {TOKEN[:-1]}", 401),
        ("Bearer ", 401), (TOKEN, 401), (f"Basic {TOKEN}", 401),
    ],
)  # fmt: skip
def test_the_token_opens_and_nothing_like_it(value: str, code: int) -> None:
    assert ask(GUARDED, "203.0.113.9", Authorization=value)[0] == code


def test_a_token_in_the_url_is_no_token() -> None:
    assert ask(GUARDED, "203.0.113.9", f"/flow?callid=x&token={TOKEN}")[0] == 401


def test_no_token_configured_means_no_token_fits() -> None:
    assert ask(CLOSED, "203.0.113.9", Authorization="Bearer ")[0] == 401
    assert ask(CLOSED, "203.0.113.9", Authorization="Bearer None")[0] == 401


def test_a_forwarded_header_does_not_make_anyone_trusted() -> None:
    headers = {"X-Forwarded-For": "10.0.0.1", "Forwarded": "for=10.0.0.1", "X-Real-IP": "10.0.0.1"}
    assert ask(GUARDED, "203.0.113.9", **headers)[0] == 401


def test_every_path_is_guarded_but_the_bare_health() -> None:
    for path in ("/", "/metrics", "/api/v1/calls", "/media?callid=x", "/diag?callid=x", "/nothing", "/health/"):
        assert ask(GUARDED, "203.0.113.9", path)[0] == 401
    assert ask(GUARDED, "203.0.113.9", "/health") == (200, "OK")


def test_strangers_learn_no_reasons() -> None:
    recorder = SteadyRecorder()
    recorder.state = type(recorder.state)("0.1.0", 7, 0, 0, faults=["/data/secret-path: full"])
    app = build(MemoryHistory(), recorder, GUARDED)
    assert fetch(app, "203.0.113.9", "/health", {"Accept": "application/json"}) == (503, "not healthy")
