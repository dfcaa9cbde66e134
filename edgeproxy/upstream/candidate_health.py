"""How well a candidate answers, and whether it is asked at all.

    HEALTHY --- it cannot be reached, says nothing, refuses us --------------> EJECTED (dead)
       |  \\---- half of what it lately did went wrong -----------------------> EJECTED
       ^                                                                         |
       |  ten seconds           its time is over, and a dead one answers a probe  v
    RETURNING <--- a probe or a request succeeds --------------------------- HALF_OPEN

A dead candidate is not asked for clients before a probe has found it alive: they would wait for it. One
that was ejected for errors still answers now and then: it is the least bad when there is nobody else, and
that is why such candidates are ejected only while others remain. Each ejection in a row lasts twice as
long, with jitter, so that a flapping candidate is left alone and many nodes do not come back together.

A Health is a value: every event makes another one. Times are seconds of a clock that is never set back."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

HALF_LIFE_SECONDS = 5.0  # of the counts of what went well and what did not
FAILURES = 2.5  # counted so (three in quick succession), and as many as there were successes, eject
EJECT_SECONDS = 1.0  # the first time; doubled with each in a row
EJECT_SECONDS_MAX = 30.0
JITTER = 0.2
FORGET_SECONDS = 60.0  # well for so long: what was before does not count any more
SLOW_START_SECONDS = 10.0
SLOW_START_SHARE = 0.1  # of the requests, at first
PROBE_SECONDS = 0.5  # the first probe of a dead candidate; doubled while it stays dead
PROBE_SECONDS_MAX = 4.0
IDLE_SECONDS = 30.0  # without use, until a healthy candidate is probed

_LATENCY_SHARE = 0.2  # of the newest observation
_GOODPUT_SHARE = 0.3
_P95_STEP = 0.1
_NEVER = float("-inf")


class State(StrEnum):
    HEALTHY = "healthy"
    RETURNING = "returning"
    EJECTED = "ejected"
    HALF_OPEN = "half-open"


class Trouble(StrEnum):
    """What can go wrong with a candidate; the words of logs and metrics."""

    UNREACHABLE = "unreachable"  # no connection, or none that may be trusted
    SILENT = "silent"  # no answer in time, and none to anybody else meanwhile
    LOCKED = "locked"  # it does not accept who we are
    FAILED = "failed"  # an error of its own, or an answer that broke off or was none
    SLOW = "slow"  # outrun by another, or hardly a byte in mid-body


_DEADLY = frozenset({Trouble.UNREACHABLE, Trouble.SILENT, Trouble.LOCKED})
_COUNTS = {Trouble.FAILED: 1.0, Trouble.SLOW: 0.5}


class Health(Struct, frozen=True, kw_only=True):
    """`latency` and `p95` (seconds until a head) come from small requests, `goodput` (bytes a second) from
    bulk. `why` tells the last trouble."""

    good: float = 0.0
    bad: float = 0.0
    counted_at: float = 0.0
    answers: int = 0
    answered_at: float = _NEVER
    latency: float | None = None
    p95: float | None = None
    goodput: float | None = None
    is_ejected: bool = False
    is_dead: bool = False
    ejections: int = 0  # in a row
    ejected_until: float = 0.0
    returned_at: float = _NEVER
    probed_at: float = _NEVER
    probes_failed: int = 0  # in a row, since it is dead
    why: str = ""


def state(health: Health, now: float) -> State:
    if health.is_ejected:
        return State.EJECTED if health.is_dead or now < health.ejected_until else State.HALF_OPEN
    if now - health.returned_at < SLOW_START_SECONDS:
        return State.RETURNING
    return State.HEALTHY


def admits(health: Health, now: float, draw: float) -> bool:
    """Whether a candidate takes its full part of this request; `draw` in [0, 1) belongs to the request.
    One that returns takes a growing share, so that its caches and connections warm up."""
    if health.is_ejected:
        return False
    share = SLOW_START_SHARE + (1 - SLOW_START_SHARE) * (now - health.returned_at) / SLOW_START_SECONDS
    return draw < share


def may_eject(healths: Iterable[Health]) -> bool:
    """Whether one more of the candidates may be ejected for errors: at most half of them at a time."""
    ejected = [health.is_ejected for health in healths]
    return 2 * (sum(ejected) + 1) <= len(ejected)


def answered(health: Health, now: float, seconds: float | None = None) -> Health:
    """A good head came; `seconds` after the request if it was a small one."""
    good, bad = _decayed(health, now)
    latency, p95 = health.latency, health.p95
    if seconds is not None:
        latency = _blended(latency, seconds, _LATENCY_SHARE)
        p95 = _towards_p95(p95, seconds)
    came = replace(
        health,
        good=good + 1,
        bad=bad,
        counted_at=now,
        answers=health.answers + (seconds is not None),
        answered_at=now,
        latency=latency,
        p95=p95,
        is_dead=False,
    )
    return _returned(came, now) if came.is_ejected and now >= came.ejected_until else came


def delivered(health: Health, size: int, seconds: float) -> Health:
    """`size` bytes of a body came while we waited for `seconds` in all."""
    rate = size / max(seconds, 1e-6)
    return replace(health, goodput=_blended(health.goodput, rate, _GOODPUT_SHARE))


def reason(trouble: Trouble, why: str) -> str:
    """As it is told to people."""
    return f"{trouble.value}: {why}"[:200]


def troubled(health: Health, now: float, trouble: Trouble, why: str, draw: float, *, others: bool) -> Health:
    """`others`: enough candidates remain for this one to be ejected for errors. `draw` in [0, 1)."""
    good, bad = _decayed(health, now)
    bad += _COUNTS.get(trouble, 1.0)
    noted = replace(health, good=good, bad=bad, counted_at=now, why=reason(trouble, why))
    is_trial = health.is_ejected and now >= health.ejected_until
    if trouble in _DEADLY:
        return _ejected(noted, now, draw, dead=True) if not health.is_dead or is_trial else noted
    if is_trial:
        return _ejected(noted, now, draw, dead=False)
    if not health.is_ejected and others and bad >= FAILURES and bad >= good:
        return _ejected(noted, now, draw, dead=False)
    return noted


def probed(health: Health, now: float, *, alive: bool, why: str = "", draw: float = 0.0) -> Health:
    """A probe has ended. It revives the dead; who was ejected serves its time all the same."""
    health = replace(health, probed_at=now)
    if not alive:
        if health.is_ejected:
            why = reason(Trouble.UNREACHABLE, why) if why else health.why
            return replace(health, is_dead=True, probes_failed=health.probes_failed + 1, why=why)
        return troubled(health, now, Trouble.UNREACHABLE, why, draw, others=True)
    health = replace(health, is_dead=False, probes_failed=0, answered_at=now)
    return _returned(health, now) if health.is_ejected and now >= health.ejected_until else health


def next_probe(health: Health, used_at: float, draw: float) -> float:
    """When to probe next; `used_at` is the last use for a client."""
    jitter = 1 + JITTER * draw
    if health.is_ejected and not health.is_dead:
        return max(health.ejected_until, health.probed_at)
    if health.is_dead:
        wait = min(PROBE_SECONDS * 2.0 ** min(health.probes_failed, 16), PROBE_SECONDS_MAX)
        return max(health.probed_at, health.counted_at) + wait * jitter
    return max(used_at, health.probed_at) + IDLE_SECONDS * jitter


def error_share(health: Health) -> float:
    """Of what was lately asked; 0 when nothing was."""
    return health.bad / (health.good + health.bad) if health.bad else 0.0


def _ejected(health: Health, now: float, draw: float, *, dead: bool) -> Health:
    in_a_row = health.is_ejected or now - health.returned_at < FORGET_SECONDS
    ejections = health.ejections + 1 if in_a_row else 1
    seconds = min(EJECT_SECONDS * 2.0 ** min(ejections - 1, 16), EJECT_SECONDS_MAX)
    return replace(
        health,
        is_ejected=True,
        is_dead=dead,
        ejections=ejections,
        ejected_until=now + seconds * (1 + JITTER * draw),
        probes_failed=0,
    )


def _returned(health: Health, now: float) -> Health:
    return replace(
        health, is_ejected=False, is_dead=False, returned_at=now, good=0.0, bad=0.0, probes_failed=0
    )


def _decayed(health: Health, now: float) -> tuple[float, float]:
    factor = 0.5 ** (max(0.0, now - health.counted_at) / HALF_LIFE_SECONDS)
    return health.good * factor, health.bad * factor


def _blended(old: float | None, new: float, share: float) -> float:
    return new if old is None else old + share * (new - old)


def _towards_p95(p95: float | None, seconds: float) -> float:
    """One step of a running estimate: up by 0.95 steps or down by 0.05, which rest where one in twenty is
    above. Steps are a share of the estimate, so that it follows from microseconds to seconds."""
    if p95 is None:
        return 2 * seconds
    return p95 * (1 + 0.95 * _P95_STEP) if seconds > p95 else p95 * (1 - 0.05 * _P95_STEP)
