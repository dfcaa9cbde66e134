"""Virtual xorbs: what a Xet client puts together again is the file."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeproxy.message import BytesBody, Response
from edgeproxy.sites.hub_xorbs import (
    CHUNK_BYTES,
    RUN_BYTES,
    TERMS_MAX,
    ReconstructionRoute,
    TelemetryRoute,
    Xorb,
    XorbRoute,
    reconstruction,
    route,
    telemetry_answer,
    token_answer,
    xorb,
    xorb_hash,
    xorb_path,
)

FILE_ID = "0123456789abcdef" * 4
TERA = 10**13

sizes = st.one_of(
    st.integers(0, 4 * RUN_BYTES),
    st.sampled_from([0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, RUN_BYTES, RUN_BYTES + 1, TERA]),
)


def url(index: int) -> str:
    return f"http://edge/hf/_cas/xorbs/token/{index}"


def ask(size: int, range_field: str = "", version: int = 1) -> Response:
    return reconstruction(ReconstructionRoute(version, FILE_ID), size, range_field, url)


def content(answer: Response) -> Any:
    assert isinstance(answer.body, BytesBody)
    return json.loads(answer.body.data)


def file_byte(at: int) -> int:
    """A file as large as we like: its bytes follow from their place."""
    return (at * 31 + (at >> 8) * 7 + (at >> 17) * 3) % 251


def file_bytes(start: int, end: int) -> bytes:
    return bytes(map(file_byte, range(start, end)))


def rendered(layout: Xorb, start: int, end: int) -> bytes:
    return b"".join(
        piece if isinstance(piece, bytes) else file_bytes(*piece) for piece in layout.pieces(start, end)
    )


def spans(packed: list[bytes | tuple[int, int]]) -> list[tuple[int, int]]:
    """What a client makes of chunks: each header says how many bytes of the file follow."""
    found: list[tuple[int, int]] = []
    for header, slice_ in zip(packed[::2], packed[1::2], strict=True):
        assert isinstance(header, bytes)
        assert isinstance(slice_, tuple)
        assert header[0] == header[4] == 0
        assert header[1:4] == header[5:8]
        assert int.from_bytes(header[1:4], "little") == slice_[1] - slice_[0] <= CHUNK_BYTES
        found.append(slice_)
    return found


def fetched(answer: Any, size: int, version: int) -> list[tuple[int, int]]:
    """The parts of the file a client gets when it follows every term."""
    found: list[tuple[int, int]] = []
    for term in answer["terms"]:
        if version == 2:
            ((place,),) = (answer["xorbs"][term["hash"]],)
            ((described,),) = (place["ranges"],)
            chunks, octets = described["chunks"], described["bytes"]
        else:
            ((place,),) = (answer["fetch_info"][term["hash"]],)
            chunks, octets = place["range"], place["url_range"]
        assert chunks == term["range"]
        layout = xorb(size, int(place["url"].rpartition("/")[2]))
        assert layout is not None
        assert octets["end"] < layout.size
        parts = spans(list(layout.pieces(octets["start"], octets["end"] + 1)))
        assert len(parts) == chunks["end"] - chunks["start"]
        assert sum(end - start for start, end in parts) == term["unpacked_length"]
        found += parts
    return found


@settings(max_examples=150)
@given(sizes, st.data(), st.sampled_from([1, 2]))
def test_a_range_is_covered_by_whole_chunks_in_order(size: int, data: st.DataObject, version: int) -> None:
    start = data.draw(st.integers(0, max(0, size - 1)))
    last = start + data.draw(st.integers(0, 3 * RUN_BYTES))
    answer = ask(size, f"bytes={start}-{last}", version)
    if size == 0:
        assert answer.status == 416
        return
    said = content(answer)
    parts = fetched(said, size, version)
    assert parts[0][0] + said["offset_into_first_range"] == start
    assert [end for _, end in parts[:-1]] == [begin for begin, _ in parts[1:]]
    end = min(last + 1, size)
    assert end <= parts[-1][1] < end + CHUNK_BYTES
    assert parts[-1][1] <= size


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, 3 * CHUNK_BYTES + 5, RUN_BYTES, 2 * RUN_BYTES + 77])
def test_without_a_range_the_whole_file_is_covered(size: int, version: int) -> None:
    said = content(ask(size, "", version))
    assert said["offset_into_first_range"] == 0
    assert sum(end - start for start, end in fetched(said, size, version)) == size


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 3 * CHUNK_BYTES), st.data())
def test_any_slice_of_a_xorb_is_that_slice_of_its_bytes(size: int, data: st.DataObject) -> None:
    layout = Xorb(size, 0)
    start = data.draw(st.integers(0, layout.size))
    end = data.draw(st.integers(start, min(layout.size, start + 300_000)))
    whole = rendered(layout, 0, layout.size)
    assert len(whole) == layout.size
    assert rendered(layout, start, end) == whole[start:end]


@pytest.mark.parametrize(
    ("size", "index", "length"),
    [(1, 0, 9), (CHUNK_BYTES, 0, CHUNK_BYTES + 8), (RUN_BYTES, 0, 8389120), (RUN_BYTES + 1, 1, 9)],
)
def test_a_xorb_is_its_part_of_the_file_and_eight_bytes_for_each_chunk(
    size: int, index: int, length: int
) -> None:
    layout = xorb(size, index)
    assert layout is not None
    assert layout.size == length


@pytest.mark.parametrize(("size", "index"), [(0, 0), (RUN_BYTES, 1), (1, 1 << 41), (5, -1)])
def test_there_is_no_xorb_past_the_end(size: int, index: int) -> None:
    assert xorb(size, index) is None


@pytest.mark.parametrize("size", [0, 1, RUN_BYTES, TERA])
@pytest.mark.parametrize("version", [1, 2])
def test_past_the_end_is_416_with_the_size(size: int, version: int) -> None:
    answer = ask(size, f"bytes={size}-{size + RUN_BYTES}", version)
    assert (answer.status, answer.headers.get("Content-Range")) == (416, f"bytes */{size}")


def test_the_end_of_ten_terabytes_is_found() -> None:
    said = content(ask(TERA, f"bytes={TERA - 1}-{TERA + 10**9}"))
    (term,) = said["terms"]
    assert said["offset_into_first_range"] == (TERA - 1) % CHUNK_BYTES
    assert term["hash"] == xorb_hash(FILE_ID, TERA // RUN_BYTES)
    assert fetched(said, TERA, 1)[-1] == (TERA - TERA % CHUNK_BYTES, TERA)


def test_too_much_at_once_is_refused_and_never_cut_short() -> None:
    refused = ask(TERA)
    assert refused.status == 400
    assert "at a time" in refused.headers.get("X-Error-Message")
    most = (TERMS_MAX - 1) * RUN_BYTES
    assert len(content(ask(TERA, f"bytes=1-{most}"))["terms"]) == TERMS_MAX


def test_a_malformed_range_is_as_if_there_were_none() -> None:
    assert ask(1000, "bytes=nonsense") == ask(1000)


def test_xorbs_of_different_files_and_places_have_different_names() -> None:
    names = {xorb_hash(file_id, index) for file_id in (FILE_ID, "f" * 64) for index in range(100)}
    assert len(names) == 200
    assert all(len(name) == 64 and set(name) <= set("0123456789abcdef") for name in names)


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        (f"/reconstructions/{FILE_ID}", ReconstructionRoute(1, FILE_ID)),
        (f"/v1/reconstructions/{FILE_ID}", ReconstructionRoute(1, FILE_ID)),
        (f"/v2/reconstructions/{FILE_ID}", ReconstructionRoute(2, FILE_ID)),
        (xorb_path("to-ken_1", 17), XorbRoute("to-ken_1", 17)),
        ("/v1/telemetry", TelemetryRoute()),
        (f"/v3/reconstructions/{FILE_ID}", None),
        (f"/v1/reconstructions/{FILE_ID}/", None),
        (f"/v1/reconstructions/{FILE_ID.upper()}", None),
        (f"/v1/reconstructions/{FILE_ID}\n", None),
        ("/xorbs/token/01", None),
        ("/xorbs/token/-1", None),
        ("/xorbs/token/²", None),
        ("/xorbs/token/9999999999999", None),
        ("/xorbs//1", None),
        ("/v1/shards", None),
        ("/", None),
        ("", None),
    ],
)
def test_a_path_asks_for_one_thing_or_for_nothing(path: str, asked: object) -> None:
    assert route(path) == asked


def test_the_token_answer_says_the_same_in_fields_and_content() -> None:
    answer = token_answer("http://edge/hf/_cas", "secret", 1_848_535_668)
    said = content(answer)
    assert said == {"casUrl": "http://edge/hf/_cas", "accessToken": "secret", "exp": 1_848_535_668}
    assert [answer.headers.get(f"X-Xet-{n}") for n in ("Cas-Url", "Access-Token", "Token-Expiration")] == [
        said["casUrl"],
        said["accessToken"],
        str(said["exp"]),
    ]
    assert answer.headers.get("Cache-Control") == "no-store"


def test_telemetry_is_accepted() -> None:
    assert telemetry_answer().status == 200
