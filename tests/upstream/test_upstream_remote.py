from __future__ import annotations

from dataclasses import replace

import pytest
from upstream_town import remote, request

from edgeproxy.message import Headers
from edgeproxy.upstream.candidate import Role
from edgeproxy.upstream.remote import ASKED_BY_SIBLING
from edgeproxy.upstream.upstream import Origin, Reach

TLS = Origin("https", "up", 443)


def test_a_cache_is_asked_under_the_origins_name() -> None:
    sent = remote("up", reach=Reach(head_timeout=7)).addressed(request())
    assert (sent.origin.url, sent.host, sent.target) == ("http://up", "origin.test", "/a")
    assert sent.reach.head_timeout == 7
    assert remote("up").addressed(request(host="other.test")).host == "other.test"


def test_a_mirror_is_asked_under_its_own_name_below_its_path() -> None:
    sent = remote("up", is_mirror=True, prefix="/pypi").addressed(request(host="other.test"))
    assert (sent.origin.url, sent.host, sent.target) == ("http://up", None, "/pypi/a")


def test_a_token_and_the_mark_of_a_sibling_are_added() -> None:
    headers = Headers((("Accept", "*/*"), ("Authorization", "Bearer client")))
    sent = remote("up", Role.SIBLING, token="t").addressed(replace(request(), headers=headers))
    assert dict(sent.headers) == {
        "Accept": "*/*",
        "Authorization": "Bearer client",
        "Proxy-Authorization": "Bearer t",
        ASKED_BY_SIBLING: "1",
    }


@pytest.mark.parametrize(
    ("http2", "origin", "speaks_http1", "speaks_http2", "small", "bulk"),
    [
        ("off", TLS, True, None, "1.1", "1.1"),
        ("auto", TLS, True, None, "negotiated", "negotiated"),
        ("auto", None, True, None, "1.1", "1.1"),
        ("auto", None, True, False, "1.1", "1.1"),
        ("auto", None, True, True, "2", "1.1"),
        ("auto", None, False, True, "2", "2"),
        ("prior-knowledge", None, True, None, "2", "2"),
        ("prior-knowledge", TLS, True, None, "2", "2"),
    ],
)
def test_the_version_follows_the_option_and_what_was_found_out(
    http2: str, origin: Origin | None, speaks_http1: bool, speaks_http2: bool | None, small: str, bulk: str
) -> None:
    one = remote("up", http2=http2)
    one.origin = origin or one.origin
    one.speaks_http1, one.speaks_http2 = speaks_http1, speaks_http2

    def version(reach: Reach) -> str:
        if reach.prior_knowledge:
            return "2"
        return "negotiated" if reach.http2 and one.origin is TLS else "1.1"

    assert (version(one.reached()), version(one.reached(bulk=True))) == (small, bulk)


def test_a_probe_asks_for_its_root_and_bothers_nobody_above() -> None:
    probe = remote("up", token="t", prefix="/p").probe(Reach())
    assert (probe.method, probe.origin.host, probe.target, probe.host) == ("HEAD", "up", "/p/", None)
    assert probe.headers.get("Cache-Control") == "only-if-cached"
    assert probe.headers.get("Proxy-Authorization") == "Bearer t"
