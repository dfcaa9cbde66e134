from __future__ import annotations

import asyncio
from typing import Any

import pytest

from edgeproxy.message import Headers, Request, Response
from edgeproxy.metrics import Metrics
from edgeproxy.router.arrivals import Arrivals
from edgeproxy.router.hop import Signer, with_parameter

SIGNER = Signer("0123456789abcdef" * 2)
NOW = 1_700_000_000.0
CLIENT, NET = "192.0.2.7", "192.0.2.0/24"
PRIVATE = "/p/f"
TOKEN = (("Authorization", "Bearer x"),)


class Told:
    """A Handler that tells its name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.requests: list[Request] = []

    async def __call__(self, request: Request) -> Response:
        self.requests.append(request)
        return Response(200, Headers((("X-By", self.name),)), reuse=Reused())


class Reused:
    held = source = file = None
    data = b""
    size = 0

    def fields(self, now: float) -> Headers:
        return Headers()

    def timed(self, now: float, *, is_proven: bool = False) -> None:
        return None

    def used(self) -> None:
        return None


def asked(target: str, client: str = CLIENT, **changes: Any) -> tuple[Response, Request | None]:
    served, routed = Told("served"), Told("routed")
    arrivals = Arrivals(
        served, routed, SIGNER, own="paris", private=("/p/",), metrics=Metrics(), clock=lambda: NOW
    )
    request = Request(**{"method": "GET", "target": target, "client": client, **changes})
    response = asyncio.run(arrivals(request))  # type: ignore[arg-type]
    return response, next(iter(served.requests + routed.requests), None)


def by(target: str, client: str = CLIENT, **changes: Any) -> str:
    response, _ = asked(target, client, **changes)
    return response.headers.get("X-By") or str(response.status)


def signed(target: str = PRIVATE, node: str = "paris", until: float = NOW + 9) -> str:
    return with_parameter(target, SIGNER.key(target, node, NET, until))


@pytest.mark.parametrize(
    ("target", "changes", "answered"),
    [
        ("/f", {}, "routed"),
        (with_parameter("/f?", SIGNER.mark("paris")), {}, "served"),
        (with_parameter("/f", SIGNER.mark("tokyo")), {}, "served"),
        (with_parameter("/f", SIGNER.mark("paris") + "x"), {}, "403"),
        (PRIVATE, {}, "403"),
        (with_parameter(PRIVATE, SIGNER.mark("paris")), {}, "403"),
        (PRIVATE, {"headers": Headers(TOKEN)}, "routed"),
        (signed(), {}, "served"),
        (signed(), {"method": "DELETE"}, "403"),
        (signed(), {"client": "198.51.100.7"}, "403"),
        (signed(), {"client": "::ffff:192.0.2.99"}, "served"),
        (signed(until=NOW - 1), {}, "403"),
        (signed(node="tokyo"), {}, "403"),
    ],
)
def test_who_was_sent_is_served_and_never_sent_on(
    target: str, changes: dict[str, Any], answered: str
) -> None:
    assert by(target, **changes) == answered


def test_a_node_says_itself_that_it_lives() -> None:
    response, request = asked("/route/v1/alive")
    assert (response.status, request) == (200, None)


def test_what_the_router_added_is_gone_and_the_rest_is_as_it_came() -> None:
    _, request = asked(with_parameter("/f?", SIGNER.mark("paris")))
    assert request is not None
    assert request.target == "/f?"


def test_a_signed_url_counts_instead_of_credentials_and_is_looked_at_each_time() -> None:
    response, request = asked(signed(), headers=Headers(TOKEN))
    assert request is not None
    assert request.headers == Headers()
    assert response.reuse is None
    marked, _ = asked(with_parameter("/f", SIGNER.mark("paris")))
    assert marked.reuse is not None
