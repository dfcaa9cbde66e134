from __future__ import annotations

import dataclasses
import gzip
import json
import re
from typing import Any
from urllib.parse import urljoin

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeproxy.policy.stored import StoredResponse
from edgeproxy.sites.python_facts import PageFacts, file_key
from edgeproxy.sites.python_links import LinkRules, host_id, origin_of_id
from edgeproxy.sites.python_negotiation import PageType
from edgeproxy.sites.python_page_files import PagePolicy
from edgeproxy.sites.python_pages import PageView
from edgeproxy.sites.site import Derived, Unacceptable
from edgeproxy.upstream.upstream import Origin

INDEX = Origin("https", "index.example", 443)
FILES = Origin("https", "files.example", 443)
J, H, T = PageType.JSON, PageType.HTML, PageType.TEXT
DIGEST = "ab" * 32
SIDECAR = "cd" * 32
POLICY = PagePolicy(LinkRules(index=INDEX, private=False))


def stored(kind: str = J, at: float = 0.0, **fields: str) -> StoredResponse:
    pairs = (
        ("Content-Type", str(kind)),
        *((name.replace("_", "-"), value) for name, value in fields.items()),
    )
    return StoredResponse(
        key="https://index.example/simple/thing/",
        site="pypi",
        status=200,
        fields=pairs,
        born=at,
        request_time=at,
        response_time=at,
        fresh_until=at + 600,
    )


def derive(
    body: bytes | str | dict[str, Any],
    source: StoredResponse | None = None,
    *,
    kind: PageType = J,
    coded: bool = False,
    policy: PagePolicy = POLICY,
    without: frozenset[bytes] = frozenset(),
    previous: StoredResponse | None = None,
) -> Derived:
    data = json.dumps(body) if isinstance(body, dict) else body
    raw = data.encode() if isinstance(data, str) else data
    view = PageView("thing", kind, coded, policy, without)
    return view.derive(source or stored(), raw, previous)


def file(url: str = "https://files.example/p/thing-1.0-py3-none-any.whl", **more: Any) -> dict[str, Any]:
    found = {"filename": url.rpartition("/")[2], "url": url, "hashes": {"sha256": DIGEST}, "size": 7}
    return {**found, **more}


def page(*files: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"meta": {"api-version": "1.4", "_last-serial": 5}, "name": "Thing", "files": list(files), **more}


HTML = f"""<!DOCTYPE html>
<html><head><meta name="pypi:repository-version" content="1.3"><base href="https://files.example/p/"></head>
<body>
<!-- kept as it is: é -->
<a href="thing-1.0-py3-none-any.whl#sha256={DIGEST}" data-requires-python="&gt;=3.8" data-x='a>b'
   data-core-metadata="sha256={SIDECAR}"
   data-dist-info-metadata="sha256={SIDECAR}">thing-1.0-py3-none-any.whl</a><br/>
<A HREF=https://elsewhere.example/thing-0.9.zip data-yanked>thing-0.9.zip</A>
</body></html>
"""


def test_json_links_become_relative_and_all_else_passes() -> None:
    before = file(
        **{"requires-python": ">=3.8", "yanked": "bad", "new": {"x": [1]}, "provenance": "https://i/x"}
    )
    after = json.loads(derive(page(before, versions=["1.0"], extra=1)).data)
    assert after["files"][0].pop("url") == "../../f/files.example/p/thing-1.0-py3-none-any.whl"
    before.pop("url")
    assert after["files"][0] == before
    assert after["versions"] == ["1.0"]
    assert after["extra"] == 1
    assert after["meta"] == {"api-version": "1.4", "_last-serial": 5}


def test_html_keeps_every_byte_but_the_links_and_the_base() -> None:
    text = derive(HTML, stored(T), kind=T).data.decode()
    expected = HTML.replace('<base href="https://files.example/p/">', "").replace(
        'href="thing-1.0', 'href="../../f/files.example/p/thing-1.0'
    )
    assert text == expected


