from __future__ import annotations

import contextlib
import hashlib
import io
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeproxy.policy.stored import StoredResponse
from edgeproxy.sites.python_facts import NoSidecar
from edgeproxy.sites.python_sidecars import SIDECAR_BYTES_MAX, SidecarView, metadata_of
from edgeproxy.sites.site import Unacceptable

METADATA = b"Metadata-Version: 2.1\n"
STORED = StoredResponse(
    key="k", site="s", status=200, fields=(), born=0.0, request_time=0.0, response_time=0.0, fresh_until=1.0
)


def wheel(*names: str, data: bytes = METADATA) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, data)
    return buffer.getvalue()


def test_metadata_is_taken_out_whole() -> None:
    assert metadata_of(wheel("a/x.py", "a-1.dist-info/METADATA", "a-1.dist-info/RECORD")) == METADATA


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no archive",
        wheel("a/x.py"),
        wheel("deep/a-1.dist-info/METADATA"),
        wheel("a-1.dist-info/METADATA", "b-1.dist-info/METADATA"),
        wheel("a-1.dist-info/METADATA", data=bytes(SIDECAR_BYTES_MAX + 1)),
        wheel("a-1.dist-info/METADATA")[:-10],
    ],
    ids=["empty", "text", "none", "deep", "two", "large", "cut"],
)
def test_a_wheel_without_usable_metadata_is_unacceptable(body: bytes) -> None:
    with pytest.raises(Unacceptable):
        metadata_of(body)


@given(st.integers(0, 10_000), st.integers(0, 255))
@settings(max_examples=150)
def test_a_damaged_wheel_gives_its_metadata_or_is_unacceptable(at: int, value: int) -> None:
    body = bytearray(wheel("a-1.dist-info/METADATA"))
    body[at % len(body)] = value
    with contextlib.suppress(Unacceptable):
        assert metadata_of(bytes(body)) == METADATA


def test_only_the_advertised_bytes_are_served_and_others_unmark_the_file() -> None:
    body, digest = wheel("a-1.dist-info/METADATA"), hashlib.sha256(METADATA).hexdigest()
    for wanted in (digest, ""):
        made = SidecarView("a", b"f", wanted).derive(STORED, body, None)
        assert made.data == METADATA
        assert made.fields.get("ETag") == f'"sha256-{digest}"'
    for wanted, bad in (("0" * 64, body), (digest, b"")):
        with pytest.raises(Unacceptable) as raised:
            SidecarView("a", b"f", wanted).derive(STORED, bad, None)
        assert raised.value.learned == NoSidecar("a", b"f")
