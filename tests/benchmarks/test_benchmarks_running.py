import pytest

from benchmarks import running


def test_rounds_end_when_another_as_long_would_take_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(running.time, "monotonic", lambda: clock[0])
    skipped: list[str] = []
    done = []
    for turn in running.rounds(5, skipped, seconds_max=100.0):
        done.append(turn)
        clock[0] += 40.0
    assert done == [0, 1]
    assert skipped == ["3 of 5 rounds: there was no time for them"]


def test_one_round_is_always_done_and_all_where_there_is_time() -> None:
    skipped: list[str] = []
    assert list(running.rounds(3, skipped)) == [0, 1, 2]
    assert list(running.rounds(1, skipped, seconds_max=0.0)) == [0]
    assert skipped == []


def test_an_unknown_peer_is_named_with_those_there_are() -> None:
    with pytest.raises(SystemExit, match=r"unknown peer 'lighttpd'; there are edgeproxy, nginx"):
        running.chosen("nginx,lighttpd")
