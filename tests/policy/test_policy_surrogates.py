from __future__ import annotations

import pytest

from edgeproxy.message import Headers
from edgeproxy.policy.surrogates import Position, for_children, for_clients, position_of
from edgeproxy.policy.tags import tags_of

AT = Position("ab12", 7)
SHA256 = "00" * 32


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("7; epoch=ab12", AT),
        (" 7;epoch=ab12 ", AT),
        ("7", None),
        ("-7; epoch=ab12", None),
        ("7; epoch=AB", None),
        ("7; epoch=ab12, 8; epoch=ab12", None),
        ("9" * 19 + "; epoch=ab", None),
        ("", None),
    ],
)
def test_a_position_is_read_strictly(text: str, position: Position | None) -> None:
    assert position_of(text) == position


def test_a_position_reads_back_as_it_was_written() -> None:
    assert position_of(str(AT)) == AT


def test_clients_are_told_nothing_that_is_for_caches() -> None:
    kept = (("ETag", '"a"'), ("Via", "1.1 x"))
    surrogate = (
        ("surrogate-KEY", "a b"),
        ("Cache-Tag", "c"),
        ("Surrogate-Control", "x"),
        ("Edge-Purges", "1"),
    )
    assert for_clients(Headers((*kept, *surrogate))) == Headers(kept)


def test_nothing_to_take_out_costs_no_copy() -> None:
    headers = Headers((("ETag", '"a"'),))
    assert for_clients(headers) is headers


def test_children_are_told_tags_digest_and_position_and_read_them_back() -> None:
    came = Headers((("Surrogate-Key", "a b"), ("Cache-Tag", "c d, a"), ("Edge-Purges", "99; epoch=ff")))
    told = for_children(came, ("repo:x", "a", "no,comma"), SHA256, AT)
    assert tags_of(told) == ("a", "b", "c d", "repo:x")
    assert told.all("Edge-Purges") == (str(AT),)
    assert told.get("Repr-Digest") == "sha-256=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:"
    assert "Surrogate-Key" not in told


def test_what_the_response_says_of_its_digest_stays() -> None:
    came = Headers((("Repr-Digest", "sha-512=:eA==:"),))
    assert for_children(came, (), SHA256, AT).get("Repr-Digest") == "sha-512=:eA==:"
    assert "Cache-Tag" not in for_children(Headers(), (), "", AT)
