"""A call's sound over HTTP in every form: what a player asks for, ranges and all, is what was recorded."""

import gc
import threading
import time
import wave
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import httpx
import numpy as np
import pytest

from chunks import Rtp, make_chunk
from memory_history import T0_US, MemoryHistory, Served, SteadyRecorder, sip
from sipflow.config import Address, Settings
from sipflow.media.encoder import FORMS
from sipflow.media.rendering import Rendering
from sipflow.query.answer import Fault
from sipflow.web.app import build
from sipflow.web.calls import WORKERS
from sipflow.web.renderings import Renderings
from sipflow.wire.endpoint import Endpoint
from sipflow.wire.packet import StreamKey
from sounds import Speech, hear, likeness, mu_law

CALL = "a/b c@h"
PATH = "/api/v1/calls/a%2Fb%20c%40h"
SPEECH = Speech(12.8)
PCM = SPEECH.pcm(0, SPEECH.samples)
MIME = {"wav": "audio/wav", "opus": "audio/ogg; codecs=opus", "mp3": "audio/mpeg", "flac": "audio/flac"}


def speaking(history: MemoryHistory, leg: int, lost: int | None = None) -> None:
    """Store a leg of SPEECH as mu-law at 20 ms, all but one packet of it."""
    audio = mu_law(PCM[:, leg])
    key = StreamKey(CALL, leg, Endpoint("192.0.2.1", 4000), Endpoint("192.0.2.2", 4002), 0xCAFE0000 + leg)
    packets = [
        Rtp(T0_US + n * 20_000, n, n * 160, audio[n * 160 : n * 160 + 160])
        for n in range(len(audio) // 160)
        if n != lost
    ]
    history.chunks.append(make_chunk(key, packets))


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[MemoryHistory, httpx.Client]]:
    history = MemoryHistory()
    app = build(history, SteadyRecorder(), Settings(http=Address("127.0.0.1", 0)))
    with Served(app) as url, httpx.Client(base_url=url) as client:
        yield history, client


@pytest.fixture
def history(served: tuple[MemoryHistory, httpx.Client]) -> MemoryHistory:
    history, _ = served
    history.clear()
    history.add(CALL, 0, sip(CALL, "INVITE sip:bob@example.org SIP/2.0", "1 INVITE"))
    speaking(history, 0)
    speaking(history, 1, lost=100)
    return history


@pytest.fixture
def client(served: tuple[MemoryHistory, httpx.Client], history: MemoryHistory) -> httpx.Client:
    return served[1]


def refused(answer: httpx.Response, code: int) -> str:
    assert answer.status_code == code, answer.text
    return str(answer.json()["message"])


