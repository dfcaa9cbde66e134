"""What is meant for one client reaches no other, not even one that asks at the same moment.

Each answer of the origin is different, so that an answer given twice shows."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Sequence

import pytest
from stands.node import Node
from stands.origin import Origin, counted

Fields = Sequence[tuple[str, str]]
numbers = itertools.count()


def cache_control(*values: str) -> Fields:
    return [("Cache-Control", value) for value in values]


NOT_SHARED: dict[str, Fields] = {
    "private": cache_control("private, max-age=60"),
    "PRIVATE": cache_control("PRIVATE, MAX-AGE=60"),
    "private after": cache_control("max-age=60, private"),
    "private with argument empty": cache_control('max-age=60, private=""'),
    "private on a second line": cache_control("max-age=60", "private"),
    "no-store": cache_control("no-store"),
    "no-store and public": cache_control("public, max-age=60, no-store"),
    "no-store first line": cache_control("no-store", "public, max-age=60"),
    "no-cache": cache_control("no-cache, max-age=60"),
    "s-maxage 0": cache_control("max-age=60, s-maxage=0"),
    "max-age 0": cache_control("max-age=0"),
    "max-age twice": cache_control("max-age=60, max-age=0"),
    "max-age negative": cache_control("max-age=-60"),
    "max-age float": cache_control("max-age=60.5"),
    "max-age NaN": cache_control("max-age=NaN"),
    "max-age inf": cache_control("max-age=inf"),
    "max-age exponent": cache_control("max-age=1e9"),
    "max-age underscore": cache_control("max-age=1_000"),
    "max-age plus": cache_control("max-age=+60"),
    "max-age hex": cache_control("max-age=0x60"),
    "max-age superscript": cache_control("max-age=\xb2\xb2"),
    "max-age empty": cache_control("max-age="),
    "max-age without value": cache_control("max-age"),
    "max-age in quotes of another": cache_control('x="a, max-age=60"'),
    "private in the tail of a quoted string": cache_control('x="\\"", private, max-age=60'),
    "space inside": cache_control("max -age=60"),
    "age beyond": [*cache_control("max-age=60"), ("Age", "61")],
    "age overflow": [*cache_control("max-age=60"), ("Age", "9" * 30)],
    "expires past": [("Expires", "Thu, 01 Jan 1970 00:00:00 GMT")],
    "expires 0": [("Expires", "0")],
    "expires junk": [("Expires", "tomorrow")],
    "vary star": [*cache_control("max-age=60"), ("Vary", "*")],
    "vary star in a list": [*cache_control("max-age=60"), ("Vary", "Accept, *")],
    "vary star second line": [*cache_control("max-age=60"), ("Vary", "Accept"), ("Vary", "*")],
    "cookie set": [*cache_control("max-age=60"), ("Set-Cookie", "session=8f14e45fceea")],
    "cookie set, lower case": [*cache_control("public, max-age=60"), ("set-cookie", "id=8f14e45fceea")],
    "cookie set, short": [*cache_control("max-age=60"), ("Set-Cookie", "session=1")],
    "cookie set, second line": [
        *cache_control("max-age=60"),
        ("Set-Cookie", "a=b"),
        ("Set-Cookie", "s=8f14e45f; HttpOnly"),
    ],
    "silent": [],
}


@pytest.mark.parametrize("name", NOT_SHARED)
def test_an_answer_that_may_not_be_shared_is_given_once(node: Node, recording: Origin, name: str) -> None:
    path = f"/private/{next(numbers)}"
    recording.paths[path] = counted(NOT_SHARED[name])
    answers = [node.get(path) for _ in range(3)]
    assert all(answer.status == 200 for answer in answers)
    assert len({answer.body for answer in answers}) == 3


@pytest.mark.parametrize("name", ["private", "no-store", "cookie set", "vary star", "max-age 0"])
def test_waiting_together_does_not_mean_sharing(node: Node, recording: Origin, name: str) -> None:
    path = f"/private/{next(numbers)}"
    recording.paths[path] = counted(NOT_SHARED[name], delay=0.3)
    bodies: list[bytes] = []
    clients = [threading.Thread(target=lambda: bodies.append(node.get(path).body)) for _ in range(8)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    shared = 8 - len(set(bodies))
    # RFC 9111 section 4 lets requests wait on one another, and share only what may be stored.
    assert shared == 0 or name == "max-age 0"


def test_uncacheable_waiters_are_not_served_one_after_another(node: Node, recording: Origin) -> None:
    recording.paths["/queue"] = counted(cache_control("no-store"), delay=0.4)
    clients = [threading.Thread(target=node.get, args=("/queue",)) for _ in range(10)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert recording.journal.count("/queue") == 10
    assert recording.journal.at_once("/queue") >= 3


@pytest.mark.parametrize(
    ("answer", "shared"),
    [
        (cache_control("max-age=60"), False),
        ([], False),
        (cache_control("private, max-age=60"), False),
        (cache_control("public, max-age=60"), True),
        (cache_control("s-maxage=60"), True),
        (cache_control("max-age=60, must-revalidate"), True),
    ],
)
def test_an_answer_to_authorization_is_shared_only_if_it_says_so(
    node: Node, recording: Origin, answer: Fields, shared: bool
) -> None:
    path = f"/authorized/{next(numbers)}"
    recording.paths[path] = counted(answer)
    node.get(path, [("Authorization", "Bearer victim")])
    assert (b"victim" in node.get(path).body) == shared


@pytest.mark.parametrize("status", [401, 403, 407])
def test_a_refusal_of_one_is_not_the_answer_of_another(node: Node, recording: Origin, status: int) -> None:
    path = f"/gated/{status}"
    recording.paths[path] = counted([], status)
    bodies = {node.get(path, [("Authorization", f"Bearer {n}")]).body for n in range(3)}
    assert len(bodies) == 3


@pytest.mark.parametrize(
    "value", ["max-age=60", "max-age=99999999999999999999", 'x="a, no-store", max-age=60']
)
def test_what_may_be_shared_is_shared(node: Node, recording: Origin, value: str) -> None:
    path = f"/shared/{next(numbers)}"
    recording.paths[path] = counted(cache_control(value))
    assert node.get(path).body == node.get(path).body
