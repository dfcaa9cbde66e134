"""Who may read what: gated and private repositories through a node that has their bytes."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from stands.hub import Hub
from stands.hub_clients import Call, HubClient, ask, file, snapshot
from stands.hub_content import Pattern
from stands.hub_repository import Repository
from stands.node import Node, eventually

ServeHub = Callable[..., Node]
Visit = Callable[..., HubClient]
SHARD = "model-00001-of-00002.safetensors"
QUICK_SECONDS = 20  # clients that try again take 23 s at least
# As what strangers are refused.
REFUSED = {"acme/gated": "GatedRepoError", "acme/secret": "RepositoryNotFoundError"}


@pytest.fixture
def closed_hub(hub: Hub) -> Hub:
    """The hub with a gated and a private model as well, which alice may read."""
    hub.add_model("acme/gated", gated="manual", readers=["alice"])
    hub.add_model("acme/secret", private=True, readers=["alice"])
    return hub


def test_the_right_token_reads_and_others_are_told_why_not(
    serve_hub: ServeHub, visit: Visit, closed_hub: Hub, release: str
) -> None:
    node = serve_hub(closed_hub)
    heads = {name: closed_hub.repositories["model", name].head for name in REFUSED}
    readings = visit(release, node, "alice", token="hf_alice").do(*map(snapshot, REFUSED))
    for done, head in zip(readings, heads.values(), strict=True):
        assert done.files == head.digests, done
    assert closed_hub.leaks() == []
    for is_up in (True, False):
        if not is_up:
            closed_hub.down()
        for token in ("", "hf_bob"):
            stranger = visit(release, node, f"{token}{is_up}", token=token)
            files = stranger.do(*(file(name, "config.json") for name in REFUSED))
            for done, kind in zip(files, REFUSED.values(), strict=True):
                assert kind in done.raised + done.cause, (token, done)
                assert done.seconds < QUICK_SECONDS, done
            wholes = stranger.do(*(snapshot(name, revision=head.sha) for name, head in heads.items()))
            assert [done.ok for done in wholes] == [False, False]
        done = visit(release, node, f"alice{is_up}", token="hf_alice").snapshot("acme/secret")
        assert done.files == closed_hub.repositories["model", "acme/secret"].head.digests, done


def test_a_wrong_token_is_not_taken_for_none(
    serve_hub: ServeHub, visit: Visit, closed_hub: Hub, release: str
) -> None:
    node = serve_hub(closed_hub)
    assert visit(release, node, "alice", token="hf_alice").snapshot("acme/gated").ok
    done = visit(release, node, "wrong", token="hf_wrong").file("acme/gated", SHARD)
    assert not done.ok, done
    assert "RepositoryNotFoundError" not in done.raised, done
    assert visit(release, node, "alice2", token="hf_alice").file("acme/gated", SHARD).ok


def readings(repository: Repository) -> list[tuple[str, str, bytes]]:
    """(method, path, content) of every way to learn something of a repository or of its files."""
    sha, name = repository.head.sha, repository.id
    digest = repository.head.files[SHARD].content.sha256
    batch = {"operation": "download", "objects": [{"oid": digest, "size": repository.head.files[SHARD].size}]}
    revisions = ("main", sha, sha[:8])
    return [
        *(
            (method, f"/{name}/{verb}/{revision}/{path}", b"")
            for method in ("GET", "HEAD")
            for verb in ("resolve", "raw")
            for revision in revisions
            for path in (SHARD, "config.json")
        ),
        *(("GET", f"/api/models/{name}/tree/{revision}?recursive=true", b"") for revision in revisions),
        *(("GET", f"/api/models/{name}/revision/{revision}", b"") for revision in revisions),
        ("GET", f"/api/models/{name}", b""),
        ("GET", f"/api/models/{name}/refs", b""),
        ("GET", f"/api/models/{name}/commits/main", b""),
        ("GET", f"/api/models/{name}/auth-check", b""),
        ("GET", f"/api/models/{name}/xet-read-token/{sha}", b""),
        ("GET", f"/api/resolve-cache/models/{name}/{sha}/config.json", b""),
        ("GET", f"/api/resolve-cache/models/{name}/{sha}/{SHARD}", b""),
        ("POST", f"/api/models/{name}/paths-info/{sha}", b"paths=config.json&expand=False"),
        ("POST", f"/{name}.git/info/lfs/objects/batch", json.dumps(batch).encode()),
        ("GET", f"/{name}/info/refs?service=git-upload-pack", b""),
        ("GET", f"/v2/{name}/blobs/sha256:{digest}", b""),
    ]


def said(node: Node, reading: tuple[str, str, bytes], fields: list[tuple[str, str]]) -> Any:
    method, path, content = reading
    kind = "application/x-www-form-urlencoded" if "paths-info" in path else "application/vnd.git-lfs+json"
    more = [("Content-Type", kind)] if content else []
    return ask(node.url(f"/hf{path}"), method, fields=[*fields, *more], body=content)


@pytest.mark.parametrize("xet", ["strip", "serve"])
def test_two_tokens_never_see_each_others_private_files(serve_hub: ServeHub, hub: Hub, xet: str) -> None:
    files = {SHARD: Pattern("the same for both", 3 << 20)}
    of = {
        user: hub.add(
            f"{user}/own", {**files, "config.json": f"secret of {user}"}, private=True, readers=[user]
        )
        for user in ("alice", "bob")
    }
    node = serve_hub(hub, xet=xet)
    bearer = {user: [("Authorization", f"Bearer hf_{user}")] for user in of}
    for owner, repository in of.items():
        for reading in readings(repository):
            answer = said(node, reading, bearer[owner])
            assert answer.status < 500, (reading, answer)
    for owner, repository in of.items():
        basic = base64.b64encode(f"{owner}:hf_wrong".encode()).decode()
        others = [
            bearer["bob" if owner == "alice" else "alice"],
            [],
            [("Authorization", "Bearer hf_wrong")],
            [("Authorization", f"Basic {basic}")],
            [("Authorization", "Bearer ")],
            [("Authorization", f"bearer  hf_{'bob' if owner == 'alice' else 'alice'}")],
        ]
        for state in ("up", "down"):
            for reading in readings(repository):
                for fields in others:
                    answer = said(node, reading, fields)
                    assert answer.status >= 400, (state, fields, reading, answer)
                    told = answer.body + repr(answer.fields).encode()
                    for secret in (
                        f"secret of {owner}",
                        repository.head.sha[8:],
                        repository.head.files[SHARD].xet,
                    ):
                        # A path that is repeated to who wrote it tells nothing.
                        assert secret.encode() not in told or secret in reading[1], (state, reading, answer)
            for reading in readings(repository)[:4]:
                assert said(node, reading, bearer[owner]).status < 400, (state, reading)
            hub.down()
        hub.up()
    assert hub.leaks() == []


def test_a_token_is_nowhere_in_the_store_or_the_logs(
    serve_hub: ServeHub, visit: Visit, closed_hub: Hub
) -> None:
    node = serve_hub(closed_hub)
    assert visit("2", node, "alice", token="hf_alice").snapshot("acme/secret").ok
    assert said(
        node,
        readings(closed_hub.repositories["model", "acme/secret"])[0],
        [("Authorization", "Bearer hf_wrong")],
    )
    node.stop()
    for path in sorted(node.directory.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            assert b"hf_alice" not in data, path
            assert b"hf_wrong" not in data, path


def test_a_permission_withdrawn_or_a_model_made_private_takes_effect(
    serve_hub: ServeHub, visit: Visit, closed_hub: Hub, release: str
) -> None:
    node = serve_hub(closed_hub, access_ttl="0s")
    gated = closed_hub.repositories["model", "acme/gated"]
    tiny = closed_hub.repositories["model", "acme/tiny"]
    assert visit(release, node, "alice", token="hf_alice").file("acme/gated", SHARD).ok
    assert visit(release, node, "public").file("acme/tiny", SHARD).ok
    small = node.url(f"/hf/acme/tiny/resolve/{tiny.head.sha}/config.json")
    assert [ask(small).status for _ in range(4)] == [200] * 4  # no memory of requests answers later on
    gated.readers.discard("alice")
    tiny.private = True
    # A verdict is believed for a second at least.
    for repository, token, status in ((gated, "hf_alice", 403), (tiny, "", 401)):
        url = node.url(f"/hf/{repository.id}/resolve/{repository.head.sha}/{SHARD}")
        assert eventually(lambda url=url, token=token, status=status: ask(url, token=token).status == status)
    assert eventually(lambda: ask(small).status == 401)
    done = visit(release, node, "alice-again", token="hf_alice").file("acme/gated", SHARD)
    assert "GatedRepoError" in done.raised + done.cause, done
    done = visit(release, node, "public-again").file("acme/tiny", SHARD)
    assert "RepositoryNotFoundError" in done.raised + done.cause, done
    gated.readers.add("bob")
    url = node.url(f"/hf/acme/gated/resolve/{gated.head.sha}/{SHARD}")
    assert eventually(lambda: ask(url, "HEAD", token="hf_bob").status == 200)
    done = visit(release, node, "bob", token="hf_bob").file("acme/gated", SHARD)
    assert done.files == {SHARD: gated.head.digests[SHARD]}, done


def test_the_library_can_ask_who_it_is_and_what_it_may(
    serve_hub: ServeHub, visit: Visit, closed_hub: Hub, release: str
) -> None:
    node = serve_hub(closed_hub)
    assert not visit(release, node, "none").call("whoami").ok
    questions = [Call("whoami", {})]
    questions += [
        Call(function, {"repo_id": "acme/secret"})
        for function in ("model_info", "list_repo_refs", "list_repo_commits")
    ]
    if release != "0.24":
        questions.append(Call("auth_check", {"repo_id": "acme/gated"}))
    for user in ("alice", "bob"):
        who, *answers = visit(release, node, user, token=f"hf_{user}").do(*questions)
        assert who.value["name"] == user, who
        assert [done.ok for done in answers] == [user == "alice"] * len(answers), answers
    assert release == "0.24" or "GatedRepoError" in answers[-1].raised, answers


def test_the_nodes_own_token_reads_for_those_who_bring_none(
    serve_hub: ServeHub, visit: Visit, closed_hub: Hub, release: str
) -> None:
    node = serve_hub(closed_hub, token="hf_alice")
    done = visit(release, node, "none").snapshot("acme/secret")
    assert done.files == closed_hub.repositories["model", "acme/secret"].head.digests, done
    assert not visit(release, node, "bob", token="hf_bob").snapshot("acme/secret").ok
