"""Digest fields: what is read from them, and what is written."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeproxy.message import Headers
from edgeproxy.policy.repr_digest import field, is_wanted, sha256_of

RIGHT = hashlib.sha256(b"content")
TEXT = base64.b64encode(RIGHT.digest()).decode()


@pytest.mark.parametrize(
    ("value", "digest"),
    [
        (f"sha-256=:{TEXT}:", RIGHT.hexdigest()),
        (f"  sha-256=:{TEXT}:\t", RIGHT.hexdigest()),
        (f"sha-512=:AAAA:, sha-256=:{TEXT}:", RIGHT.hexdigest()),
        (f"sha-256=:{TEXT}:;parameter=1", RIGHT.hexdigest()),
        ("", ""),
        (f"sha-512=:{TEXT}:", ""),
        (f"sha-256={TEXT}", ""),
        (f'sha-256="{TEXT}"', ""),
        (f"SHA-256=:{TEXT}:", ""),
        (f"sha-256=:{TEXT[:-4]}:", ""),
        (f"sha-256=:{TEXT}{TEXT}:", ""),
        (f"sha-256=:{TEXT[:-1]}A:", ""),
        (f"sha-256=:{TEXT.replace(TEXT[3], '-')}:", ""),
        (f"sha-256=:{TEXT}: trailing", ""),
        ("sha-256=:\uff21" + TEXT[1:] + ":", ""),
    ],
)
def test_a_digest_is_read_only_where_it_is_well_formed(value: str, digest: str) -> None:
    assert sha256_of(Headers((("Repr-Digest", value),))) == digest


def test_several_fields_are_one_list_and_other_fields_say_nothing() -> None:
    fields = Headers((("Repr-Digest", "md5=:AAAA:"), ("repr-digest", f"sha-256=:{TEXT}:")))
    assert sha256_of(fields) == RIGHT.hexdigest()
    assert sha256_of(Headers((("Content-Digest", f"sha-256=:{TEXT}:"),))) == ""
    assert sha256_of(Headers()) == ""


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("sha-256=1", True),
        ("sha-256=10", True),
        ("sha-512=3, sha-256=10", True),
        ("sha-256=5;because=1", True),
        ("sha-256=0", False),
        ("sha-256=11", False),
        ("sha-256=100", False),
        ("sha-256=-1", False),
        ("sha-256", False),
        ("sha-512=10", False),
        ("", False),
        ("sha-256=\u0661", False),
    ],
)
def test_who_wants_a_digest_names_a_preference_from_one_to_ten(value: str, wanted: bool) -> None:
    assert is_wanted(Headers((("Want-Repr-Digest", value),))) is wanted


def test_who_says_nothing_wants_nothing() -> None:
    assert not is_wanted(Headers())


@settings(max_examples=100)
@given(st.binary(max_size=40))
def test_what_is_written_can_be_read(data: bytes) -> None:
    digest = hashlib.sha256(data).hexdigest()
    assert sha256_of(Headers((("Repr-Digest", field(digest)),))) == digest


@settings(max_examples=200)
@given(st.text(max_size=90))
def test_no_text_makes_reading_fail(text: str) -> None:
    headers = Headers((("Repr-Digest", text), ("Want-Repr-Digest", text)))
    assert len(sha256_of(headers)) in (0, 64)
    assert is_wanted(headers) in (True, False)
