from __future__ import annotations

from edgeproxy.message import Headers
from edgeproxy.policy.tags import tags_of


def test_tags_come_from_both_fields_each_once() -> None:
    headers = Headers([("Surrogate-Key", "a  b"), ("Cache-Tag", "b, c d,, "), ("Cache-Tag", "x" * 300)])
    assert tags_of(headers) == ("a", "b", "c d")


def test_tags_are_bounded() -> None:
    assert len(tags_of(Headers([("Surrogate-Key", " ".join(map(str, range(1000))))]))) == 128
