"""What a node says about pages and files of an index when the index is not well, by curl and raw HTTP."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urljoin

import pytest
from stands.clients import curl
from stands.index import HTML_TYPE, JSON_TYPE, Index
from stands.node import Node, eventually
from stands.raw_client import RawAnswer

ServeIndex = Callable[..., Node]
PAGE = "/pypi/simple/alpha/"


def page(node: Node, accept: str = JSON_TYPE, target: str = PAGE) -> RawAnswer:
    return node.get(target, [("Accept", accept)])


def file_target(node: Node, project: str, filename: str) -> str:
    """Where the node's page says a file is."""
    base = f"/pypi/simple/{project}/"
    files = json.loads(page(node, JSON_TYPE, base).body)["files"]
    return next(urljoin(base, f["url"]) for f in files if f["filename"] == filename)


FORMS = [
    (JSON_TYPE, JSON_TYPE),
    (HTML_TYPE, HTML_TYPE),
    ("text/html", "text/html"),
    ("*/*", "text/html"),
    (f"{JSON_TYPE}, {HTML_TYPE}; q=0.1, text/html; q=0.01", JSON_TYPE),
    (f"{JSON_TYPE};q=0.0, text/html", "text/html"),
    ("image/png", "text/html"),
]


@pytest.mark.parametrize("html_only", [False, True])
def test_a_page_comes_in_the_form_asked_for(serve_index: ServeIndex, index: Index, html_only: bool) -> None:
    index.faults.html_only = html_only
    node = serve_index(index)
    for accept, kind in FORMS:
        node.purge("all")  # each time from the index
        answer = page(node, accept)
        assert answer.status == 200
        assert answer.get("content-type").partition(";")[0] == kind, accept
        assert "accept" in answer.get("vary").lower()
        hashes = set(re.findall(r"[0-9a-f]{64}", answer.body.decode()))
        assert {d.sha256 for d in index.files["alpha"]} <= hashes
        assert index.files_url.encode() not in answer.body
    assert index.pages_server.journal.count("/simple/alpha/") == len(FORMS)


def test_one_page_is_fetched_once_whatever_form_is_asked_for(serve_index: ServeIndex, index: Index) -> None:
    node = serve_index(index)
    for accept in (JSON_TYPE, HTML_TYPE, "text/html", f"{JSON_TYPE}, */*"):
        assert page(node, accept).status == 200
    assert index.pages_server.journal.count("/simple/alpha/") == 1


def test_a_page_not_changed_is_304(serve_index: ServeIndex, index: Index) -> None:
    node = serve_index(index)
    etag = page(node).get("etag")
    again = node.get(PAGE, [("Accept", JSON_TYPE), ("If-None-Match", etag)])
    assert (again.status, again.body, again.get("etag")) == (304, b"", etag)


def test_an_error_for_an_unknown_page_is_503_with_retry_after(serve_index: ServeIndex, index: Index) -> None:
    node = serve_index(index)
    for name, status in (("alpha", 500), ("beta", 502), ("gamma", 503), ("delta", 504), ("tree", 429)):
        index.faults.page_status[name] = status
        answer = page(node, target=f"/pypi/simple/{name}/")
        assert answer.status == 503, status
        assert 1 <= int(answer.get("retry-after")) <= 5


@pytest.mark.parametrize("fault", ["500", "503", "429", "empty", "down"])
def test_an_error_for_a_known_page_is_the_stale_page(
    serve_index: ServeIndex, index: Index, fault: str
) -> None:
    node = serve_index(index, page_ttl="0s", page_timeout="1s", revalidate_floor="0s")
    known = page(node).body
    if fault == "empty":
        index.faults.empty_pages.add("alpha")
    elif fault == "down":
        index.down()
    else:
        index.faults.page_status["alpha"] = int(fault)
    answer = page(node)
    assert (answer.status, answer.body) == (200, known)
    assert "no-cache" in answer.get("cache-control")


