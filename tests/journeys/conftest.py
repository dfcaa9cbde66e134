"""Real clients, a stand-in index or hub, and a node in front of it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from stands.clients import INSTALLERS, Installer, Pip, Uv, obtain
from stands.fleet import Fleet
from stands.hub import Hub
from stands.hub_clients import HUB_RELEASES, HubClient, hub_client
from stands.hub_models import ODD_FILES
from stands.index import Index
from stands.kept import Unavailable
from stands.node import Node
from stands.ways import Ways
from stands.wheels import catalogue

BIG_BYTES = 30_000_000
ServeIndex = Callable[..., Node]


MAKING_SECONDS = 700  # an environment of a client, where it has not been made before


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whoever needs a released client may have to wait for it to be installed."""
    for item in items:
        if "visit" in getattr(item, "fixturenames", ()) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(MAKING_SECONDS))


@pytest.fixture(scope="session")
def releases() -> Callable[[str], Installer]:
    """Get an installer by requirement; each is fetched once from the index this machine uses, and kept."""
    missing: dict[str, str] = {}

    def released(requirement: str) -> Path:
        if requirement not in missing:
            try:
                return obtain(requirement)
            except Unavailable as reason:
                missing[requirement] = str(reason)
        pytest.skip(missing[requirement])

    def get(requirement: str) -> Installer:
        project, _, version = requirement.partition("==")
        if project == "uv" and not version:
            program = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
            if program is None:
                pytest.skip("uv is not installed")
            return Uv("uv", Path(program))
        if not version:
            return Pip("pip")
        place = released(requirement)
        return Pip(requirement, place) if project == "pip" else Uv(requirement, place / "bin" / "uv")

    return get


@pytest.fixture(params=["pip", "uv", *INSTALLERS])
def installer(request: pytest.FixtureRequest, releases: Callable[[str], Installer]) -> Installer:
    """Each release of each installer in turn."""
    return releases(request.param)


@pytest.fixture(params=["pip", "uv"])
def current(request: pytest.FixtureRequest, releases: Callable[[str], Installer]) -> Installer:
    """The installers of this environment in turn."""
    return releases(request.param)


@pytest.fixture
def index() -> Iterator[Index]:
    """A small index of this test alone."""
    running = Index(catalogue())
    yield running
    running.stop()


@pytest.fixture
def big_index() -> Iterator[Index]:
    """The same with one large wheel."""
    running = Index(catalogue(BIG_BYTES))
    yield running
    running.stop()


@pytest.fixture
def serve_index(start_node: Callable[..., Node]) -> ServeIndex:
    """Start a node in front of an index; further options are those of the site."""

    def serve(index: Index, sections: Mapping[str, Any] | None = None, **options: Any) -> Node:
        site = {
            "name": "packages",
            "kind": "python-index",
            "mount": "/pypi",
            "index": index.url,
            "link_hosts": [index.files_url],
            "private_addresses": True,
            **options,
        }
        return start_node([site], {"upstream": {"connect_timeout": "1s"}, **(sections or {})})

    return serve


def simple(node: Node) -> str:
    """The index URL a client is given."""
    return node.url("/pypi/simple/")


# A hub of models, and a node in front of it.

ServeHub = Callable[..., Node]
Visit = Callable[..., HubClient]


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A hub with a small model of odd names, and two users: alice, who may read what others may not; bob."""
    running = Hub()
    running.add_user("alice", "hf_alice")
    running.add_user("bob", "hf_bob")
    running.add_model("acme/tiny").commit(ODD_FILES, "Odd names")
    yield running
    running.stop()


@pytest.fixture
def serve_hub(start_node: Callable[..., Node]) -> ServeHub:
    """Start a node in front of a hub; further options are those of the site."""

    def serve(
        hub: Hub, sections: Mapping[str, Any] | None = None, arguments: Sequence[str] = (), **options: Any
    ) -> Node:
        site = {"name": "hf", "kind": "huggingface", "mount": "/hf", "endpoint": hub.url, **options}
        return start_node([site], {"upstream": {"connect_timeout": "1s"}, **(sections or {})}, arguments)

    return serve


@pytest.fixture
def visit(tmp_path: Path) -> Visit:
    """Get a client of a release and a node; a `user` of the same name has the same home."""

    def get(release: str, node: Node, user: str = "user", **options: Any) -> HubClient:
        try:
            return hub_client(release, node.url("/hf"), tmp_path / user, **options)
        except Unavailable as reason:
            pytest.skip(str(reason))

    return get


@pytest.fixture(params=HUB_RELEASES)
def release(request: pytest.FixtureRequest) -> str:
    """Each release of the hub's client in turn."""
    return str(request.param)


@pytest.fixture
def start_fleet(start_node: Callable[..., Node]) -> Iterator[Callable[..., Fleet]]:
    """Start nodes far apart and a router before them, by sites and further settings."""
    ways = Ways()
    yield lambda *arguments, **settings: Fleet(start_node, ways, *arguments, **settings)
    ways.close()
