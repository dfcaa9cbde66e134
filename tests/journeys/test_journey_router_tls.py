"""A router and a node that talk over TLS only, with an authority of their own, and prove who they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from stands.authority import Authority
from stands.node import Node, NodeFailed, eventually
from stands.origin import Origin
from stands.ports import reserve


@pytest.mark.slow
def test_probes_requests_and_announcements_prove_who_they_are(
    start_node: Callable[..., Node], origin: Origin, tmp_path: Path
) -> None:
    origin.put("/d/small.bin", 500)
    ours = Authority(tmp_path)
    server, one, two = (ours.issue(name) for name in ("server", "router", "node"))
    site = {"name": "files", "kind": "generic", "mount": "/files", "origin": f"{origin.url}/d"}
    shown = {"certificate": server.certificate, "key": server.key, "client_ca": ours.file}
    secret = {"secret": "0123456789-0123456789-0123456789"}
    ports = [reserve() for _ in range(2)]

    def trust(own: Any) -> dict[str, Any]:
        return {
            "ca_file": ours.file,
            "pins": [server.pin],
            "certificate": own.certificate,
            "key": own.key,
        }

    node = start_node(
        [site],
        {
            "listen": {"http": [], "https": [f"127.0.0.1:{ports[0]}"]},
            "tls": {**shown, "client_certificates": "required"},
            "router": {**secret, "own": "here"},
            "router.signals": {
                "routers": [f"https://127.0.0.1:{ports[1]}"],
                "token": "t",
                "interval": "1s",
            },
            "router.tls": trust(two),
            "router.node": [{"name": "here", "url": f"https://127.0.0.1:{ports[0]}"}],
        },
    )
    routing: dict[str, Any] = {
        "listen": {"http": ["127.0.0.1:0"], "https": [f"127.0.0.1:{ports[1]}"]},
        "tls": {**shown, "client_certificates": "optional"},
        "router": secret,
        "router.health": {"interval": "300ms"},
        "router.signals": {"token": "t"},
        "router.tls": trust(one),
        "router.node": [
            {"name": "here", "url": f"https://127.0.0.1:{ports[0]}"},
            {"name": "there", "url": "https://127.0.0.1:1"},
            {"name": "elsewhere", "url": f"https://127.0.0.1:{ports[0]}"},
        ],
    }
    router = start_node([site], routing, command="route")

    def told() -> dict[str, Any]:
        found = orjson.loads(router.ask_admin("/api/v1/routing"))["nodes"]
        return {one["name"]: one for one in found}

    assert eventually(lambda: told()["there"]["state"] == "down"), router.stderr
    assert (told()["here"]["state"], told()["elsewhere"]["state"]) == ("up", "up")
    assert eventually(lambda: told()["here"]["utilisation_ratio"] > 0), node.stderr
    answer = router.get("/files/small.bin")
    assert (answer.status, len(answer.body)) == (200, 500)


def test_files_that_cannot_be_used_are_named_before_anything_starts(
    start_node: Callable[..., Node], tmp_path: Path
) -> None:
    node = start_node(
        [{"name": "files", "mount": "/", "origin": "http://127.0.0.1:1"}],
        {
            "router.tls": {"ca_file": tmp_path / "nothing.pem"},
            "router.node": [{"name": "here", "url": "https://127.0.0.1:1"}],
        },
        command="route",
        ready=False,
    )
    with pytest.raises(NodeFailed, match=r"router\.tls\.ca_file: .*nothing\.pem: no such file"):
        node.start()
    node.process = None
