"""What is kept about an answer."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.policy.stored import StoredResponse


def stored(born: float = 100.0, **more: object) -> StoredResponse:
    given_fields: dict[str, object] = {
        "key": "k",
        "site": "s",
        "status": 200,
        "fields": (("Content-Type", "text/plain"), ("Vary", "a"), ("Vary", "b")),
        "born": born,
        "request_time": born,
        "response_time": born,
        "fresh_until": born + 10,
    }
    return StoredResponse(**{**given_fields, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize(("now", "age"), [(100.0, 0.0), (107.5, 7.5), (99.0, 0.0), (0.0, 0.0)])
def test_the_age_is_the_time_since_birth_and_never_negative(now: float, age: float) -> None:
    assert stored().age(now) == age


def test_fields_are_found_whatever_their_case_and_keep_their_order() -> None:
    headers = stored().headers
    assert headers.get("content-type") == "text/plain"
    assert [value for name, value in headers if name.lower() == "vary"] == ["a", "b"]


def test_what_is_not_said_grants_nothing() -> None:
    plain = stored()
    assert plain.stale_while_revalidate_until == plain.stale_if_error_until == 0.0
    assert not plain.immutable
    assert plain.body == ""
    assert plain.tags == ()


def test_a_stored_response_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        stored().status = 500  # type: ignore[misc]


@given(
    born=st.floats(0, 1e10),
    selecting=st.lists(st.tuples(st.text(max_size=8), st.none() | st.text(max_size=8)), max_size=3),
    tags=st.lists(st.text(max_size=8), max_size=3),
)
def test_what_is_written_is_read_back_the_same(
    born: float, selecting: list[tuple[str, str | None]], tags: list[str]
) -> None:
    one = stored(born, selecting=tuple(selecting), tags=tuple(tags))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(one), type=StoredResponse) == one
