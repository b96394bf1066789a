"""Hidden digits in a real server: the setting reaches the process that answers."""

from pathlib import Path

from running import RunningServer
from sipflow.clock import now_us
from sipflow.wire.datagram import encode_packet
from sipflow.wire.endpoint import Endpoint
from sipflow.wire.packet import Kind, Packet

BODY = "Signal=7\r\nDuration=160\r\n"
INFO = (
    "INFO sip:bob@example.org SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKi\r\nFrom: <sip:a@h>;tag=1\r\n"
    "To: <sip:b@h>;tag=2\r\nCall-ID: pin@h\r\nCSeq: 2 INFO\r\nContent-Type: application/dtmf-relay\r\n"
    f"Content-Length: {len(BODY)}\r\n\r\n{BODY}"
)
ENDS = Endpoint("192.0.2.1", 5060), Endpoint("192.0.2.2", 5060)


def test_a_server_told_to_hide_digits_shows_none(tmp_path: Path) -> None:
    packet = encode_packet(Packet(Kind.SIP, *ENDS, now_us(), INFO.encode(), "pin@h"))
    for options, shown in (((), True), (("--hide-digits",), False)):
        with RunningServer(tmp_path / f"root-{len(options)}", *options) as server:
            server.send(packet)
            server.until(lambda server=server: server.get("/flow", callid="pin@h").json()["flow"], "received")
            for path in ("/flow?callid=pin@h", "/api/v1/calls/pin%40h/flow", "/api/v1/calls/pin%40h/call.txt"):
                assert ("Signal=7" in server.get(path).text) == shown, path
            (digit,) = server.get("/api/v1/calls/pin%40h/dtmf").json()["digits"]
            assert digit["symbol"] == ("7" if shown else "•")
