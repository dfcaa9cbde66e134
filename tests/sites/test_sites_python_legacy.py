from __future__ import annotations

import gzip
import json
from typing import Any

import msgspec
import pytest

from edgeproxy.policy.stored import StoredResponse
from edgeproxy.sites.python_legacy import LegacyView, OwnLegacyView
from edgeproxy.sites.python_links import LinkRules
from edgeproxy.sites.site import Unacceptable
from edgeproxy.upstream.upstream import Origin

VIEW = LegacyView("http://edge.example/pypi", LinkRules(Origin("https", "index.example", 443), private=False))
STORED = StoredResponse(
    key="https://index.example/pypi/a/json",
    site="s",
    status=200,
    fields=(("Content-Type", "application/json"),),
    born=0.0,
    request_time=0.0,
    response_time=0.0,
    fresh_until=1.0,
)


def shown(url: str, digests: dict[str, str]) -> Any:
    body = json.dumps({"info": {}, "urls": [{"url": url, "digests": digests}], "odd": [1]}).encode()
    return json.loads(VIEW.derive(STORED, body, None).data)


@pytest.mark.parametrize(
    ("url", "digests", "expected"),
    [
        ("https://f.example/a-1.zip", {"sha256": "ab"}, "http://edge.example/pypi/f/f.example/a-1.zip"),
        ("https://f.example/a-1.zip", {}, "https://f.example/a-1.zip"),
        ("https://index.example/a-1.zip", {}, "http://edge.example/pypi/f/index.example/a-1.zip"),
        ("http://10.0.0.1/a-1.zip", {"sha256": "ab"}, "http://10.0.0.1/a-1.zip"),
    ],
)
def test_links_to_served_files_become_absolute_ones_of_ours(
    url: str, digests: dict[str, str], expected: str
) -> None:
    made = shown(url, digests)
    assert made["urls"][0]["url"] == expected
    assert made["odd"] == [1]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"{}", b'{"info": 1}', b'{"info": {"a": ' + b"[" * 30 + b"]" * 30 + b"}}"]
)
def test_what_does_not_describe_a_project_is_unacceptable(body: bytes) -> None:
    with pytest.raises(Unacceptable):
        VIEW.derive(STORED, body, None)


def test_a_view_made_for_one_host_is_never_stored_for_another() -> None:
    assert VIEW.volatile
    assert VIEW.id != LegacyView("http://other.example/pypi", VIEW.links).id


def test_under_its_own_name_it_is_not_touched_but_looked_at() -> None:
    view, body = OwnLegacyView(gzip=True), b'{ "info": {} }'
    assert view.derive(STORED, body, None).data == body
    assert view.derive(STORED, body, None).fields == STORED.headers
    coded = msgspec.structs.replace(STORED, fields=(*STORED.fields, ("Content-Encoding", "gzip")))
    packed = gzip.compress(body)
    assert view.derive(coded, packed, None).data == packed
    plain = OwnLegacyView(gzip=False).derive(coded, packed, None)
    assert (plain.data, "Content-Encoding" in plain.fields) == (body, False)
    assert view.id != OwnLegacyView(gzip=False).id
    assert not view.volatile
    with pytest.raises(Unacceptable):
        view.derive(STORED, b"[]", None)
