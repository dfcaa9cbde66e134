from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeproxy.policy.structured import Token, parse_dictionary, render_name, render_string


@pytest.mark.parametrize(
    ("text", "members"),
    [
        ("", {}),
        ("max-age=3600, foobar", {"max-age": 3600, "foobar": True}),
        ('a="x, \\"y\\"";p=1;q , b=?0', {"a": 'x, "y"', "b": False}),
        ("a=1.5, b=tok/en, c=:AQ==:, d=(1 2;x  tok)", None),
        ("a=1, a=2", {"a": 2}),
        ("a=-5", {"a": -5}),
    ],
)
def test_dictionaries(text: str, members: dict[str, object] | None) -> None:
    if members is None:
        assert parse_dictionary(text) == {
            "a": 1.5,
            "b": Token("tok/en"),
            "c": b":AQ==:",
            "d": (1, 2, Token("tok")),
        }
    else:
        assert parse_dictionary(text) == members


@pytest.mark.parametrize(
    "text",
    [
        "max-age=1, &&&",
        "Max-Age=1",
        "a =1",
        "a= 1",
        "a=1,",
        ",a",
        'a="x',
        "a=1 b",
        "a=1234567890123456",
        "a=(1",
    ],
)
def test_any_error_spoils_the_whole_field(text: str) -> None:
    assert parse_dictionary(text) is None


@given(st.text(alphabet=st.characters(max_codepoint=255), max_size=60))
@settings(max_examples=200)
def test_no_text_makes_the_parser_raise(text: str) -> None:
    parse_dictionary(text)


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=40))
@settings(max_examples=100)
def test_a_rendered_string_parses_back(text: str) -> None:
    assert parse_dictionary("k=" + render_string(text)) == {"k": text}


def test_a_name_is_a_token_where_it_can_be() -> None:
    assert render_name("edge-1") == "edge-1"
    assert render_name("1 edge") == '"1 edge"'
