import pytest

from edgeproxy.message import Headers
from edgeproxy.policy.partial_content import Bytes, Changed, Lie, Pinned, content_range, judge, strong_tag

TAGGED = Pinned(1000, '"a"', digest_known=False)
DIGEST = Pinned(1000, "", digest_known=True)
FIXED = Pinned(1000, "", digest_known=True, is_fixed=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bytes 0-99/1000", (0, 100, 1000)),
        ("BYTES 0-0/1", (0, 1, 1)),
        ("bytes 5-4/10", None),
        ("bytes 0-10/10", None),
        ("bytes 0-9/*", None),
        ("bytes */10", None),
        ("bytes 0-9/10, bytes 0-9/10", None),
        ("bytes \u0661-9/10", None),
        ("", None),
    ],
)
def test_a_content_range_says_where_bytes_belong(text: str, expected: tuple[int, int, int] | None) -> None:
    assert content_range(Headers([("Content-Range", text)])) == expected


@pytest.mark.parametrize(
    ("pinned", "status", "fields", "length", "expected"),
    [
        (TAGGED, 206, {"ETag": '"a"', "Content-Range": "bytes 100-199/1000"}, 100, Bytes(100, 200)),
        (TAGGED, 206, {"ETag": '"a"', "Content-Range": "bytes 100-199/1000"}, None, Bytes(100, 200)),
        # It may begin earlier than asked, or bring less.
        (TAGGED, 206, {"ETag": '"a"', "Content-Range": "bytes 0-100/1000"}, 101, Bytes(0, 101)),
        (TAGGED, 200, {"ETag": '"a"'}, 1000, Bytes(0, 1000, is_whole=True)),
        (TAGGED, 200, {"ETag": '"b"'}, 1000, Changed),
        (TAGGED, 206, {"ETag": 'W/"a"', "Content-Range": "bytes 100-199/1000"}, 100, Changed),
        (TAGGED, 206, {"Content-Range": "bytes 100-199/1000"}, 100, Changed),
        (TAGGED, 206, {"ETag": '"a"', "Content-Range": "bytes 100-199/1001"}, 100, Changed),
        (TAGGED, 200, {"ETag": '"a"'}, 999, Changed),
        (TAGGED, 416, {}, 0, Changed),
        (TAGGED, 206, {"ETag": '"a"', "Content-Range": "bytes 101-199/1000"}, 99, Lie),
        (TAGGED, 206, {"ETag": '"a"', "Content-Range": "bytes 0-99/1000"}, 100, Lie),
        (TAGGED, 206, {"ETag": '"a"', "Content-Range": "bytes 100-199/1000"}, 99, Lie),
        (TAGGED, 206, {"ETag": '"a"'}, 100, Lie),
        (TAGGED, 503, {}, 0, Lie),
        (TAGGED, 304, {}, 0, Lie),
        # With a digest to compare in the end, the validator need not be the same.
        (DIGEST, 206, {"ETag": '"x"', "Content-Range": "bytes 100-199/1000"}, 100, Bytes(100, 200)),
        (DIGEST, 200, {}, 1000, Bytes(0, 1000, is_whole=True)),
        (DIGEST, 200, {}, 77, Changed),
        (Pinned(1000, "", digest_known=False), 200, {}, 1000, Changed),
        # What is named by its digest cannot change: an error page in its place is no news of it.
        (FIXED, 206, {"Content-Range": "bytes 100-199/1000"}, 100, Bytes(100, 200)),
        (FIXED, 200, {"Content-Type": "text/html"}, 77, Lie),
        (FIXED, 206, {"Content-Range": "bytes 100-199/1001"}, 100, Lie),
        (FIXED, 416, {}, 0, Lie),
    ],
)
def test_only_bytes_of_the_same_representation_are_combined(
    pinned: Pinned, status: int, fields: dict[str, str], length: int | None, expected: object
) -> None:
    got = judge(status, Headers(fields.items()), length, 100, pinned)
    assert got == expected if isinstance(expected, Bytes) else isinstance(got, expected)  # type: ignore[arg-type]


def test_a_weak_tag_pins_nothing() -> None:
    assert strong_tag(Headers([("ETag", 'W/"a"')])) == ""
    assert strong_tag(Headers([("ETag", '"a"')])) == '"a"'
    assert strong_tag(Headers([("ETag", "a")])) == ""
