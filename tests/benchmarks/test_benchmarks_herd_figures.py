from benchmarks.herd_figures import SECONDS_MAX, Herd, report
from benchmarks.report import Result

CLIENTS = 10


def _herd(
    seconds: float = 2.0, complete: int = CLIENTS, late_ms: float | None = 5.0, load_busy: float = 0.5
) -> Herd:
    ratio = 1.0
    return Herd(
        1, 1 << 20, ratio, complete, CLIENTS - complete, seconds, 9.0, 0.5, late_ms, 1.0, 80.0, 0.5, load_busy
    )


def _reported(**found: Herd) -> Result:
    result = Result("herd", "What?", [], machine={})
    report(result, {name: [herd] * 3 for name, herd in found.items()}, CLIENTS, "a herd")
    return result


def test_a_node_that_serves_its_herd_as_soon_as_the_best_has_met_all() -> None:
    result = _reported(edgeproxy=_herd(2.0), varnish=_herd(2.0), squid=_herd(9.0))
    assert [limit.met for limit in result.limits] == [True] * 5
    assert result.failures == []


def test_a_server_that_is_sooner_is_named_with_its_figure() -> None:
    result = _reported(edgeproxy=_herd(3.0), varnish=_herd(2.0))
    (limit,) = (limit for limit in result.limits if not limit.met)
    assert limit.measured == "3.0 s, varnish 2.0 s"


def test_wrong_bytes_of_the_node_fail_the_run_and_those_of_a_peer_stand_in_the_table() -> None:
    result = _reported(edgeproxy=_herd(), squid=_herd(complete=9))
    assert result.failures == []
    assert result.tables[0].rows[1][3:5] == ["27 of 30", "3"]
    failed = _reported(edgeproxy=_herd(complete=9), squid=_herd())
    assert len(failed.failures) == 3


def test_who_was_stopped_is_not_compared_by_its_time() -> None:
    result = _reported(edgeproxy=_herd(), haproxy=_herd(SECONDS_MAX, late_ms=None))
    assert result.comparisons == []
    assert result.tables[0].rows[1][8] == "no answer 3x"


def test_a_late_joiner_without_an_answer_fails_the_run() -> None:
    assert len(_reported(edgeproxy=_herd(late_ms=None)).failures) == 3


def test_samples_tell_their_unit_and_a_busy_load_is_named() -> None:
    result = _reported(edgeproxy=_herd(load_busy=0.99))
    assert list(result.data["samples"]) == [
        "edgeproxy herd of 10 s",
        "edgeproxy herd origin bytes",
        "edgeproxy herd clients failed",
        "edgeproxy late joiner's first byte ms",
    ]
    assert result.bounded == ["edgeproxy, all done"]
