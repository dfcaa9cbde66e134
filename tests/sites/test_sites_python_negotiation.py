from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeproxy.message import Headers
from edgeproxy.sites.python_negotiation import PageType, accepts_gzip, page_type, page_types

J, H, T = PageType.JSON, PageType.HTML, PageType.TEXT
SIMPLE = "application/vnd.pypi.simple"


@pytest.mark.parametrize(
    ("accept", "query", "kind"),
    [
        (f"{J}, {H}; q=0.1, text/html; q=0.01", None, J),
        (f"{J}, {H};q=0.2, text/html;q=0.01", None, J),
        ("", None, T),
        ("*/*", None, T),
        ("image/png", None, T),
        ("text/html,application/xhtml+xml,*/*;q=0.8", None, T),
        (f"{SIMPLE}.latest+json", None, J),
        (f"{SIMPLE}.latest+html", None, H),
        (f"{J};q=0, {H}", None, H),
        (f"{J};q=nan, text/html;q=0.5", None, T),
        (f"{J};q=1e9, text/html;q=0.5", None, T),
        ("application/*", None, H),
        (J.value.upper(), None, J),
        ("text/html", f"format={J}", J),
        ("text/html", "format=application/vnd.pypi.simple.v1%2Bjson&x=y", J),
        (f"{J}", "format=unknown", J),
    ],
)
def test_the_form_is_negotiated_and_html_is_the_fallback(
    accept: str, query: str | None, kind: PageType
) -> None:
    assert page_type(accept, query) is kind


@given(st.text(max_size=80))
@settings(max_examples=200)
def test_any_accept_field_gives_one_of_three_forms(accept: str) -> None:
    assert page_type(accept, None) in PageType


@pytest.mark.parametrize(
    ("field", "accepted"),
    [
        ("gzip, deflate", True),
        ("", False),
        ("identity", False),
        ("gzip;q=0", False),
        ("*", True),
        ("*;q=0", False),
    ],
)
def test_gzip_is_sent_only_to_those_who_accept_it(field: str, accepted: bool) -> None:
    assert accepts_gzip(Headers((("Accept-Encoding", field),))) is accepted


@pytest.mark.parametrize(
    ("accept", "query", "expected"),
    [
        (f"{J}, {H};q=0.2, {T};q=0.1", "", (J, H, T)),
        (f"{T}, {J};q=0.5", "", (T, J)),
        (f"{J}, {H};q=0", "", (J,)),
        ("*/*", "", (T,)),
        ("", "", (T,)),
        (f"*/*, {J};q=0.5", "", (T, J)),
        (f"{J}, {T}", f"format={H}", (H,)),
    ],
)
def test_every_form_that_is_named_will_do_the_best_first(
    accept: str, query: str, expected: tuple[PageType, ...]
) -> None:
    assert page_types(accept, query) == expected
    assert page_type(accept, query) is expected[0]
