"""Which of several ordered indexes a project belongs to (dependency confusion is what this prevents).

A project belongs to the first index that has it. An index that cannot say stops the search: an outage
of a private index must not hand its names to a public one. What an index other than the last has once
had stays with it, also after it is gone there, also after a restart, until an operator says otherwise."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from edgeproxy.sites import python_names
from edgeproxy.sites.site import Ledger, Seen

# An answer is remembered just long enough to plan with it; how long it holds is known to the store.
ANSWER_SECONDS = 0.25
ANSWERS_MAX = 10_000
NAMES_MAX = 250_000
_MISSING = (404, 410)


@dataclass(frozen=True, slots=True)
class Owner:
    """The project belongs to the index of this number, or would."""

    number: int


@dataclass(frozen=True, slots=True)
class Ask:
    """The index of this number has to be asked first."""

    number: int


@dataclass(frozen=True, slots=True)
class Unknown:
    """The index of this number gave no answer (status 0) or this one instead of yes or no. `instead` may
    have the project by all that is known; what is stored from it may be served, and it may not be asked."""

    number: int
    status: int
    instead: int | None


Standing = Owner | Ask | Unknown


@dataclass(frozen=True, slots=True)
class Answered:
    """What an index said of a project to holders of a credential; `at` in wall-clock seconds."""

    project: str
    number: int
    credential: str
    status: int
    at: float


class Owners:
    """`urls` name the indexes in order. Lives on the event loop, but for `note`."""

    def __init__(self, urls: Sequence[str], private: Sequence[str], ledger: Ledger) -> None:
        """Blocks. Raises StorageError if what was noted cannot be read."""
        self._urls = tuple(urls)
        self._private = tuple(python_names.pattern(text) for text in private)
        self._ledger = ledger
        number = {url: place for place, url in enumerate(self._urls[:-1])}
        self._kept = {name: number[url] for name, url in ledger.read().items() if url in number}
        self._answers: OrderedDict[tuple[str, int, str], Answered] = OrderedDict()

    def is_private(self, project: str) -> bool:
        return python_names.matches(project, self._private)

    def standing(self, project: str, credential: str, now: float) -> Standing:
        """Whose the project is, or what has to be known to say so."""
        last = 0 if self.is_private(project) else self._kept.get(project, len(self._urls) - 1)
        for number in range(last):
            answer = self._answers.get((project, number, credential))
            if answer is None or not 0 <= now - answer.at < ANSWER_SECONDS:
                return Ask(number)
            if answer.status == 200:
                return Owner(number)
            if answer.status not in _MISSING:
                is_refusal = answer.status in (401, 403)
                return Unknown(number, answer.status, None if is_refusal else last)
        return Owner(last)

    def learn(self, answered: Answered) -> None:
        key = (answered.project, answered.number, answered.credential)
        self._answers[key] = answered
        self._answers.move_to_end(key)
        while len(self._answers) > ANSWERS_MAX:
            self._answers.popitem(last=False)
        if answered.status == 200 and self._is_news(answered) and len(self._kept) < NAMES_MAX:
            self._kept[answered.project] = answered.number

    def _is_news(self, answered: Answered) -> bool:
        return answered.number < self._kept.get(answered.project, len(self._urls) - 1)

    def note(self, answered: Answered) -> None:
        """Write down whose the project is from now on, before anybody is told. Blocks; for threads."""
        if answered.status == 200 and self._is_news(answered) and len(self._kept) < NAMES_MAX:
            self._ledger.add(answered.project, self._urls[answered.number])


@dataclass(frozen=True, slots=True)
class ReadAnswer:
    """Makes of an index's answer what is learned."""

    owners: Owners
    project: str
    number: int
    credential: str

    def __call__(self, seen: Seen) -> Answered:
        answered = Answered(self.project, self.number, self.credential, seen.status, seen.at)
        self.owners.note(answered)
        return answered
