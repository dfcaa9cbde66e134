"""Whole repositories through a node, by released clients of the hub: what comes, what is fetched for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from stands.hub import Hub
from stands.hub_clients import HUB_RELEASES, Call, Done, HubClient, ask, document, file, snapshot
from stands.hub_content import Pattern
from stands.hub_models import ODD_FILES
from stands.hub_repository import Repository
from stands.node import Node

ServeHub = Callable[..., Node]
Visit = Callable[..., HubClient]


def large_bytes(repository: Repository) -> int:
    """Bytes of the distinct large files of a repository: what a CDN has to send once."""
    files = repository.head.files.values()
    return sum({file.content.sha256: file.size for file in files if file.large}.values())


def passed_by(hub: Hub) -> list[str]:
    """Requests that reached the hub's hosts without having gone through a node."""
    return [asked.target for asked in hub.asked() if not asked.get("via")]


def test_cold_then_warm_with_the_hub_stopped(
    serve_hub: ServeHub, visit: Visit, hub: Hub, release: str
) -> None:
    node = serve_hub(hub)
    repository = hub.repositories["model", "acme/tiny"]
    done = visit(release, node, "cold").snapshot("acme/tiny")
    assert done.files == repository.head.digests, done
    assert large_bytes(repository) <= hub.sent("cdn") <= 1.01 * large_bytes(repository)
    assert (passed_by(hub), hub.leaks(), hub.sent("cas")) == ([], [], 0)
    hub.down()
    hub.forget()
    done = visit(release, node, "warm").snapshot("acme/tiny")
    assert done.files == repository.head.digests, done
    pinned = visit(release, node, "pinned").snapshot("acme/tiny", revision=repository.head.sha)
    assert pinned.files == repository.head.digests, pinned
    assert hub.sent() == 0


def test_a_stopped_hub_is_not_noticed_when_branch_and_permission_must_be_asked_for_again(
    serve_hub: ServeHub, visit: Visit, hub: Hub, release: str
) -> None:
    node = serve_hub(hub, revision_ttl="0s", access_ttl="0s")
    head = hub.repositories["model", "acme/tiny"].head
    assert visit(release, node, "cold").snapshot("acme/tiny").files == head.digests
    hub.down()
    done = visit(release, node, "warm").snapshot("acme/tiny")
    assert done.files == head.digests, done
    assert done.seconds < 20, "clients that try again take 23 s at least"


def test_a_second_snapshot_of_a_sharded_model_moves_no_upstream_byte(
    serve_hub: ServeHub, visit: Visit, hub: Hub, release: str
) -> None:
    repository = hub.add_model("acme/large", shards=4, shard_bytes=16 << 20)
    node = serve_hub(hub)
    done = visit(release, node, "first").snapshot("acme/large")
    assert done.files == repository.head.digests, done
    assert hub.sent("cdn") <= 1.01 * large_bytes(repository)
    hub.forget()
    done = visit(release, node, "second").snapshot("acme/large")
    assert done.files == repository.head.digests, done
    assert hub.sent() == 0, hub.asked()


