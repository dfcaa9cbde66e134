"""The local authority while a node runs: it comes, is replaced, breaks, and goes."""

from __future__ import annotations

from pathlib import Path

from edgeproxy.proxy.authority import keep, make
from edgeproxy.proxy.local_ca import LOOK_SECONDS, LocalCa

NOW = 1_800_000_000.0


async def test_it_is_looked_for_now_and_then(tmp_path: Path) -> None:
    now, reports = [NOW], []
    ca = LocalCa(tmp_path, ["http/1.1"], lambda: now[0], reports.append)
    assert await ca.leaves() is None
    keep(tmp_path, make(NOW))
    assert await ca.leaves() is None, "not yet"
    now[0] += LOOK_SECONDS
    first = await ca.leaves()
    assert first is not None
    assert ca.at_hand is first
    now[0] += LOOK_SECONDS
    assert ca.at_hand is None, "to be looked for again"
    assert await ca.leaves() is first
    keep(tmp_path, make(NOW + 1))
    now[0] += LOOK_SECONDS
    second = await ca.leaves()
    assert second is not None
    assert second is not first
    (tmp_path / "ca.pem").write_text("nonsense")
    now[0] += LOOK_SECONDS
    assert await ca.leaves() is None
    assert len(reports) == 1
    assert str(tmp_path) in reports[0]
    (tmp_path / "ca.pem").unlink()
    now[0] += LOOK_SECONDS
    assert await ca.leaves() is None
