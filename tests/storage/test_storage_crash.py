"""The switch that ends the process; that it does is seen by the fault tests."""

import pytest

from edgeproxy.storage import crash


def test_an_unknown_point_is_refused():
    with pytest.raises(KeyError):
        crash.arm("nowhere:1")


@pytest.mark.parametrize(("setting", "passes"), [("evicting:3", 3), ("evicting", 1), ("evicting:x", 1)])
def test_the_process_ends_at_the_pass_that_was_set(monkeypatch, setting, passes):
    ended = []
    monkeypatch.setattr(crash.os, "_exit", ended.append)
    crash.arm(setting)
    try:
        for number in range(1, passes + 1):
            crash.reach("body-data")
            assert not ended
            crash.reach("evicting")
            assert bool(ended) is (number == passes)
    finally:
        crash.arm(None)
    assert ended == [137]
