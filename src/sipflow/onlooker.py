"""A server that stores nothing: it answers from the nodes of a cluster, and records no packet itself."""

import contextlib
import logging
import os
import signal
import socket
import time

import uvicorn
from starlette.applications import Starlette

from sipflow.cluster.cluster import Cluster
from sipflow.config import Address
from sipflow.diagnose import load_rules
from sipflow.ports import bind_http
from sipflow.renewal import Renewal
from sipflow.thread import NamedThread
from sipflow.web.app import build
from sipflow.web.cluster_status import NoRecorder

LOG = logging.getLogger("sipflow.onlooker")

# A live list is an answer without an end: whoever reads one must not hold up the end of the server.
_GOODBYE_S = 2
_LOOK_S = 0.5


def look_on(renewal: Renewal) -> None:
    """Answer until SIGTERM or SIGINT. Raises SipflowError when it cannot start."""
    renewal.listen()
    settings = renewal.settings
    load_rules(settings.rules)
    sock = bind_http(settings.http)
    listening = f"http {Address(*sock.getsockname()[:2])}"
    with contextlib.closing(Cluster(settings, None)) as cluster, sock:
        cluster.start()
        app = build(cluster, NoRecorder(cluster, [listening], os.getpid()), settings, cluster=cluster)
        LOG.info("sipflow-server stores nothing, answers from %s, listening on %s", ", ".join(cluster.names), listening)
        NamedThread(target=_renew, args=(cluster, renewal), name="renew-nodes", daemon=True).start()
        _serve(app, sock)


def _renew(cluster: Cluster, renewal: Renewal) -> None:
    while True:
        time.sleep(_LOOK_S)
        if renewal.due():
            cluster.renew(renewal.settings.nodes)
            LOG.info("the nodes are now %s", ", ".join(cluster.names))


def _serve(app: Starlette, sock: socket.socket) -> None:
    config = uvicorn.Config(
        app, log_config=None, proxy_headers=False, server_header=False, access_log=False, lifespan="off",
        timeout_graceful_shutdown=_GOODBYE_S,
    )  # fmt: skip
    # uvicorn raises again what ended it: that shall be an end like any other.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: None)
    uvicorn.Server(config).run(sockets=[sock])
