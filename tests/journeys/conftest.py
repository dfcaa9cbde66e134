"""Real clients, a stand-in index and a node in front of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from stands.clients import Installer, Pip, Uv, obtain
from stands.index import Index
from stands.node import Node
from stands.wheels import catalogue

BIG_BYTES = 60_000_000
RELEASES = ["pip", "pip==22.3", "pip==20.3.4", "uv", "uv==0.9.9", "uv==0.5.31"]
ServeIndex = Callable[..., Node]


@pytest.fixture(scope="session")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Installer]:
    """Get an installer by requirement; each is fetched once from the index this machine uses."""
    root = tmp_path_factory.mktemp("releases")
    outcomes: dict[str, str] = {}

    def get(requirement: str) -> Installer:
        project, _, version = requirement.partition("==")
        if project == "uv" and not version:
            program = shutil.which("uv") or shutil.which(
                "uv", path=str(Path(__import__("sys").executable).parent)
            )
            if program is None:
                pytest.skip("uv is not installed")
            return Uv("uv", Path(program))
        if not version:
            return Pip("pip")
        place = root / requirement
        if requirement not in outcomes:
            outcomes[requirement] = obtain(requirement, place)
        if outcomes[requirement]:
            pytest.skip(f"{requirement} cannot be had: {outcomes[requirement]}")
        return Pip(requirement, place) if project == "pip" else Uv(requirement, place / "bin" / "uv")

    return get


@pytest.fixture(params=RELEASES)
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
