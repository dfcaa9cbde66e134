"""nginx as a parent, with the configuration that operators are given."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import certifi
import pytest
from stands.large_client import MIB, settled
from stands.large_origin import put_large
from stands.nginx import Nginx
from stands.node import Node
from stands.origin import Origin
from stands.raw_client import fetch

StartNode = Callable[..., Node]
_AROUND = """\
{user}daemon off; worker_processes 1; pid {place}/pid; error_log {place}/error.log warn;
events {{ worker_connections 1024; }}
http {{
  access_log {place}/access.log;
  client_body_temp_path {place}/body; proxy_temp_path {place}/proxy; fastcgi_temp_path {place}/fastcgi;
  uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi;
{given}}}
"""


@pytest.fixture
def nginx(tmp_path: Path, configs: Path, origin: Origin) -> Iterator[Nginx]:
    """Begun with the file as it is given, but for addresses and places."""
    place = tmp_path / "nginx"
    running = Nginx(place)
    given = (configs / "nginx-parent.conf").read_text()
    replaced = {
        "listen 127.0.0.1:8480": f"listen 127.0.0.1:{running.port}",
        "/var/cache/nginx/edgeproxy": f"{place}/cache",
        "/etc/ssl/certs/ca-certificates.crt": certifi.where(),
        # The map is by name without port; the test's origin has an address in place of a name.
        "files.example.org https://files.example.org;": f"127.0.0.1 {origin.url};",
    }
    for old, new in replaced.items():
        assert old in given
        given = given.replace(old, new)
    user = "user root;\n" if os.geteuid() == 0 else ""
    (place / "nginx.conf").write_text(_AROUND.format(user=user, place=place, given=given))
    yield running
    running.kill()


@pytest.fixture
def node(start_node: StartNode, origin: Origin, nginx: Nginx) -> Node:
    nginx.start()
    site = {"name": "all", "mount": "/", "origin": origin.url}
    return start_node([site], {"parent": [{"name": "nginx", "url": nginx.url}]})


def test_the_configuration_is_right(nginx: Nginx, tmp_path: Path) -> None:
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    assert program
    place = tmp_path / "nginx"
    done = subprocess.run(
        [program, "-t", "-p", place, "-c", place / "nginx.conf"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "[warn]" not in done.stderr


def test_a_node_below_gets_small_and_large_bodies_and_the_origin_is_asked_once(
    node: Node, origin: Origin, nginx: Nginx
) -> None:
    body = origin.put("/a", 5000)
    large = put_large(origin, "/model.bin", 10 * MIB + 77)
    assert node.get("/a").body == body
    answer = node.get("/model.bin", timeout=60)
    assert answer.complete
    assert answer.body == large.bytes()
    assert settled(node)
    assert "from nginx" in answer.get("cache-status")
    assert large.sent_bytes <= large.size
    again = node.get("/a", [("Cache-Control", "no-cache")])
    assert again.body == body
    assert origin.journal.count("/a") == 1


def test_credentials_pass_and_nothing_asked_with_them_is_shared(node: Node, origin: Origin) -> None:
    origin.put("/private", 1000)
    for name in ("one", "two"):
        assert node.get("/private", [("Authorization", f"Bearer {name}")]).status == 200
    seen = [request.get("authorization") for request in origin.journal.to("/private")]
    assert seen == ["Bearer one", "Bearer two"]


def test_a_host_that_is_not_listed_is_not_asked_for(nginx: Nginx, node: Node) -> None:
    answer = fetch(("127.0.0.1", nginx.port), "/", [("Host", "elsewhere.example")])
    assert answer.status in (204, 421)
    answer = fetch(("127.0.0.1", nginx.port), "/x", [("Host", "elsewhere.example")])
    assert answer.status == 421
