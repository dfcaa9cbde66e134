"""Whose a name is: tables of what indexes answered and what follows."""

from __future__ import annotations

import pytest

from edgeproxy.sites.python_owners import (
    ANSWER_SECONDS,
    ANSWERS_MAX,
    Answered,
    Ask,
    Owner,
    Owners,
    ReadAnswer,
    Standing,
    Unknown,
)
from edgeproxy.sites.site import Seen

URLS = ["https://first.example/", "https://second.example/", "https://public.example/"]


class Book:
    """A ledger in memory."""

    def __init__(self) -> None:
        self.lines: dict[str, str] = {}

    def read(self) -> dict[str, str]:
        return dict(self.lines)

    def add(self, name: str, value: str) -> None:
        self.lines[name] = value


def owners(book: Book | None = None, private: tuple[str, ...] = ()) -> Owners:
    return Owners(URLS, private, book or Book())


def tell(known: Owners, number: int, status: int, project: str = "thing", at: float = 0.0) -> None:
    known.learn(ReadAnswer(known, project, number, "")(Seen(status, at=at)))


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([], Ask(0)),
        ([200], Owner(0)),
        ([404], Ask(1)),
        ([410], Ask(1)),
        ([404, 200], Owner(1)),
        ([404, 404], Owner(2)),
        ([0], Unknown(0, 0, 2)),
        ([503], Unknown(0, 503, 2)),
        ([429], Unknown(0, 429, 2)),
        ([404, 500], Unknown(1, 500, 2)),
        ([401], Unknown(0, 401, None)),
        ([403], Unknown(0, 403, None)),
        ([302], Unknown(0, 302, 2)),
    ],
)
def test_the_first_that_has_it_owns_it_and_only_a_clear_no_goes_on(
    answers: list[int], expected: Standing
) -> None:
    known = owners()
    for number, status in enumerate(answers):
        tell(known, number, status)
    assert known.standing("thing", "", 0.0) == expected


def test_an_answer_is_used_at_once_or_never() -> None:
    known = owners()
    tell(known, 0, 404, at=100.0)
    assert known.standing("thing", "", 100.0 + ANSWER_SECONDS / 2) == Ask(1)
    assert known.standing("thing", "", 100.0 + ANSWER_SECONDS) == Ask(0)
    assert known.standing("thing", "", 99.0) == Ask(0)  # the clock was set back


def test_what_one_client_may_see_says_nothing_about_others() -> None:
    known = owners()
    known.learn(Answered("thing", 0, "alice", 404, 0.0))
    assert known.standing("thing", "alice", 0.0) == Ask(1)
    assert known.standing("thing", "bob", 0.0) == Ask(0)


@pytest.mark.parametrize("name", ["acme-tool", "acme"])
def test_of_a_private_pattern_only_the_first_is_asked(name: str) -> None:
    known = owners(private=("Acme_*", "acme"))
    assert known.standing(name, "", 0.0) == Owner(0)
    assert known.standing("thing", "", 0.0) == Ask(0)


def test_what_a_private_index_has_had_stays_with_it_after_a_404_and_a_restart() -> None:
    book = Book()
    known = owners(book)
    tell(known, 0, 404)
    tell(known, 1, 200)
    tell(known, 1, 404)
    assert known.standing("thing", "", 0.0) == Owner(1)
    again = owners(book)
    assert again.standing("thing", "", 0.0) == Ask(0)  # whoever comes before may still take it
    tell(again, 0, 404)
    assert again.standing("thing", "", 0.0) == Owner(1)
    tell(again, 0, 200)
    assert owners(book).standing("thing", "", 0.0) == Owner(0)


def test_what_the_last_index_has_is_not_written_down() -> None:
    book = Book()
    known = owners(book)
    for number in (0, 1):
        tell(known, number, 404)
    tell(known, 2, 200)
    assert book.lines == {}


def test_it_is_written_down_before_anybody_is_told() -> None:
    book = Book()
    known = owners(book)
    ReadAnswer(known, "thing", 0, "")(Seen(200))  # in its thread; the loop has not heard of it
    assert book.lines == {"thing": URLS[0]}
    assert known.standing("thing", "", 0.0) == Ask(0)


def test_lines_about_indexes_that_are_no_longer_there_are_passed_over() -> None:
    book = Book()
    book.lines = {"thing": "https://gone.example/", "other": URLS[2], "mine": URLS[0]}
    known = owners(book)
    assert known.standing("thing", "", 0.0) == Ask(0)
    assert known.standing("other", "", 0.0) == Ask(0)
    assert known.standing("mine", "", 0.0) == Owner(0)


def test_answers_are_bounded() -> None:
    known = owners()
    for number in range(ANSWERS_MAX + 5):
        tell(known, 0, 404, f"p{number}")
    assert known.standing("p0", "", 0.0) == Ask(0)
    assert known.standing(f"p{ANSWERS_MAX + 4}", "", 0.0) == Ask(1)
