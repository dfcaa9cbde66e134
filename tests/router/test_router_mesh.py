from __future__ import annotations

import time

import pytest
from router.router_server import stub, until

from edgeproxy.router.mesh import Mesh, MeshSettings
from edgeproxy.router.prober import ProbeSettings
from edgeproxy.tasks import Tasks

QUICK = MeshSettings(
    peers_max=3,
    burst_seconds=0.05,
    probe=ProbeSettings(every_seconds=0.05, again_seconds=0.02, timeout_seconds=0.5),
)


def mesh_of(changes: list[str]) -> tuple[Mesh, Tasks]:
    tasks = Tasks(lambda name, error: pytest.fail(f"{name}: {error!r}"))
    mesh = Mesh(QUICK, tasks=tasks, timer=time.monotonic, changed=lambda: changes.append("changed"))
    return mesh, tasks


async def test_peers_are_looked_at_and_measured() -> None:
    changes: list[str] = []
    mesh, tasks = mesh_of(changes)
    async with stub() as one, stub() as other:
        mesh.look_at([("one", one.url), ("other", other.url)])
        tasks.start(mesh.run(), "mesh")
        told: dict[str, float] = {}

        def is_measured() -> bool:
            for seen in mesh.seen():
                assert seen.alive
                told[seen.node] = max(told.get(seen.node, 0.0), seen.rtt)
            return len(told) == 2 and all(told.values())

        await until(is_measured)
        assert changes == []
        other.stop()
        await until(lambda: {seen.node: seen.alive for seen in mesh.seen()} == {"one": True, "other": False})
        assert changes == ["changed"], "routers are to hear of it at once"
        await tasks.aclose()
        assert len(tasks) == 0


async def test_a_round_trip_is_told_once_and_is_the_least_of_a_burst() -> None:
    mesh, _ = mesh_of([])
    async with stub() as one:
        mesh.look_at([("one", one.url)])
        mesh.looked("one", True)
        await mesh.measure("one", one.url)
        assert mesh.seen()[0].rtt > 0
        assert mesh.seen()[0].rtt == 0


async def test_what_does_not_connect_has_no_round_trip() -> None:
    mesh, _ = mesh_of([])
    async with stub() as one:
        url = one.url
    mesh.look_at([("one", url)])
    mesh.looked("one", True)
    await mesh.measure("one", url)
    assert mesh.seen()[0].rtt == 0


def test_peers_are_bounded_and_those_that_go_are_forgotten() -> None:
    mesh, _ = mesh_of([])
    mesh.look_at((f"n{number}", "http://n.example") for number in range(10))
    for number in range(3):
        mesh.looked(f"n{number}", True)
    assert [seen.node for seen in mesh.seen()] == ["n0", "n1", "n2"]
    mesh.look_at([("n1", "http://n.example")])
    assert [seen.node for seen in mesh.seen()] == ["n1"]
