"""Names of a request for logs and upstreams."""

from edgeproxy.serving.trace import RequestIds, trace_id, traceparent


def test_ids_and_traces_are_accepted_if_sane_and_made_otherwise() -> None:
    ids = RequestIds()
    assert ids.accepted("abc-1") == "abc-1"
    for bad in ("", "a b", "a\n", "x" * 129, "\u00e9"):
        assert ids.accepted(bad) not in (bad, ids.make())
    good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert traceparent(good) == good
    for bad in (
        "",
        good[:-1],
        good + "0",
        "ff" + good[2:],
        good.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32),
    ):
        made = traceparent(bad)
        assert made != bad
        assert traceparent(made) == made


def test_ids_differ_within_a_process_and_between_processes() -> None:
    one, other = RequestIds(), RequestIds()
    made = [ids.make() for ids in (one, other) for _ in range(100)]
    assert len(set(made)) == 200
    assert all(one.accepted(text) == text for text in made)


def test_the_trace_id_is_the_second_part() -> None:
    made = traceparent("")
    assert trace_id(made) == made.split("-")[1]
    assert made.endswith("-00")  # not sampled
    assert trace_id("") == ""
