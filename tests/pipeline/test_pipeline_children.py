from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from pipeline_house import House, Scripted, content

from edgeproxy.message import Certified, Headers, Request, Response
from edgeproxy.pipeline.children import PURGES_PATH, Children
from edgeproxy.pipeline.prefetch import OURS
from edgeproxy.policy.surrogates import Position
from edgeproxy.sites.site import Expected

TAGGED = (("Cache-Control", "max-age=60"), ("Surrogate-Key", "one two"))
SHA256 = "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9"  # of "hello world"
FIELD = "Proxy-Authorization"


def asked(*fields: tuple[str, str], **more: Any) -> Request:
    return Request("GET", "/a", Headers(fields), authority="origin.test", **more)


@pytest.mark.parametrize(
    ("request_", "is_admitted"),
    [
        (asked(), False),
        (asked((FIELD, "Bearer one")), True),
        (asked((FIELD, "bEARER two")), True),
        (asked((FIELD, "Bearer three")), False),
        (asked((FIELD, "one")), False),
        (asked((FIELD, "Basic one")), False),
        (asked((FIELD, "Bearer one"), (FIELD, "Bearer one")), False),
        (asked((FIELD, "Bearer \xfc")), False),
        (asked(certified=Certified(("edge-1",), "CN=edge-1", "00")), True),
        (asked(listener=OURS), True),  # the node's own, on behalf of one that was admitted
    ],
)
def test_a_token_or_a_certificate_admits(house: House, request_: Request, is_admitted: bool) -> None:
    asker = Children(["one", "two"], house.purges).asker(request_)
    assert asker.is_admitted is is_admitted
    assert FIELD not in asker.request.headers
    assert Children([], house.purges).asker(request_).is_admitted


def test_who_says_to_be_a_node_is_believed_only_with_a_proof(house: House) -> None:
    marked = asked(("Edge-Node", "edge-1"))
    proven = asked(("Edge-Node", "edge-1"), (FIELD, "Bearer one"))
    certified = replace(marked, certified=Certified((), "", ""))
    assert [Children([], house.purges).asker(one).request.node for one in (marked, proven, certified)] == [
        "",
        "",
        "edge-1",
    ]
    asker = Children(["one"], house.purges).asker(proven)
    assert (asker.node, asker.request.node, "Edge-Node" in asker.request.headers) == (
        "edge-1",
        "edge-1",
        False,
    )


def test_what_a_node_calls_itself_has_a_bound(house: House) -> None:
    asker = Children(["one"], house.purges).asker(asked(("Edge-Node", "x" * 5000), (FIELD, "Bearer one")))
    assert len(asker.node) == len(asker.request.node) == 64
    assert Children([], house.purges).asker(asked(("Edge-Node", ""))).is_node


async def test_clients_are_not_told_what_caches_are_told_whether_from_store_or_memo(house: House) -> None:
    house.upstream.answers("/a", Scripted(fields=TAGGED))
    for _ in range(2):
        response = await house.ask("/a")
        assert "Surrogate-Key" not in response.headers
        await content(response)
    assert response.reuse is not None
    assert "Surrogate-Key" not in response.reuse.fields(house.now)
    assert response.reuse.data == b"hello world"
    assert response.reuse.held is not None
    assert response.reuse.source is None
    response.reuse.used()
    (stored,) = await house.store.lookup("http://origin.test/a")
    assert stored.tags == ("one", "two")


async def test_an_answer_with_nothing_to_hide_is_not_touched(house: House) -> None:
    asker = house.children.asker(asked())
    response = Response(200, Headers((("ETag", '"a"'),)))
    assert house.children.told(asker, response, None, is_named=False) is response


async def from_mount(house: House, **fields: str) -> Response:
    """A node is answered by name alone; the site of the house has none, so its plan is told by hand."""
    response = await house.ask("/a")
    plan = house.site.plan(Request("GET", "/a"), "/a")
    assert not isinstance(plan, Response)
    plan = replace(plan, tags=("mine",), expected=Expected(SHA256))
    asker = house.children.asker(asked(("Edge-Node", "edge-1")))
    return house.children.told(asker, response, plan, is_named=True)


async def test_a_node_is_told_tags_digest_and_position(house: House) -> None:
    house.upstream.answers("/a", Scripted(fields=(("Cache-Control", "max-age=60"), ("Cache-Tag", "their"))))
    response = await from_mount(house)
    assert response.headers.get("Cache-Tag") == "mine"  # what the client's answer had has been taken out
    assert response.headers.get("Repr-Digest").startswith("sha-256=:uU0nuZNNPgilLlLX2n2r")
    assert re.fullmatch(r"0; epoch=[0-9a-f]+", response.headers.get("Edge-Purges"))
    assert response.reuse is None


async def test_a_node_asks_for_the_digest_of_what_is_stored(house: House) -> None:
    asker = house.children.asker(asked(("Edge-Node", "edge-1")))
    assert asker.request.headers.get("Want-Repr-Digest") == "sha-256=10"


def test_nothing_that_takes_a_token_is_answered_from_the_memo(house: House) -> None:
    class Reuse:
        held = source = file = None
        data = b""
        size = 0

    response = Response(200, reuse=Reuse())  # type: ignore[arg-type]
    guarded = Children(["one"], house.purges)
    asker = guarded.asker(asked())
    assert guarded.told(asker, response, None, is_named=True).reuse is None
    assert guarded.told(asker, response, None, is_named=False).reuse is response.reuse
    assert house.children.told(asker, response, None, is_named=True).reuse is response.reuse


async def test_the_log_of_purges_is_read_only_and_never_stored(house: House) -> None:
    assert (await house.ask(PURGES_PATH, "POST")).status == 405
    head = await house.ask(PURGES_PATH, "HEAD")
    assert head.body.length
    answer = await house.ask(PURGES_PATH)
    assert answer.headers.get("Cache-Control") == "no-store"
    assert b'"complete":false' in await content(answer)
    position = house.purges.position
    answer = await house.ask(f"{PURGES_PATH}?epoch={position.epoch}&after={position.number}")
    assert b'"complete":true' in await content(answer)
    assert house.upstream.requests == []


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"Edge_Node": "edge-1", "Edge_Purges": "7; epoch=ab"}, 503),
        ({"Edge_Node": "edge-1", "Edge_Purges": "6; epoch=ab"}, 421),  # the site of the house has no name
        ({"Edge_Node": "edge-1", "Edge_Purges": "nonsense"}, 421),
        ({"Edge_Purges": "7; epoch=ab"}, 200),  # a client's word
    ],
)
async def test_a_sibling_is_not_answered_with_what_it_has_purged(
    house: House, fields: dict[str, str], status: int
) -> None:
    async def has_followed(position: Position) -> bool:
        return position.number < 7

    house.purges.has_followed = has_followed
    house.upstream.answers("/a", Scripted(fields=TAGGED))
    answer = await house.ask("/a", **fields)
    assert answer.status == status
    if status == 503:
        assert "error=" in answer.headers.get("Proxy-Status"), "it would be held against this node"


async def test_a_node_that_names_nobody_here_is_misdirected(house: House) -> None:
    house.upstream.answers("/a", Scripted())
    response = await house.ask("/a", Edge_Node="edge-1")
    assert response.status == 421
    assert house.upstream.requests == []
