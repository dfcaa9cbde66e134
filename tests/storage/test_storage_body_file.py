"""Body files: what is written is read back, and every flipped bit is seen."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from storage_stand import response

from edgeproxy.storage import body_file
from edgeproxy.storage.integrity import RunningChecksums
from edgeproxy.storage.record import Damaged

BODY = "0123456789abcdef" * 2


def written(path, data: bytes) -> int:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    sums = RunningChecksums()
    sums.add(data)
    body_file.write_all(fd, [data], 0)
    stored = response("k", body=BODY, body_bytes=len(data))
    body_file.finish(fd, BODY, stored, len(data), sums.finish(), True)
    return fd


@pytest.mark.parametrize("size", [0, 1, 5000, (4 << 20) + 1])
def test_a_finished_file_tells_its_size_and_proves_each_piece(tmp_path, size):
    fd = written(tmp_path / "b", bytes(size))
    footer = body_file.read_footer(fd, BODY)
    assert (footer.size, len(footer.sums), footer.stored.key) == (size, -(-size // (4 << 20)), "k")
    for number in range(len(footer.sums)):
        body_file.prove_piece(fd, footer, number)
    os.close(fd)


def test_a_flip_of_any_bit_is_damage(tmp_path):
    data = b"body" * 5
    fd = written(tmp_path / "b", data)
    whole = os.pread(fd, 1 << 20, 0)
    for place in range(len(whole)):
        os.pwrite(fd, bytes([whole[place] ^ 4]), place)
        with pytest.raises(Damaged):
            body_file.prove_piece(fd, body_file.read_footer(fd, BODY), 0)
        os.pwrite(fd, whole[place : place + 1], place)
    os.close(fd)


@given(st.lists(st.binary(max_size=40), max_size=30), st.integers(1, 17))
@settings(max_examples=100)
def test_short_writes_lose_nothing(chunks, step):
    written = bytearray()

    def short(fd, views, offset):
        data = b"".join(views)[:step]
        written[offset : offset + len(data)] = data
        return len(data)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "pwritev", short)
        assert body_file.write_all(-1, chunks, 0) == sum(map(len, chunks))
    assert bytes(written) == b"".join(chunks)


@pytest.mark.parametrize(
    ("name", "is_one"), [(BODY, True), (BODY.upper(), False), (BODY[1:], False), ("../" + BODY[3:], False)]
)
def test_only_32_hex_digits_name_a_body(name, is_one):
    assert body_file.is_body_id(name) is is_one
