import pytest

from edgeproxy.message import Headers, Request
from edgeproxy.router.lists import Wanted, wanted_at_endpoint, wanted_form

JSON, META4 = "application/json", "application/metalink4+xml"


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        (JSON, JSON),
        ("application/json; q=0.5, */*", JSON),
        (META4, META4),
        ("*/*", ""),
        ("", ""),
        ("application/vnd.pypi.simple.v1+json", ""),
        ("text/html, application/json", ""),
        ("application/jsonx", ""),
    ],
)
def test_a_list_is_given_to_who_asks_for_it_first(accept: str, form: str) -> None:
    assert wanted_form(Headers((("Accept", accept),) if accept else ())) == form


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("url=/a/b", Wanted("/a/b", JSON)),
        ("url=%2Fa%3Fb%26c&format=meta4", Wanted("/a?b&c", META4)),
        ("format=json&url=http://r.example/a?b", Wanted("/a?b", JSON)),
        ("url=https%3A%2F%2Fr.example", Wanted("/", JSON)),
        ("url=http://evil.example/a", None),
        ("url=//evil.example/a", None),
        ("url=ftp://r.example/a", None),
        ("url=http://[", None),
        ("url=/a%0d%0ab", None),
        ("url=/%C3%BC%ff", None),
        ("url=/a b", None),
        ("url=/a&format=xml", None),
        ("", None),
    ],
)
def test_the_endpoint_is_asked_for_urls_of_ours(query: str, wanted: Wanted | None) -> None:
    assert wanted_at_endpoint(Request("GET", f"/route?{query}", authority="r.example")) == wanted


def test_lists_are_only_read() -> None:
    assert wanted_at_endpoint(Request("POST", "/route?url=/a")) is None
