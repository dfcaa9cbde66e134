"""What a client will ask next, asked before it does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from pipeline_house import House

from edgeproxy.errors import BodyAborted, RequestError
from edgeproxy.message import CacheOutcome, Headers, Outcome, Part, Request, Response
from edgeproxy.pipeline import prefetch as module
from edgeproxy.pipeline.prefetch import OURS, Prefetch
from edgeproxy.sites.site import Upcoming


@dataclass
class Answered:
    """A body of `parts`; an exception among them is raised."""

    given: tuple[bytes | Exception, ...] = (b"x",)
    taken: int = 0
    closed: bool = False
    length: int | None = None

    async def parts(self) -> AsyncIterator[Part]:
        for part in self.given:
            if isinstance(part, Exception):
                raise part
            self.taken += 1
            yield part

    async def aclose(self) -> None:
        self.closed = True


@dataclass
class Front:
    """Whoever answers: remembers what it was asked."""

    asked: list[Request] = field(default_factory=list)
    bodies: list[Answered] = field(default_factory=list)
    given: tuple[bytes | Exception, ...] = (b"x",)
    status: int = 200
    cache: CacheOutcome = CacheOutcome.MISS
    refuses: bool = False
    gate: asyncio.Event | None = None
    running: int = 0
    most: int = 0

    async def __call__(self, request: Request) -> Response:
        self.asked.append(request)
        self.running += 1
        self.most = max(self.most, self.running)
        if self.gate is not None:
            await self.gate.wait()
        self.running -= 1
        if self.refuses:
            raise RequestError(400, "wrong")
        self.bodies.append(Answered(self.given))
        return Response(self.status, body=self.bodies[-1], outcome=Outcome(self.cache))

    @property
    def targets(self) -> list[str]:
        return [request.target for request in self.asked]


def prefetch_of(house: House, front: Front, jobs: int = 1) -> Prefetch:
    made = Prefetch(tasks=house.tasks, metrics=house.metrics, clock=lambda: house.now, jobs=jobs)
    made.ask = front
    return made


def client(*fields: tuple[str, str], **changes: str) -> Request:
    return Request("GET", "/hub/a", Headers(fields), client="192.0.2.1", **changes)


def counted(house: House) -> dict[str, int]:
    words = ("fetched", "failed", "unfollowed")
    counts = {word: house.metrics.value("prefetch_total", "one", word) for word in words}
    return {word: count for word, count in counts.items() if count}


async def ended(house: House) -> None:
    running = [task for task in asyncio.all_tasks() if task.get_name().startswith("prefetch ")]
    if running:
        await asyncio.wait(running)
    await house.settle()


async def test_targets_are_asked_one_after_another_in_order_below_the_mount(house: House) -> None:
    front = Front()
    made = prefetch_of(house, front, jobs=4)
    made.expect(client(), "one", Upcoming("g", ("/b", "/c", "/d")), "/hub")
    assert len(made) == 3
    await ended(house)
    assert (front.targets, front.most, len(made)) == (["/hub/b", "/hub/c", "/hub/d"], 1, 0)
    assert counted(house) == {"fetched": 3}
    assert all(body.closed and body.taken == 1 for body in front.bodies)


async def test_credentials_go_along_and_what_one_client_wanted_does_not(house: House) -> None:
    front = Front()
    request = client(("Authorization", "Bearer x"), ("Range", "bytes=0-1"), ("If-None-Match", '"v"'))
    prefetch_of(house, front).expect(request, "one", Upcoming("g", ("/b",)))
    house.now += 5
    await ended(house)
    (own,) = front.asked
    assert own.headers.get("Authorization") == "Bearer x"
    assert "Range" not in own.headers
    assert "If-None-Match" not in own.headers
    assert (own.method, own.client, own.listener, own.received_at) == ("GET", "192.0.2.1", OURS, house.now)


async def test_requests_of_our_own_lead_to_no_further_ones(house: House) -> None:
    front = Front()
    made = prefetch_of(house, front)
    made.expect(client(listener=OURS), "one", Upcoming("g", ("/b",)))
    await ended(house)
    assert (front.asked, len(made)) == ([], 0)


async def test_no_jobs_switch_it_off(house: House) -> None:
    front = Front()
    made = prefetch_of(house, front, jobs=0)
    made.expect(client(), "one", Upcoming("g", ("/b",)))
    await ended(house)
    assert (front.asked, len(made)) == ([], 0)


async def test_what_is_expected_twice_is_asked_once(house: House) -> None:
    front = Front(gate=asyncio.Event())
    made = prefetch_of(house, front)
    made.expect(client(), "one", Upcoming("g", ("/b", "/c", "/b")))
    await house.settle()
    made.expect(client(), "one", Upcoming("g", ("/c", "/b", "/d")))
    assert front.gate is not None
    front.gate.set()
    await ended(house)
    assert front.targets == ["/b", "/c", "/d"]


async def test_a_group_nobody_follows_ends(house: House) -> None:
    front = Front(gate=asyncio.Event())
    made = prefetch_of(house, front)
    made.expect(client(), "one", Upcoming("g", ("/b", "/c", "/d")))
    await house.settle()
    house.now += module.FOLLOWED_SECONDS + 1
    assert front.gate is not None
    front.gate.set()
    await ended(house)
    assert front.targets == ["/b"]
    assert counted(house)["unfollowed"] == 1
    assert front.bodies[0].closed


async def test_a_client_that_asks_for_something_of_it_keeps_a_group_going(house: House) -> None:
    front = Front(gate=asyncio.Event())
    made = prefetch_of(house, front)
    made.expect(client(), "one", Upcoming("g", ("/b", "/c")))
    await house.settle()
    house.now += module.FOLLOWED_SECONDS - 1
    made.expect(client(), "one", Upcoming("g", ()))
    house.now += 2
    assert front.gate is not None
    front.gate.set()
    await ended(house)
    assert front.targets == ["/b", "/c"]


async def test_clients_with_other_credentials_are_groups_of_their_own(house: House) -> None:
    front = Front()
    made = prefetch_of(house, front)
    for who in ("Bearer x", "Bearer y"):
        made.expect(client(("Authorization", who)), "one", Upcoming("g", ("/b",)))
    await ended(house)
    assert [request.headers.get("Authorization") for request in front.asked] == ["Bearer x", "Bearer y"]


@pytest.mark.parametrize("jobs", [1, 2])
async def test_so_many_jobs_run_at_a_time(house: House, jobs: int) -> None:
    front = Front(gate=asyncio.Event())
    made = prefetch_of(house, front, jobs)
    for number in range(5):
        made.expect(client(), "one", Upcoming(f"g{number}", ("/b",)))
    await house.settle()
    assert front.running == jobs
    assert front.gate is not None
    front.gate.set()
    await ended(house)
    assert (len(front.asked), front.most) == (5, jobs)


async def test_groups_and_targets_have_a_bound(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GROUPS_MAX", 2)
    monkeypatch.setattr(module, "TARGETS_MAX", 3)
    front = Front()
    made = prefetch_of(house, front)
    for group in "abc":
        made.expect(client(), "one", Upcoming(group, tuple(f"/{group}{n}" for n in range(5))))
    assert len(made) == 6
    await ended(house)
    assert sorted(front.targets) == ["/a0", "/a1", "/a2", "/b0", "/b1", "/b2"]
    made.expect(client(), "one", Upcoming("c", ("/c0",)))
    assert len(made) == 1, "groups that have ended make room"


async def test_what_is_here_is_not_read(house: House) -> None:
    front = Front(cache=CacheOutcome.HIT)
    prefetch_of(house, front).expect(client(), "one", Upcoming("g", ("/b",)))
    await ended(house)
    assert (front.bodies[0].taken, front.bodies[0].closed, counted(house)) == (0, True, {})


@pytest.mark.parametrize(
    "front", [Front(refuses=True), Front(status=404), Front(given=(b"x", BodyAborted("cut")))]
)
async def test_what_fails_is_counted_and_the_next_one_asked(house: House, front: Front) -> None:
    prefetch_of(house, front).expect(client(), "one", Upcoming("g", ("/b", "/c")))
    await ended(house)
    assert front.targets == ["/b", "/c"]
    assert counted(house) == {"failed": 2}
    assert all(body.closed for body in front.bodies)
