"""Pages for who asks the index by its own name: nothing is changed that need not be."""

from __future__ import annotations

import dataclasses
import gzip
import json
from typing import Any

import pytest

from edgeproxy.policy.stored import StoredResponse
from edgeproxy.sites.python_facts import PageFacts, file_key
from edgeproxy.sites.python_links import LinkRules
from edgeproxy.sites.python_negotiation import PageType
from edgeproxy.sites.python_page_files import PagePolicy, check_depth
from edgeproxy.sites.python_pages import PageView
from edgeproxy.sites.site import Derived, Unacceptable
from edgeproxy.upstream.upstream import Origin

INDEX = Origin("https", "index.example", 443)
FILES = Origin("https", "files.example", 443)
J, H, T = PageType.JSON, PageType.HTML, PageType.TEXT
POLICY = PagePolicy(LinkRules(index=INDEX, private=False))
WHEEL = "thing-1.0-py3-none-any.whl"
KEY = file_key(FILES, f"/p/{WHEEL}")

PAGE = json.dumps(
    {
        "name": "thing",
        "odd": [1],
        "files": [
            {
                "filename": WHEEL,
                "url": f"https://files.example/p/{WHEEL}",
                "hashes": {"sha256": "ab" * 32},
                "core-metadata": {"sha256": "cd" * 32},
            },
            {"filename": "thing-0.9.zip", "url": "../../f/thing-0.9.zip", "hashes": {}},
        ],
    },
    indent=3,
).encode()
HTML = (
    f"<!DOCTYPE html><html><base href='https://files.example/p/'>"
    f"<a href='{WHEEL}#sha256={'ab' * 32}' data-core-metadata=true>{WHEEL}</a>"
    f"<a href='https://other.example/x'>x</a></html>"
).encode()


def came(kind: PageType = J, **fields: str) -> StoredResponse:
    pairs = [("Content-Type", f"{kind}; charset=utf-8"), ("ETag", '"its own"'), ("Repr-Digest", "x")]
    pairs += [("Cache-Control", "max-age=600"), *((k.replace("_", "-"), v) for k, v in fields.items())]
    times = {"born": 0.0, "request_time": 0.0, "response_time": 0.0, "fresh_until": 600.0}
    key = "https://index.example/simple/thing/"
    return StoredResponse(key=key, site="s", status=200, fields=tuple(pairs), **times)  # type: ignore[arg-type]


def own(
    body: bytes,
    source: StoredResponse,
    *forms: PageType,
    coded: bool = False,
    policy: PagePolicy = POLICY,
    without: frozenset[bytes] = frozenset(),
) -> Derived:
    view = PageView("thing", forms[0], coded, policy, without, own_forms=forms)
    return view.derive(source, body, None)


@pytest.mark.parametrize(
    ("body", "kind", "forms"),
    [(PAGE, J, (J, H, T)), (HTML, T, (J, H, T)), (HTML, H, (H,)), (PAGE, J, (T, J))],
)
def test_a_page_in_a_form_that_will_do_is_not_touched_and_teaches_all_the_same(
    body: bytes, kind: PageType, forms: tuple[PageType, ...]
) -> None:
    derived = own(body, came(kind), *forms)
    assert derived.data == body
    assert derived.fields == came(kind).headers
    assert isinstance(derived.learned, PageFacts)
    assert derived.learned.files[KEY].sha256.hex() == "ab" * 32
    assert FILES in derived.learned.hosts


def test_a_coded_page_stays_coded_for_who_takes_that() -> None:
    body = gzip.compress(PAGE)
    derived = own(body, came(Content_Encoding="gzip"), J, coded=True)
    assert (derived.data, derived.fields.get("ETag")) == (body, '"its own"')
    plain = own(body, came(Content_Encoding="gzip"), J)
    assert plain.data == PAGE
    assert "Content-Encoding" not in plain.fields
    assert plain.fields.get("ETag") not in ("", '"its own"')
    assert own(PAGE, came(), J, coded=True).data == PAGE  # not coded by us where the index did not


def test_another_form_has_the_indexs_links_and_fields_but_those_of_other_bytes() -> None:
    derived = own(PAGE, came(), T)
    assert f'href="https://files.example/p/{WHEEL}#sha256={"ab" * 32}"'.encode() in derived.data
    assert b'href="https://index.example/f/thing-0.9.zip"' in derived.data
    assert derived.fields.get("Content-Type") == "text/html"
    assert derived.fields.get("Cache-Control") == "max-age=600"
    assert derived.fields.get("ETag") != '"its own"'
    assert "Repr-Digest" not in derived.fields
    document: Any = json.loads(own(HTML, came(T), J).data)
    assert [file["url"] for file in document["files"]] == [
        f"https://files.example/p/{WHEEL}",
        "https://other.example/x",
    ]


@pytest.mark.parametrize(("body", "kind"), [(PAGE, J), (HTML, T)])
@pytest.mark.parametrize("change", ["marks", "foreign", "hash", "age", "stored"])
def test_what_the_operator_takes_out_is_taken_out_for_everybody(
    body: bytes, kind: PageType, change: str
) -> None:
    policy, without = POLICY, frozenset[bytes]()
    match change:
        case "marks":
            without = frozenset({KEY})
        case "foreign":
            policy = dataclasses.replace(policy, drop_foreign=True)
        case "hash":
            policy = dataclasses.replace(policy, require_hash=True)
        case "age":
            policy = dataclasses.replace(policy, uploaded_before=1.0)
        case "stored":
            policy = dataclasses.replace(policy, stored_only=lambda keys: frozenset())
    derived = own(body, came(kind), kind, policy=policy, without=without)
    is_same = (change, kind) == ("foreign", J)  # that page links to no foreign host
    assert (derived.data == body) is is_same
    assert b"../../f/files.example" not in derived.data
    if change == "marks":
        assert b"core-metadata" not in derived.data
        assert b"https://files.example/p/" in derived.data
    elif not is_same:
        assert (WHEEL.encode() in derived.data) is (change in ("foreign", "hash"))


def test_forms_are_part_of_what_a_view_is() -> None:
    views = [
        PageView("thing", J, False, POLICY),
        PageView("thing", J, False, POLICY, own_forms=(J,)),
        PageView("thing", J, False, POLICY, own_forms=(J, H)),
        PageView("thing", J, True, POLICY, own_forms=(J, H)),
    ]
    assert len({view.id for view in views}) == 4


def test_nesting_has_a_bound() -> None:
    deep: Any = []
    for _ in range(25):
        deep = [deep]
    with pytest.raises(Unacceptable):
        check_depth({"files": deep})