class TestFiles:
    @pytest.mark.parametrize("form", MIME)
    def test_a_call_is_a_file_of_every_form(self, client: httpx.Client, form: str) -> None:
        answer = client.get(f"{PATH}/media.{form}")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == MIME[form]
        assert f'filename="a_b_c@h.{form}"' in answer.headers["content-disposition"]
        assert answer.headers["accept-ranges"] == "bytes"
        assert int(answer.headers["content-length"]) == len(answer.content)
        assert answer.headers["sipflow-complete"] == "99.92"
        assert answer.headers["sipflow-completeness"].endswith("1 packets lost before capture: silence")
        heard = hear(answer.content)
        assert abs(len(heard.pcm) / heard.rate - 12.8) < 0.08
        for channel in (0, 1):
            assert likeness(heard, PCM, 8000, channel) > 0.98

    @pytest.mark.parametrize("query", ["", "?mix=mono&start=1.23456"])
    @pytest.mark.parametrize("form", MIME)
    def test_ranges_put_together_are_the_whole(self, client: httpx.Client, form: str, query: str) -> None:
        whole = client.get(f"{PATH}/media.{form}{query}")
        size, pieces, at = len(whole.content), [], 0
        while at < size:
            part = client.get(f"{PATH}/media.{form}{query}", headers={"Range": f"bytes={at}-{at + 7_776}"})
            assert part.status_code == 206
            assert part.headers["content-range"] == f"bytes {at}-{min(at + 7_776, size - 1)}/{size}"
            assert part.headers["etag"] == whole.headers["etag"]
            pieces.append(part.content)
            at += len(part.content)
        assert b"".join(pieces) == whole.content
        assert client.get(f"{PATH}/media.{form}{query}", headers={"Range": "bytes=-10"}).content == whole.content[-10:]
        refused(client.get(f"{PATH}/media.{form}{query}", headers={"Range": f"bytes={size}-"}), 416)

    @pytest.mark.parametrize("form", MIME)
    def test_head_tells_what_get_will(self, client: httpx.Client, form: str) -> None:
        head = client.head(f"{PATH}/media.{form}")
        got = client.get(f"{PATH}/media.{form}")
        assert head.status_code == 200
        assert head.content == b""
        assert {name: head.headers[name] for name in ("content-length", "etag", "content-type")} == {
            name: got.headers[name] for name in ("content-length", "etag", "content-type")
        }

    @pytest.mark.parametrize("form", ["wav", "flac"])
    def test_a_cut_holds_exactly_its_samples(self, client: httpx.Client, form: str) -> None:
        whole = hear(client.get(f"{PATH}/media.{form}").content).pcm
        cut = client.get(f"{PATH}/media.{form}?start=1.5&end=4.25")
        assert np.array_equal(hear(cut.content).pcm, whole[12_000:34_000])
        assert cut.headers["sipflow-start"] == "2025-07-20T08:26:41.623456Z"
        left = hear(client.get(f"{PATH}/media.{form}?leg=0&start=12").content).pcm
        assert np.array_equal(left, whole[96_000:, :1])
        mixed = hear(client.get(f"{PATH}/media.{form}?mix=mono").content).pcm
        assert np.array_equal(mixed[:, 0], np.clip(whole.astype(int).sum(axis=1), -32768, 32767))

    def test_a_cut_wav_is_a_wav(self, client: httpx.Client) -> None:
        answer = client.get(f"{PATH}/media.wav?mix=mono&start=2&end=3")
        with wave.open(BytesIO(answer.content)) as opened:
            assert (opened.getnchannels(), opened.getframerate(), opened.getnframes()) == (1, 8000, 8000)
        assert len(answer.content) == int.from_bytes(answer.content[4:8], "little") + 8
        assert b"1 packets lost before capture" in answer.content[:1000]

    def test_since_and_until_choose_packets(self, client: httpx.Client) -> None:
        assert client.get(f"{PATH}/media.flac?since=2030-01-01T00:00:00Z").status_code == 404
        assert client.get(f"{PATH}/media.flac?until=2030-01-01T00:00:00Z").status_code == 200

    @pytest.mark.parametrize(
        ("query", "says"),
        [
            ("leg=2", "leg: found '2'; allowed: 0 (caller), 1 (callee), or none for both"),
            ("mix=5.1", "mix: found '5.1'; allowed: mono, stereo"),
            ("start=-1", "start: found '-1'; allowed: seconds from the start of the recording, e.g. 12.5"),
            ("end=2025-07-20T08:26:40Z", "end: found '2025-07-20T08:26:40Z'; allowed: seconds from the start of"),
            ("start=5&end=5", "end: found '5'; allowed: later than start (5 s)"),
            ("start=12.8", "start: found 12.8; allowed: less than 12.800 s, the length of this recording"),
            ("strat=5", "strat: found an unknown parameter; allowed: start (did you mean that?)"),
        ],
    )
    @pytest.mark.parametrize("view", ["media.wav", "media.opus", "peaks"])
    def test_a_question_that_cannot_be_meant_is_refused(
        self, client: httpx.Client, view: str, query: str, says: str
    ) -> None:
        assert says in refused(client.get(f"{PATH}/{view}?{query}"), 400)

    @pytest.mark.parametrize("view", ["media.wav", "media.opus", "media.flac", "peaks", "streams"])
    def test_an_unknown_call_is_404(self, client: httpx.Client, view: str) -> None:
        assert refused(client.get(f"/api/v1/calls/none/{view}"), 404) == "no packet of call 'none' is stored here"

    def test_a_call_that_grew_is_another_file(self, client: httpx.Client, history: MemoryHistory) -> None:
        before = client.get(f"{PATH}/media.opus")
        history.chunks.pop()
        speaking(history, 1)
        after = client.get(f"{PATH}/media.opus")
        assert before.headers["etag"] != after.headers["etag"]
        assert after.headers["sipflow-complete"] == "100.00"

    def test_what_could_not_be_read_is_named(self, client: httpx.Client, history: MemoryHistory) -> None:
        history.faults = [Fault("2025/07/20/08", "block at octet 7: checksum")]
        answer = client.get(f"{PATH}/media.mp3")
        assert answer.headers["sipflow-faults"] == "2025/07/20/08: block at octet 7: checksum"
        assert "could not be read" in hear(answer.content).tags["comment"]
        body = client.get(f"{PATH}/peaks").json()
        assert (body["partial"], body["faults"]) == (True, ["2025/07/20/08: block at octet 7: checksum"])

    def test_waiting_encodings_hold_up_nobody(self, client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
        going, free = threading.Event(), threading.Event()
        at_once: list[int] = []
        inside = 0
        lock = threading.Lock()
        real = Rendering.of

        def slow(*arguments: object) -> Rendering:
            nonlocal inside
            with lock:
                inside += 1
                at_once.append(inside)
            going.set()
            free.wait(20)
            with lock:
                inside -= 1
            return real(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(Rendering, "of", slow)
        answers: list[int] = []
        ask = [
            threading.Thread(
                target=lambda n=n: answers.append(
                    httpx.get(f"{client.base_url}{PATH}/media.opus?end={n + 1}", timeout=30).status_code
                )
            )
            for n in range(60)
        ]
        for thread in ask:
            thread.start()
        try:
            assert going.wait(10)
            began = time.monotonic()
            assert client.get(PATH + "/flow").status_code == 200
            assert client.get("/health").status_code in (200, 503)
            assert time.monotonic() - began < 5
        finally:
            free.set()
            for thread in ask:
                thread.join()
        assert answers == [200] * 60
        assert max(at_once) <= WORKERS


class TestPeaks:
    def test_a_waveform_is_the_extremes_of_the_samples(self, client: httpx.Client) -> None:
        body = client.get(f"{PATH}/peaks?width=80").json()
        assert (body["rate"], body["samples"], body["start_us"], body["partial"]) == (8000, 102_400, T0_US, False)
        pcm = hear(client.get(f"{PATH}/media.wav").content).pcm.reshape(80, 1280, 2)
        assert [each["leg"] for each in body["channels"]] == [0, 1]
        for number, each in enumerate(body["channels"]):
            assert each["min"] == pcm[:, :, number].min(axis=1).tolist()
            assert each["max"] == pcm[:, :, number].max(axis=1).tolist()

    def test_it_can_be_looked_at_closely(self, client: httpx.Client) -> None:
        body = client.get(f"{PATH}/peaks?width=10&leg=1&start=3&end=3.001").json()
        assert (body["samples"], body["start_us"]) == (8, T0_US + 3_000_000)
        pcm = hear(client.get(f"{PATH}/media.wav?leg=1").content).pcm[24_000:24_008, 0].tolist()
        assert body["channels"] == [{"leg": 1, "min": pcm, "max": pcm}]
        assert [each["leg"] for each in client.get(f"{PATH}/peaks?mix=mono").json()["channels"]] == [None]

    @pytest.mark.parametrize("width", ["0", "10001", "wide", "-5", "9999999999"])
    def test_a_width_that_cannot_be_drawn_is_refused(self, client: httpx.Client, width: str) -> None:
        assert refused(client.get(f"{PATH}/peaks?width={width}"), 400) == (
            f"width: found {width!r}; allowed: 1 to 10000"
        )


class TestStreams:
    def test_every_stream_has_its_figures(self, client: httpx.Client) -> None:
        body = client.get(f"{PATH}/streams").json()
        assert body["call_id"] == CALL
        assert [(each["leg"], each["lost"], each["codec"]) for each in body["streams"]] == [
            (0, 0, "PCMU"),
            (1, 1, "PCMU"),
        ]
        assert body["completeness"]["lost_packets"] == 1
        assert body["note"] == "99.92 % of the audio packets; 1 packets lost before capture: silence"
        assert body["streams"] == client.get(PATH).json()["streams"]

    def test_streams_that_cannot_be_played_are_measured_and_it_says_why(
        self, client: httpx.Client, history: MemoryHistory
    ) -> None:
        history.chunks = [
            make_chunk(
                StreamKey(CALL, 0, Endpoint("192.0.2.1", 4000), Endpoint("192.0.2.2", 4002), 7),
                [Rtp(T0_US + n * 20_000, n, n * 160, bytes(20), payload_type=34) for n in range(10)],
            )
        ]
        body = client.get(f"{PATH}/streams").json()
        assert [each["packet_count"] for each in body["streams"]] == [10]
        assert body["completeness"] is None
        assert "has nothing to play" in body["note"]

    def test_a_call_without_media_has_none(self, client: httpx.Client, history: MemoryHistory) -> None:
        history.chunks = []
        body = client.get(f"{PATH}/streams").json()
        assert (body["streams"], body["completeness"]) == ([], None)
        assert "only SIP" in body["note"]


class TestRenderings:
    def rendering(self) -> Rendering:
        return Rendering.of(Speech(2), FORMS["flac"], "c")

    def test_the_longest_unused_goes_first(self) -> None:
        kept = Renderings(max_count=2)
        first, second = kept.make("1", self.rendering), kept.make("2", self.rendering)
        assert kept.find("1") is first
        kept.make("3", self.rendering)
        assert [kept.find(key) is not None for key in "123"] == [True, False, True]
        assert kept.make("1", lambda: pytest.fail("rendered again")) is first
        # What went is still whole for who reads it.
        assert len(b"".join(second.iterate())) == second.length_octets

    def test_disk_is_bounded_and_given_back(self) -> None:
        size = self.rendering().length_octets
        kept = Renderings(max_octets=int(size * 2.5), lifetime_s=0.3)
        gc.collect()
        before = len(list(Path("/proc/self/fd").iterdir()))
        for key in range(5):
            kept.make(key, self.rendering)
        assert kept.octets == 2 * size
        assert len(list(Path("/proc/self/fd").iterdir())) == before + 2
        until = time.monotonic() + 10
        while len(list(Path("/proc/self/fd").iterdir())) > before and time.monotonic() < until:
            time.sleep(0.05)
        assert len(list(Path("/proc/self/fd").iterdir())) == before

    def test_who_asks_for_the_same_at_once_gets_the_same(self) -> None:
        kept, made = Renderings(), []

        def slow() -> Rendering:
            made.append(1)
            time.sleep(0.1)
            return self.rendering()

        got: list[Rendering] = []
        threads = [threading.Thread(target=lambda: got.append(kept.make("k", slow))) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(made) == 1
        assert len(set(map(id, got))) == 1


class TestConcealment:
    def test_what_was_lost_is_filled_when_asked(self, client: httpx.Client, history: MemoryHistory) -> None:
        loudest = int(np.abs(PCM[: 639 * 160, 1].astype(int)).reshape(-1, 160).sum(axis=1).argmax()) + 1
        history.chunks = []
        speaking(history, 1, lost=loudest)
        hole = slice(loudest * 160, (loudest + 1) * 160)
        plain = client.get(f"{PATH}/media.wav?leg=1").content
        filled = client.get(f"{PATH}/media.wav?leg=1&conceal=1").content
        before, after = (np.frombuffer(octets[-2 * SPEECH.samples :], "<i2") for octets in (plain, filled))
        assert not before[hole].any()
        assert after[hole].any()
        # Nothing but the hole, and how it joins what follows.
        assert np.array_equal(before[: hole.start], after[: hole.start])
        assert np.array_equal(before[hole.stop + 160 :], after[hole.stop + 160 :])


class TestCopies:
    def test_codes_are_as_captured(self, client: httpx.Client) -> None:
        octets = client.get(f"{PATH}/media.wav?leg=0&copy=1").content
        assert int.from_bytes(octets[20:22], "little") == 7  # mu-law
        assert mu_law(PCM[:, 0]) in octets
        both = client.get(f"{PATH}/media.wav?copy=1")
        assert both.status_code == 200
        assert len(both.content) < 2 * len(octets)

    def test_what_cannot_be_copied_is_refused(self, client: httpx.Client, history: MemoryHistory) -> None:
        assert refused(client.get(f"{PATH}/media.wav?copy=1&mix=mono"), 400).startswith("copy: found with mix")
        assert refused(client.get(f"{PATH}/media.wav?copy=yes"), 400) == "copy: found 'yes'; allowed: 0, 1"
        key = StreamKey(CALL, 0, Endpoint("192.0.2.1", 4000), Endpoint("192.0.2.2", 4002), 7)
        history.chunks.append(make_chunk(key, [Rtp(T0_US, 0, 0, bytes(160), 8)]))
        assert "one G.711 law" in refused(client.get(f"{PATH}/media.wav?copy=1"), 400)


class TestQuality:
    def test_every_stream_is_measured_second_by_second(self, client: httpx.Client) -> None:
        answer = client.get(f"{PATH}/quality").json()
        whole, holed = answer["streams"]
        assert (whole["lost"], holed["lost"]) == (0, 1)
        assert sum(holed["seconds"]["lost"]) == 1
        assert sum(holed["seconds"]["packets"]) == holed["packet_count"] == 639
        # Packet 100 was due two seconds in.
        assert holed["seconds"]["lost"][1:3] in ([1, 0], [0, 1])
        assert whole["lq"]["label"] == "MOS-LQ NB"
        assert round(whole["lq"]["mos"], 3) == 4.409
        assert whole["cq"] is None  # nobody measured the delay
        assert -40 < whole["level"]["rms_dbfs"] < -5
        assert [one["name"] for one in whole["buffers"]] == ["40 ms", "60 ms", "120 ms", "adaptive"]
        assert not answer["partial"]

    def test_it_says_why_there_is_no_sound(self, client: httpx.Client, history: MemoryHistory) -> None:
        history.chunks = []
        answer = client.get(f"{PATH}/quality").json()
        assert (answer["streams"], answer["flows"]) == ([], False)
        assert "no-offer" in [finding["code"] for finding in answer["findings"]]
        refused(client.get("/api/v1/calls/none/quality"), 404)


INFO = (
    f"INFO sip:bob@example.org SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKi\r\nFrom: <sip:a@h>;tag=1\r\n"
    f"To: <sip:b@h>;tag=2\r\nCall-ID: {CALL}\r\nCSeq: 2 INFO\r\nContent-Type: application/dtmf-relay\r\n"
    "Content-Length: 24\r\n\r\nSignal=7\r\nDuration=160\r\n"
)


class TestDigits:
    def test_keys_are_listed(self, client: httpx.Client, history: MemoryHistory) -> None:
        history.add(CALL, 1_000_000, INFO.encode())
        (digit,) = client.get(f"{PATH}/dtmf").json()["digits"]
        assert (digit["symbol"], digit["source"], digit["duration_ms"]) == ("7", "info", 160)
        assert digit["time_us"] == T0_US + 1_000_000
        refused(client.get("/api/v1/calls/none/dtmf"), 404)

    def test_hidden_keys_are_nowhere(self, history: MemoryHistory) -> None:
        history.add(CALL, 1_000_000, INFO.encode())
        app = build(history, SteadyRecorder(), Settings(http=Address("127.0.0.1", 0), hide_digits=True))
        with Served(app) as url, httpx.Client(base_url=url) as client:
            (digit,) = client.get(f"{PATH}/dtmf").json()["digits"]
            assert (digit["symbol"], digit["time_us"]) == ("•", T0_US + 1_000_000)
            for path in (f"{PATH}/flow", PATH, "/flow?callid=a%2Fb%20c%40h", "/diag?callid=a%2Fb%20c%40h"):
                answer = client.get(path)
                assert answer.status_code == 200, answer.text
                assert "Signal=7" not in answer.text
            # Around the key nothing is heard, on any leg: INFO does not say which; elsewhere it is.
            audio = client.get(f"{PATH}/media.wav").content
            samples = np.frombuffer(audio[-4 * SPEECH.samples :], "<i2")
            assert not samples[2 * 8000 : 2 * 9280].any()
            assert samples[: 2 * 3000].any()