def test_a_project_that_is_unknown_is_404_and_names_are_checked_first(
    serve_index: ServeIndex, index: Index
) -> None:
    node = serve_index(index)
    assert page(node, target="/pypi/simple/absent/").status == 404
    asked = len(index.requests())
    for name in ("a%2fb", "..%2f", "%00", "\xe9", "-a", "a%20b", "a" * 3000):
        assert page(node, target=f"/pypi/simple/{name}/").status in (400, 404, 414), name
    assert len(index.requests()) == asked


def test_other_spellings_of_a_name_lead_to_the_page(serve_index: ServeIndex, index: Index) -> None:
    node = serve_index(index)
    for spelling in ("Odd.Name_Project", "ODD-NAME-PROJECT", "odd--name..project"):
        answer = page(node, target=f"/pypi/simple/{spelling}/")
        if answer.status != 200:
            assert answer.status in (302, 307, 303)
            target = urljoin(f"/pypi/simple/{spelling}/", answer.get("location"))
            assert target.endswith("/pypi/simple/odd-name-project/")


def test_an_upload_is_not_allowed(serve_index: ServeIndex, index: Index) -> None:
    node = serve_index(index)
    for target in (PAGE, "/pypi/simple/"):
        assert node.get(target, method="POST").status == 405
    assert index.requests() == []


def test_only_configured_hosts_are_asked_for_files(serve_index: ServeIndex, index: Index) -> None:
    node = serve_index(index)
    for target in (
        "/pypi/f/127.0.0.1/x",
        "/pypi/f/http://127.0.0.1:9/x",
        "/pypi/f/../../x",
        "/pypi/f/evil.test/a.whl",
    ):
        assert node.get(target).status in (400, 403, 404)
    assert index.files_server.journal.exchanges == []


def test_curl_reads_files_in_every_way(serve_index: ServeIndex, big_index: Index, tmp_path: Path) -> None:
    node = serve_index(big_index)
    big = big_index.file("big-1.0-py3-none-any.whl")
    url = node.url(file_target(node, "big", big.filename))
    # A cold tail first, as an installer that looks into a wheel asks.
    curl(tmp_path, "-r", "-16384", "-o", "tail", url)
    assert (tmp_path / "tail").read_bytes() == big.content[-16384:]
    head = curl(tmp_path, "-I", url).stdout.lower()
    assert f"content-length: {len(big.content)}" in head
    assert "accept-ranges: bytes" in head
    assert "immutable" in head
    curl(tmp_path, "-o", "whole", url)
    assert (tmp_path / "whole").read_bytes() == big.content
    (tmp_path / "part").write_bytes(big.content[:20_000_000])
    curl(tmp_path, "-C", "-", "-o", "part", url)
    assert (tmp_path / "part").read_bytes() == big.content
    curl(tmp_path, "-r", "1000-1999", "-o", "slice", url)
    assert (tmp_path / "slice").read_bytes() == big.content[1000:2000]
    etag = re.findall(r"etag: (\S+)", head)
    if etag:
        code = curl(
            tmp_path, "-o", "none", "-w", "%{http_code}", "-H", f"If-None-Match: {etag[0]}", url
        ).stdout
        assert code in ("304", "200")
    beyond = curl(tmp_path, "-o", "none", "-w", "%{http_code}", "-r", "999999999-", url).stdout
    assert beyond == "416"
    sent = big_index.files_server.journal.sent(big.path)
    assert sent <= len(big.content) * 1.02