def test_json_is_made_from_html_and_says_an_older_version() -> None:
    made = json.loads(derive(HTML, stored(T), kind=J).data)
    assert made["meta"]["api-version"] == "1.0"
    one, two = made["files"]
    assert one == {
        "filename": "thing-1.0-py3-none-any.whl",
        "url": "../../f/files.example/p/thing-1.0-py3-none-any.whl",
        "hashes": {"sha256": DIGEST},
        "requires-python": ">=3.8",
        "core-metadata": {"sha256": SIDECAR},
    }
    assert two["url"] == "https://elsewhere.example/thing-0.9.zip"
    assert two["yanked"] is True


@pytest.mark.parametrize("kind", [H, T])
def test_html_is_made_from_json(kind: PageType) -> None:
    entry = file(**{"requires-python": ">=3.8", "yanked": 'a "b"', "core-metadata": {"sha256": SIDECAR}})
    made = derive(page(entry, **{"project-status": {"status": "archived"}}), kind=kind)
    text = made.data.decode()
    assert made.fields.get("Content-Type") == kind.value
    assert f'href="../../f/files.example/p/thing-1.0-py3-none-any.whl#sha256={DIGEST}"' in text
    assert 'data-requires-python="&gt;=3.8"' in text
    assert 'data-yanked="a &quot;b&quot;"' in text
    assert text.count(f'metadata="sha256={SIDECAR}"') == 2
    assert '<meta name="pypi:project-status" content="archived">' in text


@pytest.mark.parametrize(
    ("source", "body", "word"),
    [
        (stored(J), b"", "empty"),
        (stored(J), b"<html>", "JSON"),
        (stored(J), b'{"name": "thing"}', "files"),
        (stored(J), b'{"name": "other", "files": []}', "another"),
        (stored(J), b'{"name": "thing", "files": [1]}', "url"),
        (stored(T), b"just text", "HTML"),
        (stored("text/plain"), b"<html></html>", "Content-Type"),
        (stored(""), b"<html></html>", "Content-Type"),
        (stored(J, Content_Encoding="gzip"), b"nogzip", "broken"),
        (stored(J, Content_Encoding="gzip"), gzip.compress(b'{"files":[]}', mtime=0)[:-9], "early"),
        (stored(J, Content_Encoding="gzip"), gzip.compress(b" " * (8 << 20), mtime=0), "grows"),
        (stored(J, Content_Encoding="br"), b"x", "coding"),
    ],
)
def test_what_cannot_be_the_page_is_unacceptable(source: StoredResponse, body: bytes, word: str) -> None:
    with pytest.raises(Unacceptable, match=word):
        derive(body, source)


def test_both_codings_have_the_same_content_and_different_tags() -> None:
    plain, coded = derive(page(file())), derive(page(file()), coded=True)
    assert gzip.decompress(coded.data) == plain.data
    assert coded.fields.get("Content-Encoding") == "gzip"
    assert plain.fields.get("ETag") != coded.fields.get("ETag")
    source = stored(J, Content_Encoding="gzip")
    assert derive(gzip.compress(json.dumps(page(file())).encode()), source).data == plain.data


@pytest.mark.parametrize(
    ("before", "now", "seconds", "accepted"),
    [
        ("5", "6", 600, True),
        ("5", "5", 600, True),
        ("5", "4", 600, False),
        ("5", None, 600, False),
        (None, None, 600, True),
        ("5", "4", 90_000, True),
        ("x", "4", 600, True),
    ],
)
def test_a_page_older_than_ours_is_a_failure_for_a_day(
    before: str | None, now: str | None, seconds: float, accepted: bool
) -> None:
    def with_serial(serial: str | None, at: float) -> StoredResponse:
        return stored(J, at, **({} if serial is None else {"X_PyPI_Last_Serial": serial}))

    old, new = with_serial(before, 0.0), with_serial(now, seconds)
    if accepted:
        derive(page(meta={}), new, previous=old)
    else:
        with pytest.raises(Unacceptable, match="older"):
            derive(page(meta={}), new, previous=old)
    derive(page(), new, previous=old, policy=dataclasses.replace(POLICY, serial_guard=False))


