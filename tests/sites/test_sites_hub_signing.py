"""Signed tokens: what was granted comes back, anything else is worth nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeproxy.sites.hub_signing import TOKEN_LENGTH_MAX, Grant, Purpose, grant_of, sign

KEY = bytes(range(32))
DIGEST = "ab" * 32
GRANT = Grant(Purpose.XORB, "models/org/name", "c0ffee", 2_000, DIGEST, 10 << 40, "main/weights.gguf")

grants = st.builds(
    Grant,
    st.sampled_from(Purpose),
    st.text("abcXYZ09-._/", max_size=200),
    st.text("0123456789abcdef", max_size=64),
    st.integers(0, 1 << 40),
    st.sampled_from(["", DIGEST, "0" * 64]),
    st.integers(0, 1 << 62),
    st.text(st.characters(codec="utf-8"), max_size=500),
)


@settings(max_examples=150)
@given(grants, st.binary(min_size=16, max_size=64))
def test_what_was_granted_comes_back_until_it_expires(grant: Grant, key: bytes) -> None:
    token = sign(key, grant)
    assert len(token) <= TOKEN_LENGTH_MAX
    assert grant_of(key, token, grant.purpose, grant.expires - 0.001) == grant
    assert grant_of(key, token, grant.purpose, grant.expires) is None


def test_a_token_is_short_enough_for_a_url_of_each_chunk_run() -> None:
    assert len(sign(KEY, GRANT)) < 200


def test_a_token_is_worth_nothing_for_another_purpose() -> None:
    token = sign(KEY, GRANT)
    others = [purpose for purpose in Purpose if purpose is not GRANT.purpose]
    assert [grant_of(KEY, token, purpose, 0) for purpose in others] == [None, None]


def test_a_token_of_another_key_is_worth_nothing() -> None:
    assert grant_of(bytes(32), sign(KEY, GRANT), GRANT.purpose, 0) is None


@settings(max_examples=200)
@given(st.integers(0, 10_000), st.sampled_from("ABCabc019-_=+/ .é\n"))
def test_no_other_spelling_of_a_token_is_honoured(at: int, letter: str) -> None:
    token = sign(KEY, GRANT)
    at %= len(token)
    changed = token[:at] + letter + token[at + 1 :]
    if changed != token:
        assert grant_of(KEY, changed, GRANT.purpose, 0) is None


@pytest.mark.parametrize("odd", ["", "A", "A" * 24, "A" * 23, "-" * 5000, "A" * 8193, "é" * 40, "\0" * 40])
def test_text_that_is_no_token_is_worth_nothing(odd: str) -> None:
    assert grant_of(KEY, odd, Purpose.LFS, 0) is None


def test_a_shortened_or_lengthened_token_is_worth_nothing() -> None:
    token = sign(KEY, GRANT)
    assert [grant_of(KEY, t, GRANT.purpose, 0) for t in (token[:-1], token + "A", token + "=")] == [None] * 3


@pytest.mark.parametrize(
    "grant",
    [
        replace(GRANT, repository="r" * 257),
        replace(GRANT, caller="c" * 129),
        replace(GRANT, subject="s" * 4609),
        replace(GRANT, subject="\U0001f600" * 4096),
        replace(GRANT, digest="AB" * 32),
        replace(GRANT, digest="ab"),
        replace(GRANT, size=-1),
        replace(GRANT, expires=-1),
    ],
)
def test_what_has_not_its_form_is_not_signed(grant: Grant) -> None:
    with pytest.raises(ValueError):
        sign(KEY, grant)


def test_a_short_key_is_refused_for_signing_and_for_reading() -> None:
    with pytest.raises(ValueError):
        sign(b"short", GRANT)
    with pytest.raises(ValueError):
        grant_of(b"short", sign(KEY, GRANT), GRANT.purpose, 0)