def test_all_releases_at_once_share_one_transfer(serve_hub: ServeHub, visit: Visit, hub: Hub) -> None:
    repository = hub.add_model("acme/large", shards=2, shard_bytes=16 << 20)
    hub.faults.cdn_bandwidth = 16e6
    node = serve_hub(hub)
    clients = [visit(name, node, f"{name}-{number}") for name in HUB_RELEASES for number in range(2)]
    results: list[Done] = []
    threads = [
        threading.Thread(target=lambda client=client: results.append(client.snapshot("acme/large")))
        for client in clients
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for done in results:
        assert done.files == repository.head.digests, done
    assert len(results) == len(clients)
    assert hub.sent("cdn") <= 1.01 * large_bytes(repository)


def test_a_moved_branch_brings_what_changed_and_nothing_else(
    serve_hub: ServeHub, visit: Visit, hub: Hub, release: str
) -> None:
    node = serve_hub(hub, revision_ttl="0s")
    repository = hub.repositories["model", "acme/tiny"]
    old = repository.head
    user = visit(release, node)
    assert user.snapshot("acme/tiny").files == old.digests
    repository.commit({"README.md": b"# moved", "new.bin": b"n" * 70_000, "config.json": None})
    hub.forget()
    done = user.snapshot("acme/tiny")
    assert done.files == repository.head.digests, done
    assert hub.sent("cdn") < 100_000, "the shards did not change"
    hub.forget()
    done = visit(release, node, "other").snapshot("acme/tiny", revision=old.sha)
    assert done.files == old.digests, done
    assert hub.sent("cdn") == 0


def test_the_same_file_in_another_repository_costs_no_transfer(
    serve_hub: ServeHub, visit: Visit, hub: Hub, release: str
) -> None:
    node = serve_hub(hub)
    files = {"weights.safetensors": Pattern("shared", 12 << 20), "config.json": b'{"shared": true}'}
    hub.add("acme/first", files)
    fork = hub.add("fork/second", {**files, "README.md": b"# A fork"})
    rows = hub.add("fork/rows", {"data/renamed.bin": files["weights.safetensors"]}, kind="dataset")
    assert visit(release, node).snapshot("acme/first").ok
    assert hub.sent("cdn") >= 12 << 20
    hub.forget()
    both = visit(release, node).do(snapshot("fork/second"), snapshot("fork/rows", repo_type="dataset"))
    assert [done.files for done in both] == [fork.head.digests, rows.head.digests], both
    assert hub.sent("cdn") == 0


def test_renamed_and_wrongly_written_repositories_are_found(
    serve_hub: ServeHub, visit: Visit, hub: Hub, release: str, tmp_path: Path
) -> None:
    node = serve_hub(hub)
    repository = hub.repositories["model", "acme/tiny"]
    hub.rename(repository, "acme/Moved")
    names = ("acme/tiny", "ACME/moved", "acme/Moved")
    apart = [str(tmp_path / f"apart{number}") for number in range(6)]
    whole = [snapshot(name, token=False, cache_dir=place) for name, place in zip(names, apart, strict=False)]
    single = [file(name, "config.json", cache_dir=apart[3 + number]) for number, name in enumerate(names)]
    for done in visit(release, node).do(*whole):
        assert done.files == repository.head.digests, done
    for done in visit(release, node).do(*single):
        assert done.files == {"config.json": repository.head.digests["config.json"]}, done
    assert passed_by(hub) == []
    assert hub.sent("cdn") <= 1.01 * large_bytes(repository)


def test_a_renamed_repository_redirects_below_the_mount(serve_hub: ServeHub, hub: Hub) -> None:
    node = serve_hub(hub)
    hub.rename(hub.repositories["model", "acme/tiny"], "acme/moved")
    for path in ("/api/models/acme/tiny", "/api/models/acme/tiny/tree/main?recursive=true"):
        answer = ask(node.url(f"/hf{path}"))
        assert answer.status == 307, answer
        assert answer.get("location") == f"/hf{path.replace('tiny', 'moved')}", answer
    answer = ask(node.url("/hf/acme/tiny/resolve/main/config.json"), "HEAD")
    assert (answer.status, answer.get("location").startswith("/hf/acme/moved/resolve/")) == (307, True)


@pytest.mark.parametrize("kind", ["dataset", "space"])
def test_data_sets_and_spaces_come_whole(
    serve_hub: ServeHub, visit: Visit, hub: Hub, release: str, kind: str
) -> None:
    node = serve_hub(hub)
    repository = (
        hub.add_dataset("acme/tiny")
        if kind == "dataset"
        else hub.add("acme/tiny", {"app.py": b"print()\n", "a/b.bin": Pattern("app", 3 << 20)}, kind="space")
    )
    done = visit(release, node).snapshot("acme/tiny", repo_type=kind)
    assert done.files == repository.head.digests, done
    hub.down()
    done = visit(release, node, "warm").snapshot("acme/tiny", repo_type=kind)
    assert done.files == repository.head.digests, done


def test_odd_and_empty_files_come_one_by_one(
    serve_hub: ServeHub, visit: Visit, hub: Hub, release: str
) -> None:
    node = serve_hub(hub)
    digests = hub.repositories["model", "acme/tiny"].head.digests
    for round_name in ("cold", "warm"):
        for path, done in zip(
            ODD_FILES,
            visit(release, node, round_name).do(*(file("acme/tiny", path) for path in ODD_FILES)),
            strict=True,
        ):
            assert done.files == {path: digests[path]}, done
        hub.down()


def test_revisions_may_be_named_in_every_way(
    serve_hub: ServeHub, visit: Visit, hub: Hub, release: str, tmp_path: Path
) -> None:
    node = serve_hub(hub)
    repository = hub.repositories["model", "acme/tiny"]
    first = repository.head
    repository.refs |= {"refs/tags/v1.0": first, "refs/heads/feature/x": first, "refs/pr/1": first}
    repository.commit({"README.md": b"# second"})
    calls = [
        file("acme/tiny", "README.md", revision=revision, cache_dir=str(tmp_path / f"apart{number}"))
        for number, revision in enumerate(("v1.0", "feature/x", "refs/pr/1", first.sha, first.sha[:8]))
    ]
    for call, done in zip(calls, visit(release, node).do(*calls), strict=True):
        assert done.files == {"README.md": first.digests["README.md"]}, (call, done)


def test_a_tree_of_several_pages_is_read_through_the_node(
    serve_hub: ServeHub, visit: Visit, hub: Hub, release: str
) -> None:
    hub.page_size = 7
    repository = hub.add("acme/many", {f"folder/{n:02}.txt": f"{n}".encode() for n in range(40)})
    node = serve_hub(hub)
    listed, done = visit(release, node).do(
        Call("list_repo_files", {"repo_id": "acme/many"}), snapshot("acme/many")
    )
    assert sorted(listed.value) == sorted(repository.head.files), listed
    assert done.files == repository.head.digests, done
    assert passed_by(hub) == []
    hub.down()
    listed = visit(release, node).call("list_repo_files", repo_id="acme/many")
    assert sorted(listed.value) == sorted(repository.head.files), listed


def test_a_page_asked_for_by_its_limit_names_the_next_at_the_node(serve_hub: ServeHub, hub: Hub) -> None:
    repository = hub.add("acme/many", {f"{n:02}.txt": f"{n}".encode() for n in range(40)})
    node = serve_hub(hub)
    url, found = node.url("/hf/api/models/acme/many/tree/main?recursive=true&limit=9"), []
    while url:
        answer = ask(url)
        found += [entry["path"] for entry in document(answer)]
        link = answer.get("link")
        url = link.partition(">")[0].removeprefix("<")
        assert not link or url.startswith("http://cache.test/hf/"), link
        url = url.replace("http://cache.test", node.url())  # the Host that raw requests name
    assert sorted(found) == sorted(repository.head.files)
