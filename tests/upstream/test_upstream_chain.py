"""Failover as scripts: what each upstream does, who is asked, who answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from upstream_town import (
    BREAKS,
    REFUSES,
    TIMES_OUT,
    Behaviour,
    Came,
    Now,
    Town,
    ask,
    chain,
    fails,
    remote,
    request,
    says,
    silent,
)

from edgeproxy.errors import ProxyError, UpstreamError
from edgeproxy.message import Headers
from edgeproxy.tasks import Tasks
from edgeproxy.upstream.candidate import Role
from edgeproxy.upstream.remote import ASKED_BY_SIBLING
from edgeproxy.upstream.upstream import Origin, UpstreamRequest


@pytest.fixture
def town() -> Town:
    town = Town()
    town.hosts["up"] = says()
    town.hosts["far"] = says()
    return town


async def test_a_parent_is_asked_for_the_origins_own_url(town: Town) -> None:
    made = chain(town, remote("up", token="secret"))
    assert await ask(made, host="other.test", headers=Headers((("Accept", "*/*"),))) == "up"
    sent = town.requests[0]
    assert (sent.origin.host, sent.host, sent.target) == ("up", "other.test", "/a")
    assert sent.headers.get("Proxy-Authorization") == "Bearer secret"
    assert await ask(made) == "up"
    assert town.requests[1].host == "origin.test"


async def test_a_mirror_is_asked_under_its_own_name_and_for_copies_only(town: Town) -> None:
    made = chain(town, remote("up", is_mirror=True, prefix="/pypi"))
    assert await ask(made) == "up"
    assert (town.requests[0].host, town.requests[0].target) == (None, "/pypi/a")
    assert await ask(made, "POST") == "origin"
    assert await ask(made, headers=Headers((("Authorization", "Bearer t"),))) == "origin"
    town.hosts["up"] = says(404)
    assert await ask(made) == "origin"
    town.hosts["origin.test"] = REFUSES
    assert await ask(made) == (404, "up")


@pytest.mark.parametrize(
    "bad",
    [
        REFUSES,
        TIMES_OUT,
        BREAKS,
        fails(ProxyError.TLS_CERTIFICATE_ERROR, sent=False),
        fails(ProxyError.HTTP_PROTOCOL_ERROR),
        fails(ProxyError.CONNECTION_LIMIT_REACHED, sent=False),
        *(says(status) for status in (407, 421, 502, 503, 504, 508)),
        says(504, Proxy_Status="up; error=connection_refused"),
    ],
)
async def test_whatever_a_parent_fails_with_the_next_candidate_answers(town: Town, bad: Behaviour) -> None:
    town.hosts["up"] = bad
    made = chain(town, remote("up"), remote("far", preference=1))
    assert await ask(made) == "far"
    assert town.asked == ["up", "far"]
    assert town.left_open == 0


@pytest.mark.parametrize("status", [200, 206, 301, 304, 401, 403, 404, 410, 416, 429, 500, 501])
async def test_what_a_parent_passes_on_is_the_answer(town: Town, status: int) -> None:
    town.hosts["up"] = says(status)
    assert await ask(chain(town, remote("up"))) == ("up" if status == 200 else (status, "up"))


async def test_an_origins_errors_are_its_answers(town: Town) -> None:
    town.hosts |= {"up": REFUSES, "origin.test": says(503)}
    assert await ask(chain(town, remote("up"))) == (503, "origin")


@pytest.mark.parametrize(("bad", "is_dead"), [(REFUSES, True), (TIMES_OUT, True), (says(407), True)])
async def test_the_first_failure_is_the_last_that_costs(town: Town, bad: Behaviour, is_dead: bool) -> None:
    town.hosts["up"] = bad
    made = chain(town, remote("up"))
    for _ in range(5):
        assert await ask(made) == "origin"
    assert town.asked.count("up") == 1
    assert made.states()[0].state == "ejected"
    assert made.lines[0].startswith("parent up is not asked for now: ")  # type: ignore[attr-defined]


async def test_errors_of_its_own_eject_a_parent_only_while_others_remain(town: Town) -> None:
    town.hosts |= {"up": says(502), "far": says(502)}
    alone = chain(town, remote("up"))
    for _ in range(10):
        assert await ask(alone) == "origin"
    assert town.asked.count("up") == 10
    town.requests.clear()
    both = chain(town, remote("up"), remote("far", preference=1))
    for _ in range(10):
        assert await ask(both) == "origin"
    assert town.asked.count("up") == 3
    assert town.asked.count("far") == 10


async def test_what_the_parent_could_not_reach_either_is_not_held_against_it(town: Town) -> None:
    town.hosts["up"] = says(502, Proxy_Status="up; error=connection_refused")
    made = chain(town, remote("up"), remote("far", preference=1))
    for _ in range(10):
        assert await ask(made) == "far"
    assert made.states()[0].state == "healthy"


async def test_nothing_that_may_have_been_done_is_done_twice(town: Town) -> None:
    for bad, came in (
        (BREAKS, "connection_terminated"),
        (TIMES_OUT, "http_response_timeout"),
        (says(503), None),
    ):
        town.requests.clear()
        town.hosts["up"] = bad
        assert await ask(chain(town, remote("up")), "POST") == (came or (503, "up"))
        assert town.asked == ["up"]
    town.hosts["up"] = REFUSES
    assert await ask(chain(town, remote("up")), "POST") == "origin"


class Body:
    """Content that can be read once."""

    def __init__(self, data: bytes, length: int | None = None) -> None:
        self.data, self.length, self.is_read = data, length, False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        assert not self.is_read
        self.is_read = True
        yield self.data


async def test_a_small_content_reaches_the_second_candidate(town: Town) -> None:
    came: list[bytes] = []

    async def reads(request: UpstreamRequest) -> Came:
        assert request.body is not None
        came.append(b"".join([piece async for piece in request.body]))
        if request.origin.host == "up":
            raise UpstreamError(ProxyError.CONNECTION_TIMEOUT, "scripted", sent=False)
        return Came()

    town.hosts |= {"up": reads, "origin.test": reads}
    made = chain(town, remote("up"))
    assert await ask(made, "POST", body=Body(b"data", 4)) == "origin"
    assert came == [b"data", b"data"]
    assert await ask(chain(town, remote("up")), "POST", body=Body(b"data")) == "connection_timeout"


async def test_the_origin_may_be_forbidden_and_then_is_never_asked(town: Town) -> None:
    made = chain(town, remote("up"), origin_forbidden=True)
    assert await ask(made) == "up"
    assert await ask(made, moved=True) == "up"
    town.hosts["up"] = REFUSES
    assert await ask(made) == "connection_refused"
    assert await ask(made) == "destination_unavailable"
    assert set(town.asked) == {"up"}
    other = chain(town, remote("up", sites=("models",)), origin_forbidden=True)
    with pytest.raises(UpstreamError, match="up: not for this site; origin: origins are not asked here"):
        await other.fetch(request())


async def test_where_a_redirect_led_only_the_origins_side_is_asked(town: Town) -> None:
    assert await ask(chain(town, remote("up")), moved=True) == "origin"


async def test_when_nobody_can_be_asked_the_answer_is_there_at_once(town: Town) -> None:
    town.hosts["up"] = silent
    made = chain(town, remote("up"), origin_forbidden=True)
    made._trackers["up"].probed(alive=False, why="scripted")
    began = time.monotonic()
    with pytest.raises(UpstreamError) as caught:
        await made.fetch(request())
    assert time.monotonic() - began < 1.0
    assert (caught.value.status, caught.value.sent) == (503, False)
    assert town.asked == []


async def test_an_open_breaker_refuses_the_origin_at_once(town: Town) -> None:
    town.hosts |= {"origin.test": TIMES_OUT, "up": REFUSES}
    made = chain(town, remote("up"))
    for _ in range(5):
        await ask(made)
    town.requests.clear()
    assert await ask(made) == "destination_unavailable"
    assert town.asked == []
    assert [status.state for status in made.states()] == ["ejected", "ejected"]


async def test_who_is_to_be_avoided_is_asked_last(town: Town) -> None:
    made = chain(town, remote("up"))
    assert await ask(made, avoid=frozenset({"up"})) == "origin"
    town.hosts["origin.test"] = REFUSES
    assert await ask(made, avoid=frozenset({"up"})) == "up"


# -- siblings ----------------------------------------------------------------------------------


async def test_the_owner_is_asked_first_and_asks_no_other_sibling(town: Town) -> None:
    town.hosts |= {"s1": says(), "s2": says()}
    siblings = (remote("s1", Role.SIBLING), remote("s2", Role.SIBLING))
    made = chain(town, *siblings, remote("up"), own="me")
    came = {await ask(made, target=f"/{n}") for n in range(60)}
    assert came == {"s1", "s2", "up"}
    marked = [sent for sent in town.requests if sent.origin.host in ("s1", "s2")]
    assert all(ASKED_BY_SIBLING in sent.headers for sent in marked)
    town.requests.clear()
    for n in range(60):
        assert await ask(made, target=f"/{n}", headers=marked[0].headers) == "up"
    assert not any(ASKED_BY_SIBLING in sent.headers for sent in town.requests)


async def test_a_dead_owner_is_asked_once_and_then_its_turn_is_another_ones(town: Town) -> None:
    town.hosts |= {"s1": REFUSES, "s2": says()}
    siblings = (remote("s1", Role.SIBLING), remote("s2", Role.SIBLING))
    made = chain(town, *siblings, own="me")
    came = [await ask(made, target=f"/{n}") for n in range(60)]
    assert town.asked.count("s1") == 1
    assert {"s2", "origin"} == set(came)


# -- hedges ------------------------------------------------------------------------------------


async def warmed(town: Town, made: Any, count: int = 25) -> None:
    """Let a parent give enough answers for its p95 to be known."""
    for _ in range(count):
        assert await ask(made) == "up"
    town.requests.clear()
    town.given.clear()


async def test_a_small_request_that_takes_too_long_is_sent_to_the_next_as_well(town: Town) -> None:
    made = chain(town, remote("up"), remote("far", preference=1))
    await warmed(town, made)
    town.hosts["up"] = silent
    assert await ask(made) == "far"
    assert town.asked == ["up", "far"]
    await asyncio.sleep(0)
    assert town.under_way == 0, "the loser was not abandoned"
    assert made.metrics.value("hedges_total") == 1  # type: ignore[attr-defined]


async def test_the_first_head_wins_and_the_other_is_closed(town: Town) -> None:
    made = chain(town, remote("up"), remote("far", preference=1))
    await warmed(town, made)
    town.hosts |= {"up": says(seconds=0.2), "far": says(seconds=5.0)}
    assert await ask(made) == "up"
    assert (town.asked, town.under_way, town.left_open) == (["up", "far"], 0, 0)


@pytest.mark.parametrize("changes", [{"bulk": True}, {"method": "DELETE"}])
async def test_neither_bulk_nor_what_changes_something_is_hedged(town: Town, changes: dict[str, Any]) -> None:
    made = chain(town, remote("up"), remote("far", preference=1))
    await warmed(town, made)
    town.hosts["up"] = says(seconds=0.2)
    response = await made.fetch(replace(request(), **changes))
    assert (response.source, town.asked) == ("up", ["up"])
    await response.aclose()


async def test_hedges_have_a_budget(town: Town) -> None:
    made = chain(town, remote("up"), remote("far", preference=1), timer=Now())
    now = made._timer
    for _ in range(25):
        assert await ask(made) == "up"
        now.seconds += 0.001  # type: ignore[attr-defined]
    town.hosts["up"] = says(seconds=0.03)
    town.requests.clear()
    came = await asyncio.gather(*(ask(made) for _ in range(100)))
    assert set(came) <= {"up", "far"}
    assert town.asked.count("far") <= 20 + 0.1 * 125


async def test_who_waits_for_a_candidate_that_is_ejected_meanwhile_goes_on_at_once(town: Town) -> None:
    town.hosts["up"] = silent
    made = chain(town, remote("up"), remote("far", preference=1))
    waiting = [asyncio.ensure_future(ask(made, bulk=True)) for _ in range(5)]
    await asyncio.sleep(0.01)
    assert town.asked == ["up"] * 5
    made._trackers["up"].probed(alive=False, why="scripted")
    assert await asyncio.wait_for(asyncio.gather(*waiting), 5) == ["far"] * 5
    assert town.under_way == 0


async def test_a_client_that_goes_leaves_nothing_under_way(town: Town) -> None:
    town.hosts |= {"up": silent, "far": silent}
    made = chain(town, remote("up"), remote("far", preference=1))
    task = asyncio.ensure_future(ask(made))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert town.under_way == 0
    assert [status.in_use for status in made.states()] == [0, 0, 0]


# -- what is known -----------------------------------------------------------------------------


async def test_status_tells_of_everybody(town: Town) -> None:
    town.hosts["far"] = REFUSES
    made = chain(town, remote("far"), remote("up", preference=1, region="eu"))
    assert await ask(made) == "up"
    assert await ask(made, moved=True) == "origin"
    far, up, origin = made.states()
    assert (far.name, far.role, far.state, far.why) == (
        "far",
        Role.PARENT,
        "ejected",
        "unreachable: connection_refused: scripted",
    )
    assert far.ejected_seconds > 0
    assert (up.state, up.requests, up.in_use, up.region) == ("healthy", 1, 0, "eu")
    assert up.latency_seconds is not None
    assert (origin.name, origin.role, origin.state) == ("http://origin.test", Role.ORIGIN, "healthy")


async def test_metrics_have_the_names_of_the_configuration(town: Town) -> None:
    town.hosts["far"] = REFUSES
    made = chain(town, remote("far"), remote("up", preference=1))
    for _ in range(2):
        assert await ask(made) == "up"
    counted = made.metrics.counters  # type: ignore[attr-defined]
    assert counted["candidate_requests_total"] == {("far", "unreachable"): 1, ("up", "answered"): 2}
    assert counted["failovers_total"] == {("far",): 1}
    assert counted["ejections_total"] == {("far",): 1}


async def test_probes_bring_a_candidate_back(town: Town) -> None:
    town.hosts["up"] = REFUSES
    tasks = Tasks(lambda _, error: pytest.fail(repr(error)))
    made = chain(town, remote("up"), tasks=tasks)
    made.start()
    assert await ask(made) == "origin"
    town.hosts["up"] = says()
    async with asyncio.timeout(20):
        while made.states()[0].state != "returning":  # noqa: ASYNC110 - time passes for the chain
            await asyncio.sleep(0.02)
    assert await ask(made) == "up"
    assert made.lines[-1] == "parent up is back"  # type: ignore[attr-defined]
    await tasks.aclose()


async def test_a_flapping_parent_costs_no_client_an_error(town: Town) -> None:
    """Up and down at every other look; whoever asks gets an answer, and it is asked less and less."""
    now = Now()
    made = chain(town, remote("up"), timer=now)
    down_since: list[float] = []
    came = []
    for step in range(600):  # a minute
        now.seconds += 0.1
        is_up = int(now.seconds / 1.5) % 2 == 0
        town.hosts["up"] = says() if is_up else REFUSES
        tracker = made._trackers["up"]
        if tracker.health.is_ejected and tracker.next_probe() <= now():
            tracker.probed(alive=is_up)
        came.append(await ask(made, target=f"/{step}"))
        if not is_up and town.asked[-1] == "origin.test" and town.asked[-2:-1] == ["up"]:
            down_since.append(now())
    assert set(came) <= {"up", "origin"}
    ejections = made.metrics.value("ejections_total", "up")  # type: ignore[attr-defined]
    assert ejections <= 7, "it oscillates"
    assert town.asked.count("up") - came.count("up") <= ejections


async def test_origins_without_parents_are_asked_as_before(town: Town) -> None:
    made = chain(town)
    assert await ask(made) == "origin"
    town.hosts["origin.test"] = REFUSES
    assert await ask(made) == "connection_refused"
    assert town.requests[0] == request()


async def test_an_origin_is_measured_by_its_own_place(town: Town) -> None:
    made = chain(town)
    town.hosts["cdn.test"] = says()
    for n in range(300):
        town.hosts[f"h{n}.test"] = says()
        moved = replace(request(), origin=Origin("https", f"h{n}.test", 443))
        await (await made.fetch(moved)).aclose()
    assert len(made.states()) == 256
