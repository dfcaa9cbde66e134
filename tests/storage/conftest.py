"""The folder's own fixture; the stand itself is in storage_stand.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from storage_stand import opened

from edgeproxy.storage import upkeep


@pytest.fixture(autouse=True)
def no_client_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first sweep of a store need not wait here until clients have been answered."""
    monkeypatch.setattr(upkeep, "FIRST_SECONDS", 0.0)


@pytest.fixture
def open_at(tmp_path: Path) -> Callable[..., Any]:
    return lambda **changes: opened(tmp_path / "cache", **changes)
