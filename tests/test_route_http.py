from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import pytest

from edgeproxy.config import Site
from edgeproxy.message import Request, Response
from edgeproxy.route_http import Nowhere, Reception, originals
from edgeproxy.router.announcements import PATH
from edgeproxy.sites.registry import build_sites
from edgeproxy.sites.site import SiteContext
from edgeproxy.upstream.upstream import Reach

SITES = [
    Site(name="hf", kind="huggingface", mount="/hf", endpoint="https://hub.example/"),
    Site(name="pypi", kind="python-index", mount="/pypi", index="https://index.example/simple/"),
    Site(name="files", mount="/files", origin="http://files.example/base", rewrite=[["/a", "/b"]]),
]


def nothing(keys: Sequence[str]) -> frozenset[str]:
    return frozenset()


@pytest.mark.parametrize(
    ("target", "url"),
    [
        ("/hf/acme/m/resolve/main/a%20b?x", "https://hub.example/acme/m/resolve/main/a%20b?x"),
        ("/pypi/simple/requests/", "https://index.example/simple/requests/"),
        ("/files/a/f?x=%20", "http://files.example/base/b/f?x=%20"),
        ("/elsewhere/f", None),
        ("/pypi/nothing", None),
    ],
)
def test_the_original_url_is_that_of_the_sites_own_upstream(target: str, url: str | None) -> None:
    sites = build_sites(SITES, SiteContext("router", True, Reach(), time.time, nothing))
    original = originals(sites, SITES)
    assert original(Request("GET", target, authority="router.example")) == url
    assert original(Request("GET", target, authority="evil.example")) == url


class Named:
    """A Handler that tells its name, and at once."""

    def __init__(self, status: int) -> None:
        self.status = status

    def at_once(self, request: Request) -> Response | None:
        return Response(self.status + 1)

    async def __call__(self, request: Request) -> Response:
        return Response(self.status)


def test_announcements_go_to_who_takes_them_and_are_awaited() -> None:
    reception = Reception(Named(201), Named(301))
    assert [asyncio.run(reception(Request("POST", target))).status for target in (PATH, "/f")] == [201, 301]
    assert reception.at_once(Request("POST", PATH)) is None
    assert reception.at_once(Request("GET", "/f")) == Response(302)


def test_who_was_sent_to_a_router_is_told_to_ask_again() -> None:
    response = asyncio.run(Nowhere(2.5)(Request("GET", "/f")))
    assert (response.status, response.headers.get("Retry-After")) == (503, "2")