@pytest.mark.parametrize(
    ("seen", "body", "accepted"),
    [(5, 5, True), (5, 6, True), (5, 4, False), (5, None, False), (None, None, True), (5, True, False)],
)
def test_a_serial_in_the_body_counts_when_no_field_has_one(
    seen: int | None, body: object, accepted: bool
) -> None:
    view = PageView("thing", J, False, POLICY, serial_seen=seen)
    raw = json.dumps(page(meta={"_last-serial": body})).encode()
    if accepted:
        facts = view.derive(stored(at=60.0), raw, stored()).learned
        assert facts.serial == body
    else:
        with pytest.raises(Unacceptable, match="older"):
            view.derive(stored(at=60.0), raw, stored())


def test_a_serial_in_an_html_page_is_read_from_its_comment() -> None:
    assert derive(HTML + "<!--SERIAL 17-->", stored(H)).learned.serial == 17


@pytest.mark.parametrize(("extra", "accepted"), [(19, True), (20, False), (500, False)])
def test_nesting_is_bounded(extra: int, accepted: bool) -> None:
    deep: Any = 1
    for _ in range(extra):
        deep = [deep]
    if accepted:
        assert json.loads(derive(page(x=deep)).data)["x"] == deep
    else:
        with pytest.raises(Unacceptable, match="nested"):
            derive(page(x=deep))


@pytest.mark.parametrize("kind", list(PageType))
def test_files_without_hash_are_hidden_when_one_is_required(kind: PageType) -> None:
    policy = dataclasses.replace(POLICY, require_hash=True)
    links = LinkRules(INDEX, private=False, configured=frozenset({FILES}))
    for rules in (policy, dataclasses.replace(policy, links=links)):
        bare = file("https://files.example/p/thing-2.0.zip", hashes={})
        made = derive(page(file(), bare), kind=kind, policy=rules).data
        assert b"thing-1.0" in made
        assert b"thing-2.0" not in made
        made = derive(HTML, stored(H), kind=kind, policy=rules).data
        assert b"thing-1.0" in made
        assert b"thing-0.9" not in made
    assert policy.id != POLICY.id


def test_a_page_teaches_hashes_sizes_and_sidecars() -> None:
    entry = file("https://files.example/p/thing-1.0+cpu-py3-none-any.whl")
    entry["data-dist-info-metadata"] = {"sha256": SIDECAR}
    learned = derive(page(entry)).learned
    assert isinstance(learned, PageFacts)
    facts = learned.files[file_key(FILES, "/p/thing-1.0%2Bcpu-py3-none-any.whl")]
    assert (facts.sha256.hex(), facts.size) == (DIGEST, 7)
    assert facts.sidecar == bytes.fromhex(SIDECAR)
    assert facts.path == "/p/thing-1.0+cpu-py3-none-any.whl"
    assert learned.hosts == {FILES}


@pytest.mark.parametrize(
    ("url", "hashed", "served"),
    [
        ("https://files.example/p/t-1.zip", True, True),
        ("https://files.example/p/t-1.zip", False, False),
        ("https://index.example/p/t-1.zip", False, True),
        ("/p/t-1.zip", False, True),
        ("../../p/t-1.zip", False, True),
        ("http://files.example/p/t-1.zip", True, False),
        ("https://files.example:22/p/t-1.zip", True, False),
        ("https://10.0.0.1/p/t-1.zip", True, False),
        ("https://user:pw@files.example/p/t-1.zip", True, False),
        ("https://files.example/p/t-1.zip?token=1", True, False),
        ("https://files.example/p/%2e%2e/t-1.zip", True, False),
        ("ftp://files.example/p/t-1.zip", True, False),
        ("https://[bad/p/t-1.zip", True, False),
    ],
)
def test_only_links_that_are_safe_to_follow_become_ours(url: str, hashed: bool, served: bool) -> None:
    entry = file(url, hashes={"sha256": DIGEST} if hashed else {})
    passed = json.loads(derive(page(entry)).data)["files"]
    assert passed[0]["url"].startswith("../../f/") is served
    dropped = json.loads(derive(page(entry), policy=dataclasses.replace(POLICY, drop_foreign=True)).data)
    assert len(dropped["files"]) == served