def test_a_hundred_clients_share_one_cold_wheel(serve_index: ServeIndex, big_index: Index) -> None:
    node = serve_index(big_index)
    big = big_index.file("big-1.0-py3-none-any.whl")
    target = file_target(node, "big", big.filename)
    digests: list[str] = []

    def read() -> None:
        digests.append(hashlib.sha256(node.get(target, timeout=60).body).hexdigest())

    clients = [threading.Thread(target=read) for _ in range(12)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert set(digests) == {big.sha256}
    assert big_index.files_server.journal.sent(big.path) <= len(big.content) * 1.001 + 1000


def test_wrong_bytes_are_never_completed_to_any_client(serve_index: ServeIndex, big_index: Index) -> None:
    node = serve_index(big_index)
    big = big_index.file("big-1.0-py3-none-any.whl")
    target = file_target(node, "big", big.filename)
    big_index.faults.wrong_files.add(big.filename)
    answers: list[RawAnswer] = []
    clients = [
        threading.Thread(target=lambda: answers.append(node.get(target, timeout=60))) for _ in range(4)
    ]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert all(answer.status >= 500 or not answer.complete for answer in answers)
    assert all(answer.body != big.content for answer in answers)
    big_index.faults.wrong_files.clear()
    answer = node.get(target, timeout=60)
    assert hashlib.sha256(answer.body).hexdigest() == big.sha256


def test_a_file_with_wrong_bytes_in_a_range_is_not_glued_to_good_ones(
    serve_index: ServeIndex, big_index: Index
) -> None:
    node = serve_index(big_index)
    big = big_index.file("big-1.0-py3-none-any.whl")
    target = file_target(node, "big", big.filename)
    big_index.faults.wrong_files.add(big.filename)
    bad = node.get(target, timeout=60)
    assert (bad.status, bad.complete) == (200, False)
    big_index.faults.wrong_files.clear()
    fields = [("Range", f"bytes={len(bad.body)}-"), ("If-Range", bad.get("etag") or '"none"')]
    rest = node.get(target, fields, timeout=60)
    glued = bad.body + rest.body if rest.status == 206 else rest.body
    assert glued == big.content


def test_a_small_file_with_wrong_bytes_is_fetched_once_more_before_anybody_is_told(
    serve_index: ServeIndex, index: Index
) -> None:
    node = serve_index(index)
    alpha = index.file("alpha-1.1-py3-none-any.whl")
    target = file_target(node, "alpha", alpha.filename)
    index.faults.wrong_files.add(alpha.filename)
    bad = node.get(target)
    assert bad.status == 503
    assert "SHA-256" in bad.get("x-edge-error")
    assert index.files_server.journal.count(alpha.path) == 2
    assert len([path for path in (node.cache / "quarantine").iterdir() if path.suffix == ".json"]) == 2
    index.faults.wrong_files.clear()
    assert eventually(lambda: node.get(target).body == alpha.content)


def test_the_legacy_json_points_at_the_node(serve_index: ServeIndex, index: Index) -> None:
    node = serve_index(index)
    answer = node.get("/pypi/pypi/alpha/json")
    assert answer.status == 200
    document = json.loads(answer.body)
    urls = [f["url"] for release in document["releases"].values() for f in release]
    assert urls
    assert all(not url.startswith(index.files_url) for url in urls)
    assert document["info"]["home_page"] == "https://project.example/"
    assert node.get("/pypi/pypi/absent/json").status == 404


def test_a_purge_of_a_project_asks_again(serve_index: ServeIndex, index: Index) -> None:
    node = serve_index(index)
    page(node)
    node.purge("site", "packages")
    page(node)
    assert index.pages_server.journal.count("/simple/alpha/") == 2


def test_offline_an_unknown_project_is_404_and_a_file_not_stored_503(
    serve_index: ServeIndex, index: Index
) -> None:
    node = serve_index(index)
    target = file_target(node, "alpha", "alpha-1.1-py3-none-any.whl")
    node.stop()
    node.arguments.append("--offline")
    node.start()
    assert page(node, target="/pypi/simple/beta/").status == 404
    assert node.get(target).status == 503


def test_after_a_restart_a_file_of_a_removed_project_is_not_served(
    serve_index: ServeIndex, index: Index
) -> None:
    node = serve_index(index)
    targets = {name: file_target(node, "alpha", f"alpha-{name}-py3-none-any.whl") for name in ("1.0", "1.1")}
    for target in targets.values():
        assert node.get(target).status == 200
    node.restart()
    asked = len(index.requests())
    assert node.get(targets["1.0"]).status == 200
    assert len(index.requests()) == asked, "the stored page says enough"
    node.purge("url", "/pypi/simple/alpha/")
    node.restart()
    index.down()
    assert node.get(targets["1.0"]).status == 200, "an index that is silent removes nothing"
    index.up()
    del index.files["alpha"]
    node.restart()
    assert node.get(targets["1.1"]).status == 404
    assert node.get(targets["1.1"]).status == 404
