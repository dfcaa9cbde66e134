"""What of a large body a request asks for, and whether that is here."""

from __future__ import annotations

import pytest
from pipeline_house import NOW, DictPartial, DictStore

from edgeproxy.message import Headers, Request
from edgeproxy.pipeline.asked import first_hole, is_held
from edgeproxy.policy.stored import StoredResponse

STORED = StoredResponse(
    key="k",
    site="one",
    status=200,
    fields=(("ETag", '"v1"'),),
    born=NOW,
    request_time=NOW,
    response_time=NOW,
    fresh_until=NOW + 60,
    body_bytes=100,
)


def partial_of(*spans: tuple[int, int]) -> DictPartial:
    partial = DictPartial(DictStore(), STORED, 0)
    for start, end in spans:
        partial.spans.add(start, end)
    return partial


def request(text: str = "", method: str = "GET", **fields: str) -> Request:
    pairs = [(name.replace("_", "-"), value) for name, value in fields.items()]
    return Request(method, "/big", Headers([*pairs, ("Range", text)] if text else pairs))


@pytest.mark.parametrize(
    ("asked", "is_here", "hole"),
    [
        (request("bytes=10-19"), True, (0, 1)),
        (request("bytes=10-29"), True, (0, 1)),
        (request("bytes=10-30"), False, (30, 31)),
        (request("bytes=0-19"), False, (0, 10)),
        (request("bytes=12-13,40-49"), False, (40, 50)),
        (request("bytes=95-"), True, (0, 1)),
        (request("bytes=-5"), True, (0, 1)),
        (request("bytes=-20"), False, (80, 90)),
        (request("bytes=100-"), True, (0, 1)),
        (request("bytes=x"), False, (0, 10)),
        (request(), False, (0, 10)),
        (request(method="HEAD"), True, (0, 1)),
        (request("bytes=0-19", method="HEAD"), True, (0, 1)),
        (request("bytes=10-19", If_Range='"v1"'), True, (0, 1)),
        (request("bytes=10-19", If_Range='"v2"'), False, (0, 10)),
    ],
)
def test_what_is_shown_decides_what_must_be_here(
    asked: Request, is_here: bool, hole: tuple[int, int]
) -> None:
    partial = partial_of((10, 30), (90, 100))
    assert is_held(asked, STORED, partial) is is_here
    assert first_hole(asked, STORED, partial) == hole


class Doubled:
    """A mark, the body, the mark again."""

    size = 102

    def pieces(self, start: int, end: int) -> list[bytes | tuple[int, int]]:
        inner = (max(start, 1) - 1, min(end, 101) - 1)
        return [b"|"] * (start == 0) + [inner] * (inner[0] < inner[1]) + [b"|"] * (end == 102)


@pytest.mark.parametrize(
    ("text", "is_here"),
    [
        ("bytes=0-0", True),
        ("bytes=101-", True),
        ("bytes=11-30", True),
        ("bytes=10-30", False),
        ("bytes=31-", False),
    ],
)
def test_through_a_layout_the_bytes_beneath_must_be_here(text: str, is_here: bool) -> None:
    assert is_held(request(text), STORED, partial_of((10, 30), (90, 100)), Doubled()) is is_here


def test_all_is_here_when_every_byte_is() -> None:
    assert is_held(request(), STORED, partial_of((0, 100)))
    assert first_hole(request(), STORED, partial_of((0, 100))) == (0, 1)


class Halves:
    """The second half of the body, a word, the first half."""

    size = 105

    def pieces(self, start: int, end: int) -> list[bytes | tuple[int, int]]:
        found: list[bytes | tuple[int, int]] = []
        for at, piece in ((0, (50, 100)), (50, b"words"), (55, (0, 50))):
            length = len(piece) if isinstance(piece, bytes) else piece[1] - piece[0]
            low, high = max(start - at, 0), min(end - at, length)
            if low < high:
                found.append(piece if isinstance(piece, bytes) else (piece[0] + low, piece[0] + high))
        return found


@pytest.mark.parametrize(
    ("asked", "is_here", "hole"),
    [
        (request("bytes=40-54"), True, (0, 1)),  # 90-99 of the body, and the word
        (request("bytes=50-54"), True, (0, 1)),
        (request("bytes=100-104"), False, (45, 50)),  # beyond the body, not beyond the layout
        (request("bytes=0-9"), False, (50, 60)),
        (request(), False, (50, 90)),
    ],
)
def test_what_is_laid_out_otherwise_is_looked_for_where_it_comes_from(
    asked: Request, is_here: bool, hole: tuple[int, int]
) -> None:
    partial = partial_of((10, 30), (90, 100))
    assert is_held(asked, STORED, partial, Halves()) is is_here
    assert first_hole(asked, STORED, partial, Halves()) == hole
