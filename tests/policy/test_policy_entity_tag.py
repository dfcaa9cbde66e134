from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeproxy.policy.entity_tag import is_strong, parse_list, strongly_equal, weakly_equal


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ('"a", W/"b" ,"c"', ('"a"', 'W/"b"', '"c"')),
        ('"a,b", "c"', ('"a,b"', '"c"')),
        ("abc", ("abc",)),
        (', ,"a",', ('"a"',)),
        ("", ()),
        ('"unclosed', ()),
    ],
)
def test_lists_of_tags(text: str, tags: tuple[str, ...]) -> None:
    assert parse_list(text) == tags


def test_the_two_comparisons() -> None:
    assert weakly_equal('W/"a"', '"a"')
    assert not strongly_equal('W/"a"', 'W/"a"')
    assert strongly_equal('"a"', '"a"')
    assert not strongly_equal("a", "a")
    assert not weakly_equal("", "")
    assert not is_strong('"a" "b"')


@given(st.text(max_size=60))
@settings(max_examples=200)
def test_any_list_is_parsed_to_its_end(text: str) -> None:
    parse_list(text)
