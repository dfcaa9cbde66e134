"""How edgeproxy stands: of each figure that a peer has too, ahead of the best peer, equal or behind; of
limits, met or missed. What is bad comes first. Pure functions over results."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from benchmarks.report import Comparison, Limit, Result, asked, shown

EQUAL_WITHIN = 0.05  # of the better one: less is of the minute, not of the server
NO_PEERS = frozenset(
    {"direct"}
)  # a way without a cache is what one is measured by, nothing to choose instead
_AGAINST = re.compile(r"^(?P<what>.+?),? against (?P<peer>[\w.+-]+|the .+)$")
_TIMES = re.compile(r"^(?P<times>\d+(?:\.\d+)?)x(?P<how>.*)$")


class Standing(StrEnum):
    """In the order in which they are told."""

    FAILED = "failed"
    BEHIND = "behind"
    MISSED = "limit missed"
    EQUAL = "equal"
    AHEAD = "ahead"
    MET = "limits met"
    NONE = "not judged"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One line. `times` is how many times as good as the best peer: above 1 is better, None where that is no
    number. `note` tells the limit, or why it failed."""

    standing: Standing
    scenario: str
    what: str
    ours: str = ""
    theirs: str = ""
    peer: str = ""
    times: float | None = None
    note: str = ""


def verdicts(results: Iterable[Result], failed: Mapping[str, str] | None = None) -> list[Verdict]:
    """Of all results. `failed` are scenarios that failed as a whole, by name, each with its reason; of those,
    and of results with failures, no figure is told."""
    reasons = dict(failed or {})
    found, questions = [], {}
    for result in results:
        questions[result.name] = asked(result.question)
        if result.failures:
            reasons.setdefault(result.name, result.failures[0])
        if result.name not in reasons:
            found += of_result(result)
    found += [
        Verdict(Standing.FAILED, name, questions.get(name, name), note=reason)
        for name, reason in reasons.items()
    ]
    order = list(Standing)
    return sorted(found, key=lambda one: (order.index(one.standing), _badness(one)))


def _badness(one: Verdict) -> float:
    """Within a standing the least ratio comes first; what is no number stays in its order, at the end."""
    return one.times if one.times is not None else float("inf")


def of_result(result: Result) -> list[Verdict]:
    """Comparisons, or the limits that are set against peers where there are none; every missed limit that no
    line "behind" tells; or one line for a result that has none of these."""
    compared: dict[str, list[Comparison]] = {}
    for comparison in result.comparisons:
        compared.setdefault(comparison.what, []).append(comparison)
    found = [_against_best(result.name, ones) for ones in compared.values()]
    if not found:
        found = _of_limits(result.name, result.limits)
    found = [replace(one, note=_noted(one, result.limits)) for one in found]
    behind = [one.what for one in found if one.standing is Standing.BEHIND]
    found += [
        Verdict(Standing.MISSED, result.name, limit.what, limit.measured, note=f"limit {limit.limit}")
        for limit in result.limits
        if limit.met is False and not any(is_of(limit, what) for what in behind)
    ]
    return found or [_alone(result)]


def _alone(result: Result) -> Verdict:
    """The line of a result that no peer takes part in and that misses no limit."""
    count, met = len(result.limits), sum(limit.met is True for limit in result.limits)
    if not met:
        note = "limits not judged" if count else "no limit and no peer"
        return Verdict(Standing.NONE, result.name, asked(result.question), note=note)
    unjudged = sum(limit.met is None for limit in result.limits)
    note = f"{met} of {count}" + (f", {unjudged} not judged" if unjudged else "")
    return Verdict(Standing.MET, result.name, asked(result.question), note=note)


def is_of(limit: Limit, what: str) -> bool:
    """Whether a limit is set for the figure that a comparison calls `what`: the same words, or their end, as
    "1 KiB, against nginx" for "hits of 1 KiB"."""
    match = _AGAINST.match(limit.what)
    named = match["what"] if match else limit.what
    return what == named or what.endswith(f" {named}")


def _noted(one: Verdict, limits: list[Limit]) -> str:
    """Limits set for the same figure: those missed if there are any, else what was there and those met."""
    own = [limit for limit in limits if limit.met is not None and is_of(limit, one.what)]
    if missed := [_missed(limit) for limit in own if not limit.met]:
        return "; ".join(missed)
    met = [f"limit {limit.limit} met" for limit in own]
    return "; ".join(dict.fromkeys([*([one.note] if one.note else []), *met]))


def _missed(limit: Limit) -> str:
    match = _AGAINST.match(limit.what)
    beside = f" against {match['peer']}" if match else ""
    return f"limit {limit.limit}{beside} missed: {limit.measured}"


def _against_best(scenario: str, ones: list[Comparison]) -> Verdict:
    choices = [one for one in ones if one.peer not in NO_PEERS] or ones
    best = (min if ones[0].less_is_better else max)(choices, key=lambda one: one.theirs)
    better, worse = best.ours, best.theirs
    if best.less_is_better:
        better, worse = worse, better
    times = better / worse if worse > 0 else None
    if better == worse:
        standing = Standing.EQUAL
    elif times is None:
        standing = Standing.AHEAD if better > worse else Standing.BEHIND
    else:
        standing = standing_of(times)
    unit = f" {best.unit}" if best.unit else ""
    return Verdict(
        standing, scenario, best.what, shown(best.ours) + unit, shown(best.theirs) + unit, best.peer, times
    )


def standing_of(times: float) -> Standing:
    """Of a ratio that is better above 1. Equal is what is within 5 % of the better side."""
    if times < 1 - EQUAL_WITHIN:
        return Standing.BEHIND
    return Standing.AHEAD if times * (1 - EQUAL_WITHIN) > 1 else Standing.EQUAL


def _of_limits(scenario: str, limits: list[Limit]) -> list[Verdict]:
    """Limits such as "1 KiB hit against nginx", measured as "1.69x": the least ratio of each figure."""
    least: dict[str, Verdict] = {}
    for limit in limits:
        named, told = _AGAINST.match(limit.what), _TIMES.match(limit.measured)
        if limit.met is None or named is None or told is None or named["peer"] in NO_PEERS:
            continue
        times = float(told["times"])
        known = least.get(named["what"])
        if known is None or known.times is None or times < known.times:
            least[named["what"]] = Verdict(
                standing_of(times),
                scenario,
                named["what"],
                peer=named["peer"],
                times=times,
                note=told["how"].strip(),
            )
    return list(least.values())


def times_shown(one: Verdict) -> str:
    """Two places, or two digits of what is less than a tenth."""
    if one.times is None:
        return "-"
    return f"{one.times:.2f}x" if one.times >= 0.1 or one.times == 0 else f"{one.times:.2g}x"


def counted(found: Iterable[Verdict]) -> str:
    """One sentence, such as "behind 2, ahead 5"."""
    standings = [one.standing for one in found]
    told = [f"{standing} {standings.count(standing)}" for standing in Standing if standing in standings]
    return ", ".join(told) or "nothing was compared"
