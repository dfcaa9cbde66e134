from benchmarks.report import Result
from benchmarks.restart_figures import Restarted, report


def _restarted(first_hit: float | None = 0.4, missed: int = 0, wrong: tuple[str, ...] = ()) -> Restarted:
    return Restarted(0.3, 0.35, first_hit, 1 if first_hit is None else 0, 200, missed, list(wrong))


def _reported(**found: list[Restarted]) -> Result:
    result = Result("restart", "How soon?", [], machine={})
    report(result, found, "stored")
    return result


def test_the_first_hit_is_judged_by_a_second_and_by_the_soonest() -> None:
    result = _reported(edgeproxy=[_restarted()], nginx=[_restarted(0.1)], squid=[_restarted(0.9)])
    assert [limit.met for limit in result.limits] == [True, True, True, False]
    assert result.limits[-1].measured == "0.400 s, nginx 0.100 s"


def test_a_server_that_starts_empty_has_no_first_hit_to_compare() -> None:
    empty = [_restarted(None, 200), _restarted(None, 200)]
    result = _reported(edgeproxy=[_restarted()] * 2, varnish=empty)
    assert result.tables[0].rows[1][3] == "none in 2 of 2"
    assert [(it.what, it.theirs) for it in result.comparisons] == [
        ("objects lost by kill -9, of a sample", 200)
    ]
    assert "varnish first hit after kill -9 s" not in result.data["samples"]


def test_wrong_bytes_of_the_node_fail_the_run_and_those_of_a_peer_do_not() -> None:
    wrong = _restarted(wrong=("WrongBytes: /b/1/x: wrong bytes at the start",))
    assert _reported(edgeproxy=[_restarted()], squid=[wrong]).failures == []
    result = _reported(edgeproxy=[wrong])
    assert len(result.failures) == 1
    assert result.limits[1].met is False


def test_what_the_kill_lost_is_a_limit_not_met() -> None:
    assert [limit.met for limit in _reported(edgeproxy=[_restarted(missed=1)]).limits] == [True, True, False]
