from benchmarks.hit_figures import CEILING, Case, conclude
from benchmarks.report import Result

RAM, DISK = Case(1 << 10, False), Case(1 << 30, True)


def _run(rate: float, busy: float = 1.0, load_busy: float = 0.5) -> dict[str, float]:
    return {
        "requests_per_second": rate,
        "bytes_per_second": rate * 1e6,
        "p50_us": 1000.0,
        "p99_us": 2000.0,
        "busy": busy,
        "load_busy": load_busy,
        "failures": 0,
    }


def _concluded(
    case: Case, ceiling: float = 0.0, load_busy: float = 0.95, **runs: list[dict[str, float]]
) -> Result:
    result = Result("hits", "How?", [], machine={})
    conclude(result, {case: runs | ({CEILING: [_run(ceiling, 1.0, load_busy)] * 3} if ceiling else {})})
    return result


def test_the_fastest_of_the_others_is_what_is_to_be_reached() -> None:
    result = _concluded(RAM, edgeproxy=[_run(100)], varnish=[_run(50)], squid=[_run(125)])
    assert [(limit.measured, limit.met) for limit in result.limits] == [("0.80x squid", False)]
    assert [(it.peer, it.ours, it.theirs) for it in result.comparisons] == [
        ("varnish", 100, 50),
        ("squid", 100, 125),
    ]


def test_nginx_is_to_be_twice_as_slow_at_1_kib() -> None:
    result = _concluded(RAM, edgeproxy=[_run(199)], nginx=[_run(100)])
    assert [limit.met for limit in result.limits] == [False, True]


def test_where_a_server_was_not_busy_its_processor_time_is_compared() -> None:
    result = _concluded(RAM, edgeproxy=[_run(100, busy=0.5)], squid=[_run(100)])
    assert result.limits[0].measured == "2.00x squid by processor time"
    assert result.comparisons[0].ours == 200


def test_a_busy_load_beside_a_server_that_is_not_is_told_as_the_limit() -> None:
    result = _concluded(RAM, edgeproxy=[_run(100, 0.8, 0.98)], squid=[_run(90, 0.95, 0.98)])
    assert result.bounded == ["edgeproxy, 1 KiB from RAM"]


def test_samples_are_named_with_server_case_and_unit() -> None:
    result = _concluded(DISK, edgeproxy=[_run(100), _run(120)])
    assert result.data["samples"] == {"edgeproxy 1 GiB from disk MB/s": [100, 120]}
    assert list(_concluded(RAM, squid=[_run(100)]).data["samples"]) == [
        "squid 1 KiB from RAM requests/s",
        "squid 1 KiB from RAM p99 ms",
    ]
    assert [plot.title for plot in result.plots] == ["Hits from disk"]


def test_a_rate_near_that_of_the_load_alone_is_the_limit_of_the_load() -> None:
    result = _concluded(RAM, ceiling=110, edgeproxy=[_run(100)] * 3, squid=[_run(50)] * 3)
    assert result.bounded == ["edgeproxy, 1 KiB from RAM"]
    assert [it.peer for it in result.comparisons] == ["squid"]
    assert [row[0] for row in result.tables[0].rows] == ["edgeproxy", "squid", CEILING]


def test_a_rate_of_a_load_that_was_not_busy_bounds_nothing() -> None:
    result = _concluded(RAM, ceiling=90, load_busy=0.6, edgeproxy=[_run(100)] * 3)
    assert result.bounded == []


def test_who_failed_requests_is_not_compared() -> None:
    failed = _run(1000) | {"failures": 1}
    result = _concluded(RAM, edgeproxy=[_run(100)], squid=[failed], varnish=[_run(50)])
    assert [it.peer for it in result.comparisons] == ["varnish"]
    assert result.limits[-1].measured == "2.00x varnish"
