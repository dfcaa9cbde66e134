"""Every message comes back as it was sent, and nothing else is taken for one."""

from __future__ import annotations

import msgspec
import pytest

from edgeproxy.message import CacheOutcome, Certified, ForwardReason, Outcome
from edgeproxy.policy.timed_fields import Counting, TimedFields
from edgeproxy.relay import messages as m

CERTIFIED = Certified(("a.example",), "CN=a", "00")
MARK = m.Mark(3, 7 << 40, 12.5, 9)
FIELDS = TimedFields((("Age", "0"), ("ETag", '"é"')), ((0, Counting("Age", "", 3.25, False)),))
OUTCOME = Outcome(CacheOutcome.STALE, "files", ForwardReason.URI_MISS, 200, True, True, 3.5, "why", 0.25)
MESSAGES = [
    m.Hello(),
    m.Ask(
        "GET",
        "/",
        (("A", "\xff"),),
        "http",
        "h",
        "1.1",
        "c",
        "p",
        "l",
        "i",
        "t",
        1.5,
        True,
        True,
        None,
        CERTIFIED,
        "",
    ),
    m.ContentEnd(),
    m.ContentBroken(413, "too much"),
    m.Taken(4),
    m.Interim(103, (("Link", "x"),)),
    m.Answer(200, (("A", "b"),), OUTCOME, False, 7, False, True, m.Reusing(MARK, None, FIELDS)),
    m.Answer(204, (), Outcome(CacheOutcome.LOCAL), True, None, True, False),
    m.Refused(400, "no", True),
    m.Slice(0, 1 << 40, 5, True),
    m.End(),
    m.End((("grpc-status", "0"),)),
    m.Broken("off"),
    m.Report(
        [("requests_total", ("s", "hit", "200"), 3)],
        [("request_seconds", ("s",), [1, 0], 0.5)],
        {"connections": 2.0},
        [(1, 2)],
    ),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_comes_back_as_it_was_sent(message: msgspec.Struct) -> None:
    assert m.DECODER.decode(msgspec.msgpack.encode(message)) == message


@pytest.mark.parametrize("data", [b"", b"\x90", b"\x91\x63", b"\xc0", b"\x92\x04\xa1x"])
def test_nothing_else_is_taken_for_one(data: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        m.DECODER.decode(data)
