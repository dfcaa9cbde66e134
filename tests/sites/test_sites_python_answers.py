from __future__ import annotations

from typing import Any

import pytest

from edgeproxy.message import Headers
from edgeproxy.policy.stored import StoredResponse
from edgeproxy.sites.python_answers import (
    IMMUTABLE,
    file_fields,
    page_fields,
    redirect,
    text,
    too_many_names,
)


def stored(**more: Any) -> StoredResponse:
    times = {"born": 0.0, "request_time": 1.5, "response_time": 0.0, "fresh_until": 600.0}
    return StoredResponse(key="k", site="pypi", **{"status": 200, "fields": (), **times, **more})


@pytest.mark.parametrize(
    ("now", "stale", "lifetime"),
    [(0.0, False, "max-age=600"), (599.9, False, "max-age=0"), (900.0, True, "no-cache")],
)
def test_a_page_is_dated_by_its_fetch_and_never_kept_when_stale(
    now: float, stale: bool, lifetime: str
) -> None:
    made = page_fields(Headers((("Expires", "x"), ("X-Kept", "y"))), stored(), now, stale)
    assert made.get("Cache-Control") == lifetime
    assert made.get("Date") == "Thu, 01 Jan 1970 00:00:00 GMT"
    assert (made.get("Expires"), made.get("X-Kept")) == ("", "y")
    assert bool(made.get("Warning")) is stale


@pytest.mark.parametrize(
    ("more", "tag"),
    [({"digest": "ab"}, '"sha256-ab"'), ({}, '"u-16e360"'), ({"source": "view", "digest": "ab"}, "")],
)
def test_the_tag_of_a_file_says_whether_its_bytes_are_proven(more: dict[str, str], tag: str) -> None:
    made = file_fields(immutable=True)(Headers((("Content-Encoding", "gzip"),)), stored(**more), 0.0, False)
    assert made.get("ETag") == tag
    assert made.get("Cache-Control") == IMMUTABLE
    assert made.get("Content-Type") == "application/octet-stream"
    assert made.get("Content-Encoding") == ""


def test_errors_are_never_immutable_and_unhashed_files_keep_their_lifetime() -> None:
    fields = Headers((("Cache-Control", "max-age=9"),))
    assert file_fields(immutable=True)(fields, stored(status=404), 0.0, False) == fields
    assert file_fields(immutable=False)(fields, stored(), 0.0, False).get("Cache-Control") == "max-age=9"


@pytest.mark.parametrize(
    ("query", "location"),
    [
        ("", "a/"),
        ("format=text/html", "a/?format=text/html"),
        ("x=1&format=text/html", "a/?format=text/html"),
        ("format=a\r\nSet-Cookie:b", "a/"),
    ],
)
def test_a_redirect_is_temporary_and_passes_on_what_is_understood(query: str, location: str) -> None:
    answer = redirect("a/", query)
    assert answer.status == 307
    assert answer.headers.get("Location") == location


def test_lines_of_text_have_a_type() -> None:
    answer = text(405, "no", {"Allow": "GET"})
    assert (answer.status, answer.headers.get("Allow")) == (405, "GET")
    assert answer.headers.get("Content-Type").startswith("text/plain")


@pytest.mark.parametrize(("wait", "seconds"), [(0.01, "1"), (1.0, "1"), (1.2, "2")])
def test_a_client_in_a_hurry_gets_503_with_whole_seconds(wait: float, seconds: str) -> None:
    answer = too_many_names(wait)
    assert (answer.status, answer.headers.get("Retry-After")) == (503, seconds)
