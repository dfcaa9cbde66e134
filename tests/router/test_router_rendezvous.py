from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.router.rendezvous import ranked, share

NAMES = [(f"n{n}", 1.0) for n in range(5)]


@given(st.text(max_size=20), st.sampled_from(NAMES))
def test_who_goes_moves_its_own_keys_only(key: str, gone: tuple[str, float]) -> None:
    before = ranked(key, NAMES)
    after = ranked(key, [one for one in NAMES if one is not gone])
    assert after == [name for name in before if name != gone[0]]


def test_weights_are_shares() -> None:
    first = Counter(ranked(str(n), [("a", 1.0), ("b", 3.0), ("c", 0.0)])[0] for n in range(4000))
    assert first["b"] / first["a"] == pytest.approx(3, rel=0.15)
    assert "c" not in first


def test_shares_lie_between_nothing_and_all() -> None:
    assert all(0 < share(str(n)) < 1 for n in range(1000))
    assert share("a", "b") != share("ab", "")