def test_marks_of_a_file_without_sidecar_go_together() -> None:
    marks = {name: {"sha256": SIDECAR} for name in ("core-metadata", "data-dist-info-metadata")}
    key = file_key(FILES, "/p/thing-1.0-py3-none-any.whl")
    text = derive(page(file(**marks)), without=frozenset({key})).data.decode()
    assert "metadata" not in text
    html = derive(HTML, stored(T), kind=T, without=frozenset({key})).data.decode()
    assert "-metadata" not in html
    assert "data-requires-python" in html
    assert PageView("t", J, False, POLICY).id != PageView("t", J, False, POLICY, frozenset({key})).id


def test_files_too_young_or_of_unknown_age_are_hidden() -> None:
    entries = [
        file("https://files.example/p/thing-1.zip", **{"upload-time": "1970-01-01T00:00:10Z"}),
        file("https://files.example/p/thing-2.zip", **{"upload-time": "1970-01-01T00:02:00.5Z"}),
        file("https://files.example/p/thing-3.zip"),
        file("https://files.example/p/thing-4.zip", **{"upload-time": "soon"}),
    ]
    policy = dataclasses.replace(POLICY, uploaded_before=60.0)
    files = json.loads(derive(page(*entries), policy=policy).data)["files"]
    assert [entry["filename"] for entry in files] == ["thing-1.zip"]


@pytest.mark.parametrize("kind", list(PageType))
def test_offline_pages_list_stored_files_only(kind: PageType) -> None:
    here, gone = "https://files.example/p/thing-1.zip", "https://files.example/p/thing-2.zip"
    policy = dataclasses.replace(POLICY, stored_only=lambda keys: frozenset(keys) & {here})
    text = derive(page(file(here), file(gone)), policy=policy, kind=kind).data.decode()
    assert "thing-1.zip" in text
    assert "thing-2.zip" not in text
    html = f'<html><a href="{here}#sha256={DIGEST}">1</a><a href="{gone}#sha256={DIGEST}">2</a></html>'
    text = derive(html, stored(T), policy=policy, kind=kind).data.decode()
    assert "thing-1.zip" in text
    assert "thing-2.zip" not in text
    assert PageView("thing", kind, False, policy).volatile


SEGMENT = st.text(alphabet="abcXYZ019._+!~-", min_size=1, max_size=8).filter(lambda s: s.strip("."))
NAME = st.text(alphabet="abc019._+!-", min_size=1, max_size=12).filter(lambda s: s.strip("."))
ORIGINS = st.builds(
    Origin,
    st.sampled_from(["http", "https"]),
    st.sampled_from(["files.example", "index.example", "127.0.0.1", "::1", "a_b", "localhost"]),
    st.sampled_from([80, 443, 9000]),
)


@given(ORIGINS)
@settings(max_examples=60)
def test_an_origin_can_be_read_back_from_its_id(origin: Origin) -> None:
    assert origin_of_id(host_id(origin)) == origin


@given(ORIGINS, st.lists(SEGMENT, max_size=3), NAME, st.sampled_from(list(PageType)), st.booleans())
@settings(max_examples=200, deadline=None)
def test_a_rewritten_link_leads_back_to_the_upstream_url(
    origin: Origin, folders: list[str], name: str, kind: PageType, from_html: bool
) -> None:
    url = f"{origin.url}/{'/'.join([*folders, name])}"
    policy = PagePolicy(LinkRules(Origin("http", "127.0.0.1", 9000), private=True))
    if from_html:
        made = derive(
            f'<html><a href="{url}#sha256={DIGEST}">x</a></html>', stored(T), kind=kind, policy=policy
        )
    else:
        made = derive(page(file(url)), kind=kind, policy=policy)
    text = made.data.decode()
    link = json.loads(text)["files"][0]["url"] if kind is J else re.findall(r'href="([^"#]*)', text)[0]
    ours = urljoin("http://edge.example/pypi/simple/thing/", link)
    assert ours.startswith("http://edge.example/pypi/f/")
    identity, _, path = ours.removeprefix("http://edge.example/pypi/f/").partition("/")
    named = origin_of_id(identity)
    assert named is not None
    assert f"{named.url}/{path}" == url
