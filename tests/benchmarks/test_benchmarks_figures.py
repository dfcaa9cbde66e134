import pytest

from benchmarks import bodies, load, report
from benchmarks.origin import asked_slice
from benchmarks.peers import Haproxy


def test_a_body_is_the_same_bytes_however_it_is_cut() -> None:
    path = bodies.path(3_000_000, "a")
    whole = b"".join(bytes(bodies.piece(path, at, 500_000)) for at in range(0, 3_000_000, 500_000))
    assert all(bodies.matches(path, at, whole[at : at + 70_001]) for at in range(0, 3_000_000, 70_001))


def test_a_body_shifted_by_one_byte_or_of_another_name_does_not_match() -> None:
    path = bodies.path(1 << 20, "a")
    data = bytes(bodies.piece(path, 0, 1000))
    assert not bodies.matches(path, 1, data)
    assert not bodies.matches(path, 1 << 20, data)
    assert not bodies.matches(bodies.path(1 << 20, "b"), 0, data)


def test_the_query_of_a_target_does_not_change_its_bytes() -> None:
    assert bytes(bodies.piece("/b/9/a?rate=1", 0, 9)) == bytes(bodies.piece("/b/9/a", 0, 9))


@pytest.mark.parametrize(
    ("text", "size"), [("1KiB", 1024), ("64KiB", 65536), ("1MiB", 1 << 20), ("1GiB", 1 << 30), ("7", 7)]
)
def test_sizes_are_read_with_their_unit(text: str, size: int) -> None:
    assert bodies.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "KiB", "1kb", "-1", "1.5MiB"])
def test_a_size_without_a_known_unit_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        bodies.parse_size(text)


@pytest.mark.parametrize(
    ("field", "asked"),
    [
        ("", (0, 100, False)),
        ("bytes=0-9", (0, 10, True)),
        ("bytes=90-", (90, 100, True)),
        ("bytes=90-500", (90, 100, True)),
        ("bytes=-10", (90, 100, True)),
        ("bytes=100-", (0, 100, False)),
        ("bytes=0-1,3-4", (0, 100, False)),
    ],
)
def test_the_origin_gives_one_satisfiable_range_or_the_whole(
    field: str, asked: tuple[int, int, bool]
) -> None:
    assert asked_slice(field, 100) == asked


H2LOAD = """progress: 100% done

finished in 981.20ms, 5000.00 req/s, 103.71MB/s
requests: 5001 total, 5001 started, 5001 done, 4996 succeeded, 5 failed, 2 errored, 1 timeout
status codes: 4996 2xx, 0 3xx, 3 4xx, 0 5xx
traffic: 109.67MB (115000392) total, 10.30MB (10800000) headers (space savings 39.66%), 97.66MB (1) data
                     min         max         mean         sd        +/- sd
time for request:       27us     44.38ms      1.29ms       419us    85.07%
time for connect:      137us       493us       291us       113us    75.00%
"""


def test_the_summary_of_h2load_is_found_in_its_output() -> None:
    run = load.parse_h2load(H2LOAD)
    assert (run.seconds, run.requests, run.bytes) == (pytest.approx(0.9812), 4996, 115000392)
    assert (run.errors, run.bad_status, run.timeouts) == (2, 3, 1)
    assert (run.p50_us, run.max_us) == (pytest.approx(1290), pytest.approx(44380))
    with pytest.raises(ValueError):
        load.parse_h2load("no such host")


def test_the_summary_of_wrk_is_found_in_its_output() -> None:
    run = load.parse_wrk(
        'Running 1s test\n\nwrk-json {"seconds":2.0,"requests":10,"bytes":4000,"errors":1,"bad_status":2,'
        '"timeouts":3,"p50_us":5,"p99_us":6,"p999_us":7,"max_us":8}\n'
    )
    assert (run.requests_per_second, run.bytes_per_second, run.failures) == (5.0, 2000.0, 6)


def test_output_of_wrk_without_a_summary_is_an_error() -> None:
    with pytest.raises(ValueError, match="unable to connect"):
        load.parse_wrk("unable to connect to 127.0.0.1:1")


def test_a_ratio_is_the_median_of_the_ratios_of_each_round() -> None:
    # The third round was slow for both; comparing medians would give 100 / 40.
    assert report.ratio([100, 100, 10], [50, 40, 5]) == 2.0


def test_haproxy_refuses_bodies_larger_than_half_of_its_cache() -> None:
    assert "half" in Haproxy(512).refuses(1 << 30)
    assert not Haproxy(4095).refuses(1 << 30)


def test_method_and_machine_stand_before_any_figure() -> None:
    text = report.render(
        {
            "name": "x",
            "question": "How?",
            "date": "today",
            "machine": {
                "cpu": "C",
                "cores": 2,
                "memory_gib": 1,
                "system": "L",
                "load_average": [0.1],
                "versions": {"nginx": "1"},
            },
            "method": ["thus"],
            "skipped": ["haproxy: is not installed"],
            "tables": [{"title": "1 KiB", "columns": ["server"], "rows": [["figure"]]}],
            "limits": [{"what": "w", "limit": ">= 1x", "measured": "0.5x", "met": False}],
        }
    )
    order = [text.index(word) for word in ("today", "nginx 1", "thus", "is not installed", "figure", "0.5x")]
    assert order == sorted(order)
    assert "**no**" in text
