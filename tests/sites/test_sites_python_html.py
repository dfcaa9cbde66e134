from __future__ import annotations

import html

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeproxy.sites import python_html
from edgeproxy.sites.python_html import Anchor


@pytest.mark.parametrize(
    ("text", "href", "attributes"),
    [
        ('<a href="x.zip">x</a>', "x.zip", {}),
        ("<A HREF=x.zip DATA-YANKED>x</A>", "x.zip", {"data-yanked": None}),
        ("<a data-x='a>b' href='x?a=1&amp;b=2'>x</a>", "x?a=1&b=2", {"data-x": "a>b"}),
        ('<a\n href = " x.zip "\n/>', "x.zip", {}),
        ('<a href="first" href="second">x</a>', "first", {}),
    ],
)
def test_an_anchor_is_read_as_a_browser_would(
    text: str, href: str, attributes: dict[str, str | None]
) -> None:
    (anchor,) = python_html.anchors(f"<html>{text}</html>")
    assert anchor.href == href
    assert {name: value for name, value in anchor.attributes.items() if name != "href"} == attributes


@pytest.mark.parametrize(
    "text", ["<abbr href='x'>", "<a name=x>", "<a", "a href=x", "<a href", "<area href=x>"]
)
def test_what_is_no_link_is_left_alone(text: str) -> None:
    assert list(python_html.anchors(text)) == []
    assert python_html.rewrite(text, lambda anchor: None) == text


@given(st.text(alphabet="<>a hrefbs='\"/&#x;=\n!-", max_size=120))
@settings(max_examples=200)
def test_a_page_whose_links_stay_keeps_every_byte(text: str) -> None:
    if python_html.base_href(text) is None and "<base" not in text:
        assert python_html.rewrite(text, lambda anchor: (anchor.href, True)) == text


@given(st.text(max_size=40))
@settings(max_examples=150)
def test_no_href_can_break_out_of_its_attribute(href: str) -> None:
    made = python_html.rewrite('<a href="x">t</a>', lambda anchor: (href, True))
    assert made == ('<a href="x">t</a>' if href == "x" else f'<a href="{html.escape(href)}">t</a>')


@pytest.mark.parametrize(
    ("attributes", "mark"),
    [
        ({}, None),
        ({"data-core-metadata": "sha256=ab"}, "sha256=ab"),
        ({"data-dist-info-metadata": None}, "true"),
        ({"data-core-metadata": "false", "data-dist-info-metadata": "true"}, None),
    ],
)
def test_the_mark_of_a_sidecar_is_known_by_both_names(
    attributes: dict[str, str | None], mark: str | None
) -> None:
    assert Anchor("x", "x", attributes).sidecar == mark


@pytest.mark.parametrize(
    ("text", "is_page"),
    [("<!DOCTYPE html><p>", True), ("<HTML>", True), ("", False), ("oops", False), ("<htmlx>", False)],
)
def test_a_page_is_known_by_its_beginning(text: str, is_page: bool) -> None:
    assert python_html.is_page(text) is is_page


def test_an_entry_survives_the_way_through_html() -> None:
    file = {
        "filename": "a-1.zip",
        "url": "https://f.example/a-1.zip",
        "hashes": {"sha256": "ab"},
        "requires-python": ">=3.8,<4",
        "yanked": 'it "broke" <all>',
        "gpg-sig": True,
        "core-metadata": {"sha256": "cd"},
    }
    text = python_html.from_document({"name": "a", "project-status": {"status": "archived"}}, [file])
    (anchor,) = python_html.anchors(text)
    assert python_html.to_file(anchor, anchor.href.partition("#")[0]) == file
    assert python_html.to_document("a", text, [])["project-status"] == {"status": "archived"}
