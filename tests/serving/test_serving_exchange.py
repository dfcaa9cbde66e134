"""Asking the handler, counting and logging."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from serving_stand import service_of

from edgeproxy.config import Limits, Log
from edgeproxy.errors import RequestError
from edgeproxy.message import CacheOutcome, Outcome, Request, Response
from edgeproxy.metrics import Metrics
from edgeproxy.serving.access_log import AccessLog
from edgeproxy.serving.exchange import Progress, account, account_refusal, ask, make_request
from edgeproxy.serving.head import parse_head

TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
HEAD = parse_head(
    b"GET /a?b HTTP/1.1\r\nHost: X.example\r\nX-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\n"
    b"X-Request-Id: id-1\r\ntraceparent: " + TRACE + b"\r\n\r\n",
    Limits(),
)


@pytest.mark.parametrize(
    ("trusted", "client", "scheme"),
    [
        ((), "192.0.2.1", "http"),
        (("192.0.2.0/24",), "203.0.113.9", "https"),
        (("10.0.0.0/8",), "192.0.2.1", "http"),
    ],
)
def test_forwarded_fields_count_from_trusted_peers_only(trusted: Any, client: str, scheme: str) -> None:
    service, _ = service_of(trusted=trusted)
    request = make_request(service, HEAD, "192.0.2.1", "192.0.2.1", None, None)
    assert (request.client, request.scheme, request.peer) == (client, scheme, "192.0.2.1")


def test_a_request_is_what_its_head_says() -> None:
    service, _ = service_of()
    request = make_request(service, HEAD, "p", "p", None, None)
    assert (request.method, request.target, request.authority, request.version) == (
        "GET",
        "/a?b",
        "x.example",
        "1.1",
    )
    assert (request.id, request.traceparent) == ("id-1", TRACE.decode())
    assert (request.listener, request.received_at) == ("here:80", 100.0)


@pytest.mark.parametrize(
    ("line", "trusted", "scheme"),
    [
        (b"GET /a HTTP/1.1", (), ""),
        (b"GET http://x.example/a HTTP/1.1", (), "http"),
        (b"GET HTTPS://x.example/a HTTP/1.1", (), "https"),
        # What the peer said of its own way here is not what the client asked for.
        (b"GET http://x.example/a HTTP/1.1", ("192.0.2.0/24",), ""),
        (b"GET https://x.example/a HTTP/1.1", ("192.0.2.0/24",), "https"),
    ],
)
def test_an_absolute_target_tells_its_scheme(line: bytes, trusted: Any, scheme: str) -> None:
    service, _ = service_of(trusted=trusted)
    head = parse_head(line + b"\r\nHost: x.example\r\nX-Forwarded-Proto: https\r\n\r\n", Limits())
    request = make_request(service, head, "192.0.2.1", "192.0.2.1", None, None)
    assert (request.target, request.authority, request.target_scheme) == ("/a", "x.example", scheme)


async def test_a_refusing_handler_is_an_answer_and_a_broken_one_is_reported() -> None:
    async def refuses(request: Request) -> Response:
        raise RequestError(403, "no")

    async def breaks(request: Request) -> Response:
        raise KeyError("secret")

    service, reports = service_of(refuses)
    assert (await ask(service, Request("GET", "/"))).status == 403
    assert service.metrics.value("bad_requests_total", "403") == 1
    assert reports == []
    service, reports = service_of(breaks)
    assert (await ask(service, Request("GET", "/", id="i7"))).status == 500
    assert service.metrics.value("task_errors_total") == 1
    assert "i7" in reports[0]


def test_an_exchange_is_counted_and_logged_once(tmp_path: Path) -> None:
    log = AccessLog(Log(access_file=str(tmp_path / "log")), Metrics())
    log.start()
    service, _ = service_of(log=log)
    request = make_request(service, HEAD, "192.0.2.1", "192.0.2.1", None, None)
    account(service, request, Outcome(CacheOutcome.HIT, site="s"), Progress(0.0, status=200, sent=7))
    account_refusal(service, "192.0.2.2", RequestError(400, "bad\nline"))
    log.close()
    assert service.metrics.value("requests_total", "s", "hit", "200") == 1
    assert service.metrics.value("client_bytes_total", "s") == 7
    assert service.metrics.value("bad_requests_total", "400") == 1
    first, second = [orjson.loads(line) for line in (tmp_path / "log").read_bytes().splitlines()]
    assert (first["status"], first["bytes"], first["cache"], first["aborted"]) == (200, 7, "hit", True)
    assert first["trace"] == TRACE.decode()[3:35]
    assert (second["client"], second["status"], second["cache"]) == ("192.0.2.2", 400, "refused")
