from __future__ import annotations

from edgeproxy.message import Headers, Repeatable, Request, Response
from edgeproxy.serving.repeats import HEAD_BYTES_MAX, Repeats
from edgeproxy.serving.response_head import DateField

NOW = 1_700_000_000.25
HEAD = b"GET /f HTTP/1.1\r\n\r\n"
REQUEST = Request("GET", "/f")


def repeats(entries_max: int = 4) -> Repeats:
    return Repeats(entries_max, DateField())


def response(repeat: Repeatable | None = lambda now: True) -> Response:
    return Response(302, Headers((("Location", "http://a.example/f"),)), repeat=repeat)


def test_the_same_client_gets_the_same_for_the_same_bytes() -> None:
    table = repeats()
    table.remember("192.0.2.1", HEAD, REQUEST, response(), b"see there\n")
    found = table.recall("192.0.2.1", HEAD, NOW)
    assert found is not None
    assert found.answer == (
        b"HTTP/1.1 302 Found\r\nLocation: http://a.example/f\r\nDate: Tue, 14 Nov 2023 22:13:20 GMT\r\n"
        b"Content-Length: 10\r\n\r\nsee there\n"
    )
    assert table.recall("192.0.2.2", HEAD, NOW) is None
    assert table.recall("192.0.2.1", HEAD + b"x", NOW) is None


def test_the_date_is_that_of_the_second() -> None:
    table = repeats()
    table.remember("c", HEAD, REQUEST, response(), b"")
    first, later = table.recall("c", HEAD, NOW), None
    assert first is not None
    before = first.answer
    later = table.recall("c", HEAD, NOW + 1)
    assert later is not None
    assert later.answer == before.replace(b"22:13:20", b"22:13:21")


def test_who_gave_the_answer_is_asked_each_time_and_may_say_no() -> None:
    asked: list[float] = []

    def twice(now: float) -> bool:
        asked.append(now)
        return len(asked) < 3

    table = repeats()
    table.remember("c", HEAD, REQUEST, response(twice), b"")
    assert [table.recall("c", HEAD, NOW + n) is not None for n in range(4)] == [True, True, False, False]
    assert asked == [NOW, NOW + 1, NOW + 2]


def test_what_may_not_be_repeated_or_is_too_long_is_not_kept() -> None:
    table = repeats()
    table.remember("c", HEAD, REQUEST, response(None), b"")
    table.remember("c", b"x" * (HEAD_BYTES_MAX + 1), REQUEST, response(), b"")
    repeats(0).remember("c", HEAD, REQUEST, response(), b"")
    assert len(table) == 0


def test_the_longest_known_leave_first_and_another_handler_begins_anew() -> None:
    table = repeats(2)
    for client in "abc":
        table.remember(client, HEAD, REQUEST, response(), b"")
    assert [table.recall(client, HEAD, NOW) is not None for client in "abc"] == [False, True, True]
    table.clear()
    assert len(table) == 0
