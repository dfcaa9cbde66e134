import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import records

paths = st.builds(records.path, st.integers(0, 40), st.from_regex(r"[A-Za-z0-9._-]{1,80}", fullmatch=True))


def read(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a Protobuf message, by the rules of its encoding and not by our code."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at, value, shift = at + 1, value | (byte & 127) << shift, shift + 7
            if byte < 128:
                return value

    while at < len(message):
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
        else:
            assert key & 7 == 2
            length = varint()
            yield key >> 3, message[at : at + length]
            assert at + length <= len(message)
            at += length


@given(paths)
def test_both_forms_of_a_record_tell_the_same(path: str) -> None:
    told = json.loads(records.as_json(path))
    (name_field, name), *inner = read(records.as_message(path))
    assert (name_field, name) == (1, told["name"].encode())
    for (field, message), file in zip(inner, told["files"], strict=True):
        assert field == 2
        assert isinstance(message, bytes)
        values = dict(read(message))
        assert values[1] == file["name"].encode()
        assert values[3] == bytes.fromhex(file["sha256"])
        assert (values[2], values[4], bool(values.get(5, 0))) == (
            file["size"],
            file["published"],
            file["yanked"],
        )


@given(paths)
def test_a_request_names_the_record_it_was_made_for(path: str) -> None:
    assert records.read_request(records.unframed(records.framed(records.request_message(path)))) == path


def test_a_record_is_found_in_a_target_below_a_mount() -> None:
    assert records.within("/api/records/3/numpy?x=1") == "/records/3/numpy"
    assert records.within("/b/3/numpy") is None


@pytest.mark.parametrize("message", [b"", b"\x0a", b"\x0a\x05abc", b"\x12\x01a"])
def test_a_message_that_is_no_request_is_refused(message: bytes) -> None:
    with pytest.raises(ValueError):
        records.read_request(message)


@pytest.mark.parametrize(
    "content", [b"", b"\0\0\0\0", b"\1\0\0\0\0", b"\0\0\0\0\2a", b"\0\0\0\0\0\0\0\0\0\0"]
)
def test_content_that_is_not_one_plain_message_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError):
        records.unframed(content)


def test_a_path_of_no_record_is_refused() -> None:
    with pytest.raises(ValueError, match="not the path"):
        records.files("/records/x/y")
