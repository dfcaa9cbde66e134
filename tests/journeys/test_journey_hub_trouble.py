"""What goes wrong between a hub, a node and its clients: nobody is left with a wrong or a partial file."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from stands.hub import Hub
from stands.hub_clients import Call, Done, HubClient, ask, file, snapshot
from stands.hub_content import Pattern
from stands.hub_faults import Cut, Flip
from stands.node import Node, eventually

ServeHub = Callable[..., Node]
Visit = Callable[..., HubClient]
SHARD = "model-00001-of-00002.safetensors"
BIG = Pattern("big", 40_000_000)
BIG_BYTES = BIG.size
WHOLE = {"big.bin": BIG.sha256}
QUICK_SECONDS = 20  # clients that try again take 23 s at least


@pytest.fixture
def big_hub(hub: Hub) -> Hub:
    """The hub with a model of one large file as well."""
    hub.add("acme/large", {"big.bin": BIG, "config.json": b"{}"})
    return hub


@contextlib.contextmanager
def meanwhile(client: HubClient, *arguments: str, **options: Any) -> Iterator[list[Done]]:
    """Download a file in a thread; the list holds what came of it at the end of the block."""
    results: list[Done] = []
    thread = threading.Thread(target=lambda: results.append(client.file(*arguments, **options)))
    thread.start()
    try:
        yield results
    finally:
        thread.join()


# Breaks.


def test_a_body_cut_upstream_is_not_noticed(
    serve_hub: ServeHub, visit: Visit, big_hub: Hub, release: str
) -> None:
    # A reset would take with it what the node has not read yet, on a busy machine most of it.
    big_hub.faults.cut["big.bin"] = Cut(after=7_000_000, times=3)
    node = serve_hub(big_hub)
    done = visit(release, node).file("acme/large", "big.bin")
    assert done.files == WHOLE, done
    assert big_hub.sent("cdn") <= 1.15 * BIG_BYTES
    assert any(asked.get("range").startswith("bytes=") for asked in big_hub.asked("cdn"))


def test_a_body_that_stalls_upstream_is_fetched_again(
    serve_hub: ServeHub, visit: Visit, big_hub: Hub
) -> None:
    big_hub.faults.cut["big.bin"] = Cut(after=7_000_000, times=2, how="stall")
    node = serve_hub(big_hub, {"upstream": {"progress_timeout": "1s"}})
    for name in ("1", "2"):
        done = visit(name, node, name).file("acme/large", "big.bin")
        assert done.files == WHOLE, done


def test_what_a_killed_client_asked_for_is_there_when_it_comes_back(
    serve_hub: ServeHub, visit: Visit, big_hub: Hub, release: str
) -> None:
    big_hub.faults.cdn_bandwidth = 16e6
    node = serve_hub(big_hub, {"fill": {"parallel": 1}})
    client = visit(release, node)
    client.home.mkdir()
    process = client.start("hf_hub_download", repo_id="acme/large", filename="big.bin")
    assert eventually(lambda: big_hub.sent("cdn") > 4_000_000, 40)
    process.kill()
    process.communicate()
    assert eventually(lambda: big_hub.sent("cdn") >= BIG_BYTES, 40), big_hub.sent("cdn")
    big_hub.down()
    done = client.file("acme/large", "big.bin")
    assert done.files == WHOLE, done
    assert big_hub.sent("cdn") <= 1.01 * BIG_BYTES


def test_a_node_killed_in_the_middle_goes_on_where_it_was(
    serve_hub: ServeHub, visit: Visit, big_hub: Hub, release: str
) -> None:
    big_hub.faults.cdn_bandwidth = 10e6
    node = serve_hub(big_hub, {"fill": {"parallel": 1}})
    client = visit(release, node)
    client.home.mkdir()
    process = client.start("hf_hub_download", repo_id="acme/large", filename="big.bin")
    assert eventually(lambda: big_hub.sent("cdn") > 30_000_000, 40)
    node.kill()
    process.kill()
    process.communicate()
    big_hub.faults.cdn_bandwidth = 0
    node.start()
    done = visit(release, node).file("acme/large", "big.bin")
    assert done.files == WHOLE, done
    big_hub.down()
    done = visit(release, node, "other").file("acme/large", "big.bin")
    assert done.files == WHOLE, done
    # What was received and not yet on disk when the node died is fetched again: a second's worth, or two.
    assert big_hub.sent("cdn") <= 1.6 * BIG_BYTES, [a.get("range") for a in big_hub.asked("cdn")]


def test_a_signed_url_that_ends_in_mid_download_is_asked_for_again(
    serve_hub: ServeHub, visit: Visit, big_hub: Hub, release: str
) -> None:
    big_hub.faults.cdn_bandwidth = 16e6
    big_hub.faults.cut["big.bin"] = Cut(after=8_000_000, times=6)
    node = serve_hub(big_hub)
    with meanwhile(visit(release, node), "acme/large", "big.bin") as results:
        assert eventually(lambda: big_hub.sent("cdn") > 2_000_000, 40)
        big_hub.pass_time(4000)
    assert results[0].files == WHOLE, results[0]
    assert 403 in [asked.status for asked in big_hub.asked("cdn")]
    assert big_hub.sent("cdn") <= 1.15 * BIG_BYTES


@pytest.mark.parametrize("hosts", [("hub",), ("cdn",), ("hub", "cdn")])
def test_a_hub_that_fails_now_and_then_is_not_noticed(
    serve_hub: ServeHub, visit: Visit, hub: Hub, release: str, hosts: tuple[str, ...]
) -> None:
    # A small file takes two answers of the hub, so that more than a third of the attempts fail.
    hub.faults.hub_error_every = 5 if "hub" in hosts else 0
    hub.faults.cdn_error_every = 3 if "cdn" in hosts else 0
    node = serve_hub(hub)
    done = visit(release, node).snapshot("acme/tiny")
    assert done.files == hub.repositories["model", "acme/tiny"].head.digests, done


# Wrong bytes.


def is_stuck(release: str, path: str) -> bool:
    """Whether a release that was cut off needs force_download afterwards: 0.24 appends a whole answer to what
    it has, sees that the size is wrong, says so, and keeps it."""
    return release == "0.24" and path == "big.bin"


def asks_for_half_a_minute(release: str, path: str) -> bool:
    """Whether a release does not take a 503 for an end: its next attempts are let succeed."""
    return release == "0.36" and path != "big.bin"


@pytest.mark.parametrize("path", ["big.bin", "config.json"])
def test_a_flipped_byte_completes_no_file_and_the_next_time_all_is_well(
    serve_hub: ServeHub, visit: Visit, big_hub: Hub, release: str, path: str
) -> None:
    repository = big_hub.repositories["model", "acme/large"]
    right = {path: repository.head.digests[path]}
    big_hub.faults.flipped[path] = Flip(at=repository.head.files[path].size - 1)
    node = serve_hub(big_hub)
    user = visit(release, node, seconds=40)
    if asks_for_half_a_minute(release, path):
        with meanwhile(user, "acme/large", path) as results:
            assert eventually(lambda: node.metric("digest_mismatch_total") >= 1)
            big_hub.faults.flipped.clear()
        assert results[0].files in ({}, right), results[0]
    else:
        bad = user.file("acme/large", path)
        assert not bad.ok, bad
    assert node.metric("digest_mismatch_total") >= 1
    big_hub.faults.flipped.clear()
    # Who comes back within a second is told of the same failure.
    force = is_stuck(release, path)
    assert eventually(lambda: user.file("acme/large", path, force_download=force).files == right, 40)
    other = visit(release, node, "other").file("acme/large", path)
    assert other.files == right, other


def test_a_byte_flipped_once_early_in_a_large_file_is_mended(
    serve_hub: ServeHub, visit: Visit, big_hub: Hub, release: str
) -> None:
    big_hub.faults.flipped["big.bin"] = Flip(at=3_000_001, times=1)
    node = serve_hub(big_hub)
    user = visit(release, node)
    for number in range(3):
        forced = number > 0 and is_stuck(release, "big.bin")
        done = user.file("acme/large", "big.bin", force_download=forced)
        assert done.files in ({}, WHOLE), done
        if done.ok:
            break
    assert done.files == WHOLE, done
    big_hub.down()
    assert visit(release, node, "other").file("acme/large", "big.bin").files == WHOLE


Ranges = Literal["none", "whole", "shifted", "resized", "renamed"]


@pytest.mark.parametrize("lie", ["none", "whole", "shifted", "resized", "renamed"])
def test_a_cdn_whose_ranges_are_no_use_gives_right_files_all_the_same(
    serve_hub: ServeHub, visit: Visit, big_hub: Hub, lie: Ranges
) -> None:
    big_hub.faults.cdn_ranges = lie
    big_hub.faults.cdn_bandwidth = 40e6
    node = serve_hub(big_hub)
    ranged = ask(
        node.url(
            "/hf/acme/large/resolve/" + big_hub.repositories["model", "acme/large"].head.sha + "/big.bin"
        ),
        fields=[("Range", "bytes=20000000-20000099")],
    )
    if ranged.status < 300:
        start = 0 if ranged.status == 200 else 20_000_000
        assert ranged.body == BIG.read(start, start + len(ranged.body)), ranged.status
    for name in ("0.36", "2"):
        done = visit(name, node, name, transfer=name == "0.36").file("acme/large", "big.bin")
        assert done.files == WHOLE, done


def test_a_page_in_place_of_the_bytes_is_never_a_file(
    serve_hub: ServeHub, visit: Visit, hub: Hub, release: str
) -> None:
    hub.faults.html.add(SHARD)
    node = serve_hub(hub)
    user = visit(release, node, extra={"HF_HUB_DOWNLOAD_TIMEOUT": "5"})
    right = {SHARD: hub.repositories["model", "acme/tiny"].head.digests[SHARD]}
    if asks_for_half_a_minute(release, SHARD):
        with meanwhile(user, "acme/tiny", SHARD) as results:
            assert eventually(lambda: any(line["status"] >= 500 for line in node.access_log()))
            hub.faults.html.clear()
        assert results[0].files in ({}, right), results[0]
    else:
        bad = user.file("acme/tiny", SHARD)
        assert not bad.ok, bad
    hub.faults.html.clear()
    assert eventually(lambda: user.file("acme/tiny", SHARD).files == right, 40)


@pytest.mark.parametrize(
    "target", ["http://10.255.255.1/x", "http://169.254.169.254/latest", "file:///etc/passwd"]
)
def test_a_redirect_to_elsewhere_is_not_followed(
    serve_hub: ServeHub, visit: Visit, hub: Hub, target: str
) -> None:
    hub.faults.redirected[SHARD] = target
    node = serve_hub(hub)
    assert (
        node.get(f"/hf/acme/tiny/resolve/{hub.repositories['model', 'acme/tiny'].head.sha}/{SHARD}").status
        >= 500
    )
    hub.faults.redirected.clear()
    digest = hub.repositories["model", "acme/tiny"].head.digests[SHARD]
    user = visit("2", node)
    assert eventually(lambda: user.file("acme/tiny", SHARD).files == {SHARD: digest}, 40)


@pytest.mark.parametrize("size", [1 << 62, -1, 1, "12", None])
def test_a_tree_that_lies_about_a_size_makes_no_wrong_file(
    serve_hub: ServeHub, hub: Hub, size: object
) -> None:
    head = hub.repositories["model", "acme/tiny"].head
    shard = head.files[SHARD].content
    hub.faults.tree_lies[SHARD] = {
        "size": size, "lfs": {"oid": shard.sha256, "size": size, "pointerSize": 134}
    }  # fmt: skip
    node = serve_hub(hub)
    for _ in range(2):
        with contextlib.suppress(OSError):  # a connection that is cut tells no wrong file
            answer = node.get(f"/hf/acme/tiny/resolve/{head.sha}/{SHARD}")
            assert answer.status >= 500 or not answer.complete or answer.body == shard.read(0, shard.size)
    node.check()
    assert node.resident_bytes() < 300 << 20


# Refusals and silence.


def test_what_is_not_there_is_told_in_the_hubs_words_and_asked_for_once(
    serve_hub: ServeHub, visit: Visit, hub: Hub, release: str
) -> None:
    node = serve_hub(hub)
    wanted = [
        ({"repo_id": "acme/tiny", "filename": "none.json"}, "EntryNotFoundError"),
        ({"repo_id": "acme/tiny", "filename": "config.json", "revision": "none"}, "RevisionNotFoundError"),
        ({"repo_id": "acme/none", "filename": "config.json", "token": "hf_bob"}, "RepositoryNotFoundError"),
        ({"repo_id": "acme/none", "filename": "config.json"}, "RepositoryNotFoundError"),
    ]
    calls = [Call("hf_hub_download", arguments) for arguments, _ in wanted]
    for round_number in range(2):
        told = visit(release, node, f"{round_number}").do(*calls)
        for done, (_, kind) in zip(told, wanted, strict=True):
            assert kind in done.raised + done.cause, (round_number, done)
        if round_number == 0:
            hub.forget()
    assert [a.target for a in hub.asked() if "agent-harnesses" not in a.target] == []
    answers = visit(release, node).do(
        Call("file_exists", {"repo_id": "acme/tiny", "filename": "none.json"}),
        Call("repo_exists", {"repo_id": "acme/none"}),
    )
    assert [done.value for done in answers] == [False, False], answers


MALFORMED = [
    "/acme/tiny/resolve/main/../../secret",
    "/acme/tiny/resolve/main/%2e%2e/x",
    "/acme/tiny/resolve/main/a%00b",
    "/acme/tiny/resolve/..%2f..%2fmain/config.json",
    "/acme/tiny/resolve/main/a%2f..%2fb",
    "/acme/..%2ftiny/resolve/main/config.json",
    "/acme--x/tiny/resolve/main/config.json",
    "/acme/ti%0d%0any/resolve/main/config.json",
    "/acme/tiny.git/resolve/main/config.json",
    "/" + "a" * 97 + "/resolve/main/config.json",
    "/api/models/acme/../tiny",
    "/api/models/acme/tiny/tree/main/%2e%2e",
    "/api/models/acme/tiny/revision/%00",
    "/acme/tiny/resolve//config.json",
    "/acme/tiny/resolve/main/",
]


def test_malformed_names_are_refused_without_asking(serve_hub: ServeHub, hub: Hub) -> None:
    node = serve_hub(hub)
    for path in MALFORMED:
        answer = node.get(f"/hf{path}")
        assert answer.status in (400, 404), (path, answer)
        assert hub.asked() == [], path


def test_a_node_told_to_be_offline_serves_what_it_has_and_refuses_the_rest_at_once(
    serve_hub: ServeHub, visit: Visit, hub: Hub, release: str
) -> None:
    hub.add_model("acme/other")
    hub.add_model("acme/secret", private=True, readers=["alice"])
    node = serve_hub(hub, revision_ttl="0s")
    head = hub.repositories["model", "acme/tiny"].head
    assert visit(release, node, "online").snapshot("acme/tiny").files == head.digests
    assert visit(release, node, "alice", token="hf_alice").snapshot("acme/secret").ok
    node.stop()
    node.arguments.append("--offline")
    node.start()
    hub.forget()
    done, absent, refused, bob, nobody = visit(release, node, "offline").do(
        snapshot("acme/tiny"),
        file("acme/tiny", "none.json"),
        file("acme/other", "config.json"),
        snapshot("acme/secret", token="hf_bob"),
        snapshot("acme/secret", token=False),
    )
    assert done.files == head.digests, done
    assert "EntryNotFoundError" in absent.raised, absent
    assert [refused.ok, bob.ok, nobody.ok] == [False, False, False], refused
    assert refused.seconds < QUICK_SECONDS, refused
    assert not {"RepositoryNotFoundError", "RemoteEntryNotFoundError"} & set(refused.raised), refused
    assert hub.asked() == []


def test_a_hub_that_cannot_be_reached_is_not_taken_for_a_missing_model(
    serve_hub: ServeHub, visit: Visit, hub: Hub
) -> None:
    node = serve_hub(hub)
    hub.down()
    for path in ("/api/models/acme/tiny", "/acme/tiny/resolve/main/config.json"):
        answer = node.get(f"/hf{path}")
        assert answer.status in (502, 504), answer
        assert answer.get("x-error-code") == ""
    hub.up()
    head = hub.repositories["model", "acme/tiny"].head
    assert eventually(lambda: visit("2", node).snapshot("acme/tiny").files == head.digests, 30)


def test_a_limit_of_the_hub_is_waited_for_with_what_is_known(
    serve_hub: ServeHub, visit: Visit, hub: Hub, release: str, tmp_path: Path
) -> None:
    node = serve_hub(hub, revision_ttl="0s")
    head = hub.repositories["model", "acme/tiny"].head
    assert visit(release, node, "before").snapshot("acme/tiny").files == head.digests
    hub.faults.limited.update(api=1000, resolvers=1000)
    hub.faults.limited_seconds = 600
    hub.forget()
    calls = [snapshot("acme/tiny", cache_dir=str(tmp_path / f"limited{number}")) for number in range(3)]
    for done in visit(release, node, "limited").do(*calls):
        assert done.files == head.digests, done
    asked = [a.target for a in hub.asked("hub")]
    assert len(asked) <= 3, asked


def test_a_limit_with_nothing_known_is_told_and_passes(
    serve_hub: ServeHub, visit: Visit, hub: Hub, release: str
) -> None:
    hub.faults.limited.update(api=1, resolvers=1)
    hub.faults.limited_seconds = 1
    node = serve_hub(hub)
    head = hub.repositories["model", "acme/tiny"].head
    user = visit(release, node)
    done = user.snapshot("acme/tiny")
    assert done.files in ({}, head.digests), done
    assert eventually(lambda: user.snapshot("acme/tiny").files == head.digests, 40)


def test_a_limit_on_files_is_shared_and_nothing_unproven_follows_it(
    serve_hub: ServeHub, visit: Visit, big_hub: Hub
) -> None:
    node = serve_hub(big_hub)
    repository = big_hub.repositories["model", "acme/large"]
    paths = [f"/hf/acme/large/resolve/{repository.head.sha}/{path}" for path in ("big.bin", "config.json")]
    assert [node.get(path, method="HEAD").status for path in paths] == [200, 200]
    big_hub.faults.limited.update(resolvers=1)
    big_hub.faults.limited_seconds = 4
    big_hub.forget()
    for path in [*paths, *paths]:
        answer = node.get(path)
        assert (answer.status, "resolvers" in answer.get("ratelimit")) == (429, True), answer
    assert len(big_hub.asked("hub")) == 1, "the limit was asked against"
    big_hub.faults.html.update(("config.json", "big.bin"))
    assert eventually(lambda: node.get(paths[1]).status != 429, 40)
    for path in paths:
        assert node.get(path).status >= 500
    big_hub.faults.html.clear()
    digests = {"config.json": repository.head.digests["config.json"]}
    assert eventually(lambda: visit("2", node).file("acme/large", "config.json").files == digests, 40)
