from edgeproxy.router.dns_limit import LimitSettings, ResponseLimit, Verdict

SEND, SLIP, DROP = Verdict.SEND, Verdict.SLIP, Verdict.DROP


def test_a_burst_passes_and_then_every_second_one_is_told_to_come_over_tcp() -> None:
    limit = ResponseLimit(LimitSettings(per_second=2, burst_seconds=2, slip=2))
    assert [limit.judge("a", 0.0) for _ in range(8)] == [SEND] * 4 + [DROP, SLIP, DROP, SLIP]


def test_tokens_come_back_with_time_up_to_a_burst() -> None:
    limit = ResponseLimit(LimitSettings(per_second=2, burst_seconds=1, slip=0))
    assert [limit.judge("a", 0.0) for _ in range(3)] == [SEND, SEND, DROP]
    assert [limit.judge("a", 0.5) for _ in range(2)] == [SEND, DROP]
    assert [limit.judge("a", 90.0) for _ in range(3)] == [SEND, SEND, DROP]


def test_each_network_and_kind_has_its_own() -> None:
    limit = ResponseLimit(LimitSettings(per_second=1, burst_seconds=1))
    assert [limit.judge(key, 0.0) for key in ((1, "x"), (1, "y"), (2, "x"), (1, "x"))] == [
        SEND,
        SEND,
        SEND,
        DROP,
    ]


def test_without_a_rate_there_is_no_limit() -> None:
    limit = ResponseLimit(LimitSettings(per_second=0))
    assert {limit.judge("a", 0.0) for _ in range(10_000)} == {SEND}
    assert len(limit) == 0


def test_a_flood_of_networks_does_not_make_it_grow_nor_frees_who_is_limited() -> None:
    limit = ResponseLimit(LimitSettings(per_second=1, burst_seconds=1, slip=0, entries=100))
    limit.judge("a", 0.0)
    for number in range(10_000):
        limit.judge(number, 0.0)
        if number % 50 == 0:
            assert limit.judge("a", 0.0) is DROP
        assert len(limit) <= 202


def test_a_clock_that_goes_back_takes_nothing_away() -> None:
    limit = ResponseLimit(LimitSettings(per_second=10, burst_seconds=1), now=100.0)
    assert limit.judge("a", 100.0) is SEND
    assert limit.judge("a", 50.0) is SEND
