"""Other clients of a hub through a node: hf, hf_transfer, hf_xet, libraries, git, curl, aria2c, our own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stands.hub import Hub
from stands.hub_clients import XET_RELEASES, Done, HubClient, Unavailable, ask, digests, run_program
from stands.hub_content import Pattern
from stands.hub_faults import Flip
from stands.node import Node, environment

ServeHub = Callable[..., Node]
Visit = Callable[..., HubClient]
SHARD = "model-00001-of-00002.safetensors"
BIG = Pattern("big", 60_000_000)
PROGRAM = "from edgeproxy.cli.main import main; main()"


@pytest.fixture
def big_hub(hub: Hub) -> Hub:
    """The hub with a model of one large file as well."""
    hub.add("acme/large", {"big.bin": BIG, "config.json": b"{}"})
    return hub


def program(name: str, home: Path, *arguments: str) -> Done:
    """Run a program, or skip the test where there is none."""
    home.mkdir(parents=True, exist_ok=True)
    try:
        return run_program(name, home, *arguments)
    except Unavailable as reason:
        pytest.skip(str(reason))


def edgeproxy(node: Node, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Our command with the node's own configuration; the ports the kernel chose are told."""
    where = {"warm": ["--url", node.url()], "explain": ["--admin", f"{node.admin[0]}:{node.admin[1]}"]}
    where |= {"ls": where["explain"], "status": where["explain"]}
    command = [sys.executable, "-c", PROGRAM, *arguments, "--config", str(node.directory / "edge.toml")]
    clean = {name: value for name, value in environment().items() if name != "HF_TOKEN"}
    return subprocess.run(
        [*command, *where[arguments[0]]],
        env={**clean, "COLUMNS": "200", "LC_ALL": os.environ.get("LC_ALL", "C.UTF-8")},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_the_command_line_downloads_to_a_folder(
    serve_hub: ServeHub, visit: Visit, hub: Hub, tmp_path: Path, release: str
) -> None:
    node = serve_hub(hub)
    repository = hub.repositories["model", "acme/tiny"]
    rows = hub.add_dataset("acme/rows")
    for state in ("cold", "warm"):
        done = visit(release, node, state).command_download("acme/tiny", to=tmp_path / f"to-{state}")
        assert done.files == repository.head.digests, done
        done = visit(release, node, state).command_download(
            "acme/rows", "--repo-type", "dataset", "--include", "data/*", to=tmp_path / f"rows-{state}"
        )
        wanted = {path: digest for path, digest in rows.head.digests.items() if path.startswith("data/")}
        assert done.files == wanted, done
        hub.down()


def test_hf_transfer_shares_one_transfer(serve_hub: ServeHub, visit: Visit, big_hub: Hub) -> None:
    node = serve_hub(big_hub)
    done = visit("0.36", node, transfer=True).file("acme/large", "big.bin")
    assert done.files == {"big.bin": BIG.sha256}, done
    assert big_hub.sent("cdn") <= 1.01 * BIG.size, [a.get("range") for a in big_hub.asked("cdn")]
    big_hub.down()
    done = visit("0.36", node, "again", transfer=True).file("acme/large", "big.bin")
    assert done.files == {"big.bin": BIG.sha256}, done


def test_hf_transfer_never_completes_a_wrong_file(serve_hub: ServeHub, visit: Visit, big_hub: Hub) -> None:
    big_hub.faults.flipped["big.bin"] = Flip(at=30_000_000)
    node = serve_hub(big_hub)
    bad = visit("0.36", node, transfer=True, seconds=60).file("acme/large", "big.bin")
    big_hub.faults.flipped.clear()
    assert not bad.ok, bad
    # For ten minutes ranges of it are answered with the whole, which hf_transfer does not understand.
    done = visit("0.36", node).file("acme/large", "big.bin")
    assert done.files == {"big.bin": BIG.sha256}, done


@pytest.mark.parametrize("name", XET_RELEASES)
@pytest.mark.parametrize("xet", ["strip", "serve"])
def test_clients_with_xet_get_everything_from_the_node(
    serve_hub: ServeHub, visit: Visit, big_hub: Hub, name: str, xet: str
) -> None:
    node = serve_hub(big_hub, xet=xet)
    head = big_hub.repositories["model", "acme/large"].head
    for state in ("cold", "warm"):
        done = visit(name, node, state, xet=True).snapshot("acme/large")
        assert done.files == head.digests, done
        assert big_hub.sent("cas") == 0
        assert big_hub.sent("cdn") <= 1.01 * BIG.size
        big_hub.down()
    by_xet = [line for line in node.access_log() if "reconstructions" in json.dumps(line)]
    assert bool(by_xet) == (xet == "serve")


@pytest.mark.parametrize("name", XET_RELEASES)
def test_xet_from_the_node_obeys_who_may_read(serve_hub: ServeHub, visit: Visit, hub: Hub, name: str) -> None:
    secret = hub.add_model("acme/secret", private=True, readers=["alice"])
    node = serve_hub(hub, xet="serve")
    done = visit(name, node, "alice", xet=True, token="hf_alice").snapshot("acme/secret")
    assert done.files == secret.head.digests, done
    for token in ("", "hf_bob"):
        assert not visit(name, node, f"other{token}", xet=True, token=token).snapshot("acme/secret").ok
        answer = ask(node.url(f"/hf/api/models/acme/secret/xet-read-token/{secret.head.sha}"), token=token)
        assert answer.status in (401, 403, 404), answer
    assert hub.leaks() == []


@pytest.mark.slow
@pytest.mark.timeout(700)
def test_transformers_and_datasets_read_a_model_and_rows(serve_hub: ServeHub, visit: Visit, hub: Hub) -> None:
    hub.add_dataset("acme/rows", rows=50)
    node = serve_hub(hub)
    code = """
import json
from transformers import AutoConfig, AutoTokenizer
from datasets import load_dataset
words = AutoTokenizer.from_pretrained("acme/tiny")("the edge keeps").input_ids
kind = AutoConfig.from_pretrained("acme/tiny").model_type
rows = load_dataset("acme/rows", split="test")
streamed = list(load_dataset("acme/rows", split="train", streaming=True))
print("said", json.dumps([words, kind, rows[0], streamed[0], len(streamed)]))
"""
    first, streamed = ({"number": n, "text": f"row {n} of the edge"} for n in (50, 0))
    for state in ("cold", "warm"):
        done = visit("transformers", node, state).python_code(code)
        assert done.value == [[3, 4, 5], "llama", first, streamed, 50], done
        hub.down()


# Programs that are not Python's.


def test_git_clones_through_the_node(serve_hub: ServeHub, hub: Hub, tmp_path: Path) -> None:
    node = serve_hub(hub)
    done = program("git", tmp_path, "clone", "--no-checkout", node.url("/hf/acme/tiny"), "clone")
    assert done.ok, done
    log = program("git", tmp_path, "-C", "clone", "log", "--format=%H")
    assert log.output.split() == [c.sha for c in hub.repositories["model", "acme/tiny"].head.lineage()]
    assert program("git", tmp_path, "-C", "clone", "fsck", "--strict").ok


def test_git_needs_the_right_password_for_a_private_model(
    serve_hub: ServeHub, hub: Hub, tmp_path: Path
) -> None:
    hub.add_model("acme/secret", private=True, readers=["alice"])
    node = serve_hub(hub)
    for password, is_right in (("hf_alice", True), ("hf_bob", False), ("", False)):
        user = f"user:{password}@" if password else ""
        url = node.url("/hf/acme/secret").replace("://", f"://{user}")
        done = program("git", tmp_path, "clone", "--no-checkout", url, f"clone-{password}")
        assert done.ok is is_right, done


def test_git_lfs_gets_large_files_from_the_store(serve_hub: ServeHub, hub: Hub, tmp_path: Path) -> None:
    assert program("git-lfs", tmp_path, "version").ok
    node = serve_hub(hub)
    repository = hub.repositories["model", "acme/tiny"]
    for number in range(2):
        home = tmp_path / f"home{number}"
        assert program("git", home, "lfs", "install").ok
        done = program("git", home, "clone", node.url("/hf/acme/tiny"), "clone")
        assert done.ok, done
        found = {
            path: digest for path, digest in digests(home / "clone").items() if not path.startswith(".git/")
        }
        assert found == repository.head.digests
        if number == 0:
            hub.forget()
    assert hub.sent("cdn") == 0
    assert hub.leaks() == []


def test_curl_continues_a_partial_file(serve_hub: ServeHub, big_hub: Hub, tmp_path: Path) -> None:
    node = serve_hub(big_hub)
    there = tmp_path / "big.bin"
    there.write_bytes(BIG.read(0, 12_345_678))
    url = node.url("/hf/acme/large/resolve/main/big.bin")
    done = program("curl", tmp_path, "-sSfL", "-C", "-", "-o", str(there), url)
    assert done.ok, done
    assert digests(tmp_path)["big.bin"] == BIG.sha256
    whole = tmp_path / "whole.bin"
    assert program("curl", tmp_path, "-sSfL", "-o", str(whole), url).ok
    assert digests(tmp_path)["whole.bin"] == BIG.sha256
    assert big_hub.sent("cdn") <= 1.01 * BIG.size


def test_aria2c_takes_sixteen_ranges_of_one_transfer(
    serve_hub: ServeHub, big_hub: Hub, tmp_path: Path
) -> None:
    node = serve_hub(big_hub)
    url = node.url("/hf/acme/large/resolve/main/big.bin")
    for name in ("cold", "warm"):
        more = ("-x16", "-s16", "-k1M", "--file-allocation=none", "-d", str(tmp_path / name), "-o", "big.bin")
        done = program("aria2c", tmp_path, *more, url)
        assert done.ok, done
        assert digests(tmp_path / name) == {"big.bin": BIG.sha256}
    assert big_hub.sent("cdn") <= 1.02 * BIG.size, [a.get("range") for a in big_hub.asked("cdn")]


# Our own command.


def test_what_was_warmed_is_there_for_every_release_when_the_node_is_offline(
    serve_hub: ServeHub, visit: Visit, hub: Hub, release: str
) -> None:
    node = serve_hub(hub)
    warmed = edgeproxy(node, "warm", "hf:acme/tiny")
    assert warmed.returncode == 0, warmed.stderr
    node.stop()
    node.arguments.append("--offline")
    node.start()
    hub.forget()
    repository = hub.repositories["model", "acme/tiny"]
    done = visit(release, node).snapshot("acme/tiny")
    assert done.files == repository.head.digests, done
    pinned = visit(release, node, "pinned").snapshot("acme/tiny", revision=repository.head.sha)
    assert pinned.files == repository.head.digests, pinned
    assert hub.asked() == []


def test_the_command_tells_what_is_stored_and_why(serve_hub: ServeHub, visit: Visit, hub: Hub) -> None:
    repository = hub.repositories["model", "acme/tiny"]
    hub.add("fork/tiny", {SHARD: repository.head.files[SHARD].content})
    node = serve_hub(hub)
    for name in ("acme/tiny", "fork/tiny"):
        assert visit("2", node).snapshot(name).ok
    hub.down()
    status = edgeproxy(node, "status")
    assert status.returncode == 0, status.stderr
    listed = edgeproxy(node, "ls", "hf")
    assert listed.returncode == 0, listed.stderr
    for words in ("acme/tiny", "fork/tiny", repository.head.sha[:7]):
        assert words in listed.stdout, listed.stdout
    files = edgeproxy(node, "ls", "hf:acme/tiny")
    assert files.returncode == 0, files.stderr
    for path, file in repository.head.files.items():
        assert path in files.stdout or not file.size, files.stdout
    explained = edgeproxy(node, "explain", f"/hf/acme/tiny/resolve/{repository.head.sha}/{SHARD}")
    assert explained.returncode == 0, explained.stderr
    assert "hit" in explained.stdout.lower(), explained.stdout
    moved = edgeproxy(node, "explain", "/hf/acme/tiny/resolve/main/config.json")
    assert moved.returncode == 0, moved.stderr
    document: Any = node.status()
    assert document, "status has an answer in JSON as well"
