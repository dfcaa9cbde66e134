from benchmarks.range_costs import KINDS, QUICK, Cost, Random, Transfer
from benchmarks.range_figures import report
from benchmarks.range_measured import Measured
from benchmarks.ranged import Fetched, Fetching, Part
from benchmarks.report import Result

MIB = 1 << 20
TOUCHED = 4 * MIB


def _measured(
    origin_bytes: int = TOUCHED,
    problem: str = "",
    again: float | None = 0.0,
    is_whole: bool = True,
    milliseconds: float = 3.0,
    unfinished: int = 0,
) -> Measured:
    one = Fetched(Part(0, MIB), MIB, 0.01, 0.02, problem)
    random = Random(Fetching([one], 1.0, unfinished), Cost(origin_bytes, 1, MIB, TOUCHED, 0, 0), again, [])
    transfer = Transfer(1e9, is_whole, 1.0, [], 1.0, 0.5)
    first = {(rate, kind): [milliseconds] for rate in (0, 32 * MIB) for kind in KINDS}
    return Measured([random], [{"plain": transfer, "ranges": transfer}], first)


def _reported(**found: Measured) -> Result:
    result = Result("ranges", "What?", [], machine={})
    report(result, found, QUICK)
    return result


def test_a_node_that_fetches_what_is_touched_has_met_all() -> None:
    result = _reported(edgeproxy=_measured(), direct=_measured(again=1.0, milliseconds=0.5))
    assert [limit.met for limit in result.limits] == [True] * 9
    assert result.failures == []


def test_a_first_byte_is_judged_after_that_of_the_origin() -> None:
    late = _reported(edgeproxy=_measured(milliseconds=5.6), direct=_measured(milliseconds=0.5))
    assert [limit.met for limit in late.limits if limit.what.endswith("after the origin's own")] == [
        False
    ] * 4
    alone = _reported(edgeproxy=_measured())
    assert [limit.met for limit in alone.limits if limit.what.endswith("after the origin's own")] == [
        None
    ] * 4


def test_wrong_bytes_of_the_node_fail_the_run_and_those_of_a_peer_stand_in_the_table() -> None:
    wrong = "wrong bytes within 5 from 7"
    result = _reported(edgeproxy=_measured(), squid=_measured(problem=wrong, again=None, is_whole=False))
    assert result.failures == []
    assert result.tables[0].rows[1][6] == "0 of 1"
    assert result.tables[2].rows[1][6] == "**no**"
    failed = _reported(edgeproxy=_measured(problem=wrong, is_whole=False))
    assert len(failed.failures) == 3


def test_only_who_stores_ranges_is_compared_by_what_the_origin_sent() -> None:
    result = _reported(edgeproxy=_measured(), nginx=_measured(2 * MIB), squid=_measured(MIB, again=1.0))
    peers = {it.what: it.peer for it in result.comparisons if "origin bytes" in it.what}
    assert peers == {"random ranges of a cold body: origin bytes / bytes asked for": "nginx"}
    assert {it.peer for it in result.comparisons if it.unit == "MB/s"} == {"nginx", "squid"}


def test_a_server_that_was_stopped_is_told() -> None:
    result = _reported(edgeproxy=_measured(), varnish=_measured(unfinished=3, again=None))
    assert result.tables[0].rows[1][6:8] == ["1 of 4", "1.0 (stopped)"]


def test_a_figure_of_the_node_is_judged_by_that_of_the_best_peer() -> None:
    result = _reported(
        edgeproxy=_measured(4 * MIB), nginx=_measured(2 * MIB, milliseconds=9.0), squid=_measured(3 * MIB)
    )
    judged = {limit.what: limit for limit in result.limits if limit.what.endswith("against the best")}
    sent = judged["random ranges of a cold body: origin bytes / bytes asked for, against the best"]
    assert (sent.measured, sent.met) == ("4 times, nginx 2 times", False)
    first = judged["first byte of a cold range, unknown object, against the best"]
    assert (first.measured, first.met) == ("3 ms, squid 3 ms", True)
    assert judged["a cold body, plain GET, against the best"].met
