"""A stand-in hub, and real clients of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stands.hub import Hub
from stands.hub_clients import HubClient, Unavailable, hub_client
from stands.hub_models import ODD_FILES

Client = Callable[..., HubClient]


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A hub with a small model, and alice, who may read what others may not."""
    running = Hub()
    running.add_user("alice", "hf_alice")
    running.add_user("bob", "hf_bob")
    running.add_model("acme/tiny").commit(ODD_FILES, "Odd names")
    yield running
    running.stop()


@pytest.fixture
def client(hub: Hub, tmp_path: Path) -> Client:
    """Get a client of a release by name and options; a `user` of the same name has the same home."""

    def get(name: str, user: str = "user", **options: Any) -> HubClient:
        try:
            return hub_client(name, hub.url, tmp_path / user, **options)
        except Unavailable as reason:
            pytest.skip(str(reason))

    return get


@pytest.fixture
def closed_hub(hub: Hub) -> Hub:
    """The hub with a gated, a private and a disabled model as well, of which alice may read two."""
    hub.add_model("acme/gated", gated="manual", readers=["alice"])
    hub.add_model("acme/secret", private=True, readers=["alice"])
    hub.add_model("acme/closed").disabled = True
    return hub
