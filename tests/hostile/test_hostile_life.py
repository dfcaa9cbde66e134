"""Start and end: clear errors before the first request, nothing lost at the last."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stands.node import READY_SECONDS, Node, eventually
from stands.origin import Origin
from stands.raw_client import PATIENCE_SECONDS, RawAnswer, RawClient, request

StartNode = Callable[..., Node]
SITE = {"name": "all", "mount": "/", "origin": "http://127.0.0.1:9"}


def refusal(node: Node) -> str:
    """Start a node that must not start; gives its last line on standard error."""
    process = node.spawn()
    try:
        status = process.wait(READY_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        raise AssertionError("it started") from None
    finally:
        node.process = None
    assert status not in (0, -signal.SIGSEGV)
    assert "Traceback" not in node.stderr
    return node.stderr


def test_sigterm_lets_running_downloads_end(start_node: StartNode, origin: Origin) -> None:
    body = origin.put("/slow", 4_000_000, piece=50_000, piece_delay=0.02)
    node = start_node([{**SITE, "origin": origin.url}])
    answers: list[RawAnswer] = []
    clients = [threading.Thread(target=lambda: answers.append(node.get("/slow"))) for _ in range(20)]
    for client in clients:
        client.start()
    assert eventually(lambda: node.metric("connections") >= 20)
    idle = RawClient(node.http)
    assert node.process is not None
    node.process.send_signal(signal.SIGTERM)
    assert eventually(node.refuses)
    for client in clients:
        client.join()
    assert [answer.complete and answer.body == body for answer in answers] == [True] * 20
    assert idle.wait_end() in ("eof", "reset")
    assert node.process.wait(PATIENCE_SECONDS) == 0


def test_a_second_sigterm_ends_it_now(start_node: StartNode, origin: Origin) -> None:
    origin.put("/endless", 50_000_000, piece=1000, piece_delay=0.05)
    node = start_node([{**SITE, "origin": origin.url}])
    with RawClient(node.http) as client:
        client.send(request("/endless"))
        client.read_some(100)
        process = node.process
        assert process is not None
        process.send_signal(signal.SIGTERM)
        assert eventually(node.refuses)  # two signals at once would be one
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_SECONDS)
        node.process = None


def test_a_drain_has_an_end(start_node: StartNode, origin: Origin) -> None:
    origin.put("/endless", 50_000_000, piece=1000, piece_delay=0.05)
    node = start_node([{**SITE, "origin": origin.url}], {"limits": {"drain_timeout": "1s"}})
    with RawClient(node.http) as client:
        client.send(request("/endless"))
        client.read_some(100)
        began = time.monotonic()
        node.stop()
        assert time.monotonic() - began < PATIENCE_SECONDS  # the default is 30


def test_two_nodes_on_one_store_is_an_error(start_node: StartNode) -> None:
    first = start_node([SITE])
    second = start_node([SITE], {"cache": {"directory": first.cache}}, ready=False)
    assert str(first.cache) in refusal(second)
    first.kill()
    second.start()


def test_a_port_in_use_is_an_error(start_node: StartNode) -> None:
    first = start_node([SITE])
    taken = f"127.0.0.1:{first.http[1]}"
    assert str(first.http[1]) in refusal(start_node([SITE], {"listen": {"http": [taken]}}, ready=False))
    taken = f"127.0.0.1:{first.admin[1]}"
    assert str(first.admin[1]) in refusal(start_node([SITE], {"admin": {"listen": taken}}, ready=False))


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "unknown key": ({"cache": {"dircetory": "x"}}, "dircetory"),
    "unknown table": ({"cahce": {"directory": "x"}}, "cahce"),
    "wrong type": ({"limits": {"fields": "many"}}, "fields"),
    "bad size": ({"cache": {"disk": "10 parsecs"}}, "disk"),
    "bad duration": ({"limits": {"head_timeout": "soon"}}, "head_timeout"),
    "negative": ({"limits": {"fields": -1}}, "fields"),
    "bad choice": ({"log": {"access": "xml"}}, "access"),
    "bad address": ({"listen": {"http": ["nowhere"]}}, "http"),
    "bad port": ({"listen": {"http": ["127.0.0.1:99999"]}}, "http"),
    "admin off loopback without token": ({"admin": {"listen": "0.0.0.0:0"}}, "token"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_option_is_named(start_node: StartNode, name: str) -> None:
    sections, word = WRONG[name]
    assert word in refusal(start_node([SITE], sections, ready=False))


WRONG_SITES: dict[str, tuple[list[dict[str, Any]], str]] = {
    "unknown kind": ([{**SITE, "kind": "gopher"}], "kind"),
    "no origin": ([{"name": "all", "mount": "/"}], "origin"),
    "origin without scheme": ([{**SITE, "origin": "127.0.0.1:9"}], "origin"),
    "origin of another scheme": ([{**SITE, "origin": "ftp://a/"}], "origin"),
    "mount without slash": ([{**SITE, "mount": "files"}], "mount"),
    "same name twice": ([SITE, {**SITE, "mount": "/b"}], "all"),
    "same mount twice": ([SITE, {**SITE, "name": "b"}], "mount"),
    "no name": ([{"mount": "/", "origin": "http://127.0.0.1:9"}], "name"),
}


@pytest.mark.parametrize("name", WRONG_SITES)
def test_a_wrong_site_is_named(start_node: StartNode, name: str) -> None:
    sites, word = WRONG_SITES[name]
    assert word in refusal(start_node(sites, ready=False))


def test_text_that_is_not_toml_is_an_error(start_node: StartNode) -> None:
    node = start_node([SITE], {"cache": {'"': "x"}}, ready=False)
    assert "edge.toml" in refusal(node)


def test_a_missing_configuration_file_is_an_error(start_node: StartNode) -> None:
    node = start_node([SITE], arguments=["--config", "/nonexistent/edge.toml"], ready=False)
    assert "/nonexistent/edge.toml" in refusal(node)


def test_a_store_that_cannot_be_made_is_an_error(start_node: StartNode, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    node = start_node([SITE], {"cache": {"directory": tmp_path / "file" / "cache"}}, ready=False)
    assert "file" in refusal(node)


def test_set_overrides_the_file(start_node: StartNode, origin: Origin) -> None:
    origin.put("/set", 10)
    node = start_node([{**SITE, "origin": origin.url}], arguments=["--set", "node.name=edge-of-test"])
    assert "edge-of-test" in node.get("/set").get("via") + node.get("/set").get("cache-status")
