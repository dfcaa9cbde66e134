"""Probes: whether a candidate lives, and which HTTP it speaks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from upstream_town import REFUSES, Calm, Came, Now, Town, fails, remote, says

from edgeproxy.errors import ProxyError, UpstreamError
from edgeproxy.message import Headers
from edgeproxy.metrics import Metrics
from edgeproxy.tasks import Tasks
from edgeproxy.upstream.candidate_health import IDLE_SECONDS, State, Trouble
from edgeproxy.upstream.prober import Prober, is_alive
from edgeproxy.upstream.remote import Remote
from edgeproxy.upstream.tracker import Tracker
from edgeproxy.upstream.upstream import UpstreamRequest


class Stage:
    """A candidate under probes, over a fake upstream and a clock of the test's own."""

    def __init__(self, **options: Any) -> None:
        self.town, self.now = Town(), Now()
        self.remote: Remote = remote("up", **options)
        self.tracker = Tracker(
            self.remote.candidate,
            "",
            metrics=Metrics(),
            timer=self.now,
            chance=Calm(),
            report=lambda _: None,
        )
        self.prober = Prober(self.remote, self.tracker, self.town, self.now)


def speaking(*versions: str) -> Callable[[UpstreamRequest], Any]:
    async def behave(request: UpstreamRequest) -> Came:
        if ("2" if request.reach.prior_knowledge else "1.1") not in versions:
            raise UpstreamError(ProxyError.HTTP_PROTOCOL_ERROR, "that is not what I speak")
        return Came()

    return behave


@pytest.mark.parametrize(
    ("status", "fields", "alive"),
    [
        (200, {}, True),
        (404, {}, True),
        (401, {}, True),
        (500, {}, False),
        (502, {}, False),
        (504, {}, True),
        (502, {"Proxy-Status": "top; error=connection_refused"}, True),
        (503, {"Cache-Status": "top; detail=starting"}, True),
    ],
)
def test_what_counts_as_a_sign_of_life(status: int, fields: dict[str, str], alive: bool) -> None:
    assert is_alive(status, Headers(fields.items())) is alive


@pytest.mark.parametrize(
    ("versions", "known"),
    [(("1.1",), (True, False)), (("1.1", "2"), (True, True)), (("2",), (False, True))],
)
async def test_it_finds_out_which_http_is_spoken_and_remembers(
    versions: tuple[str, ...], known: tuple[bool, bool]
) -> None:
    stage = Stage()
    stage.town.hosts["up"] = speaking(*versions)
    await stage.prober.probe()
    assert (stage.remote.speaks_http1, stage.remote.speaks_http2) == known
    assert stage.tracker.state is State.HEALTHY
    probes = len(stage.town.probes)
    await stage.prober.probe()
    assert len(stage.town.probes) - probes == (1 if known[0] else 2)


async def test_nothing_is_found_out_where_the_operator_has_decided() -> None:
    for http2 in ("off", "prior-knowledge"):
        stage = Stage(http2=http2)
        stage.town.hosts["up"] = speaking("1.1" if http2 == "off" else "2")
        await stage.prober.probe()
        assert (len(stage.town.probes), stage.tracker.state) == (1, State.HEALTHY)


async def test_after_its_death_it_may_be_another_program() -> None:
    stage = Stage()
    stage.town.hosts["up"] = speaking("1.1", "2")
    await stage.prober.probe()
    stage.tracker.troubled(Trouble.UNREACHABLE, "refused")
    stage.town.hosts["up"] = speaking("1.1")
    await stage.prober.probe()
    assert stage.remote.speaks_http2 is False


@pytest.mark.parametrize("bad", [REFUSES, says(500), fails(ProxyError.HTTP_RESPONSE_TIMEOUT)])
async def test_who_does_not_answer_is_dead(bad: Any) -> None:
    stage = Stage()
    stage.town.hosts["up"] = bad
    await stage.prober.probe()
    assert stage.tracker.health.is_dead
    assert stage.tracker.health.why.startswith("unreachable: ")


async def test_it_sleeps_while_all_is_well_and_wakes_on_suspicion() -> None:
    stage = Stage(http2="off")
    stage.town.hosts["up"] = says()
    tasks = Tasks(lambda _, error: pytest.fail(repr(error)))
    tasks.start(stage.prober.run(), "probe")
    await asyncio.sleep(0.05)
    assert stage.town.probes == []
    stage.tracker.troubled(Trouble.FAILED, "a body broke off")
    async with asyncio.timeout(5):
        while not stage.town.probes:  # noqa: ASYNC110 - time passes for the prober
            await asyncio.sleep(0.005)
    await tasks.aclose()


def test_an_idle_candidate_is_looked_after() -> None:
    async def due() -> None:
        stage = Stage()
        assert stage.tracker.next_probe() == stage.now() + IDLE_SECONDS

    asyncio.run(due())
