"""The model of a long way, with a clock that costs nothing."""

import itertools
from dataclasses import dataclass, field

import pytest

from benchmarks.wire import INITIAL_WINDOW, SEGMENT, Distance, EndKind, Flow, Lane, Timeline

MB = 1_000_000


@dataclass
class Out:
    """What came out of a flow, and when."""

    timeline: Timeline
    data: list[tuple[float, int]] = field(default_factory=list)
    ends: list[tuple[float, EndKind]] = field(default_factory=list)

    def take(self, data: memoryview) -> None:
        self.data.append((self.timeline.now, len(data)))

    def end(self, kind: EndKind) -> None:
        self.ends.append((self.timeline.now, kind))

    @property
    def count(self) -> int:
        return sum(count for _, count in self.data)

    def at(self, count: int) -> float:
        """When the byte with this number was there."""
        seen = 0
        for when, more in self.data:
            seen += more
            if seen >= count:
                return when
        raise AssertionError(f"only {seen} bytes came")


@dataclass
class Stand:
    """Connections over one lane. `step` is how often somebody looks: the outcome must not depend on it."""

    distance: Distance
    step: float = 0.001
    down: bool = True

    def __post_init__(self) -> None:
        self.timeline = Timeline()
        self.lane = Lane(self.timeline, self.distance, down=self.down)
        self.left: dict[Flow, int] = {}

    def flow(self, number: int, count: int, cut: int = 64 << 10) -> tuple[Flow, Out]:
        """A connection whose source has `count` bytes, written in pieces of `cut` as they are taken."""
        out = Out(self.timeline)
        flow = Flow(self.lane, self.distance, out, number=number, down=self.down)
        self.left[flow] = count
        self.cut = cut
        return flow, out

    def run(self, until: float) -> None:
        now = self.timeline.now
        while now < until:
            for flow, left in self.left.items():
                while left and not flow.is_full:
                    piece = min(left, self.cut)
                    flow.feed(bytes(piece))
                    left -= piece
                self.left[flow] = left
            now = min(until, now + self.step)
            self.timeline.run(now)


def test_a_byte_arrives_after_half_a_round_trip() -> None:
    stand = Stand(Distance(rtt=0.08))
    _, out = stand.flow(1, 1)
    stand.run(1.0)
    assert out.data == [(pytest.approx(0.04), 1)]


def test_all_connections_together_have_the_rate_in_equal_parts() -> None:
    stand = Stand(Distance(rtt=0.02, rate_down=10 * MB, slow_start=False))
    outs = [stand.flow(number, 10 * MB)[1] for number in range(4)]
    stand.run(2.01)
    counts = [out.count for out in outs]
    assert sum(counts) == pytest.approx(20 * MB, rel=0.01)
    assert min(counts) == pytest.approx(max(counts), rel=0.02)


def test_directions_have_rates_of_their_own() -> None:
    distance = Distance(rate_down=10 * MB, rate_up=1 * MB)
    up, down = Stand(distance, down=False), Stand(distance, down=True)
    _, slow = up.flow(1, 100 * MB)
    _, fast = down.flow(1, 100 * MB)
    up.run(1.0)
    down.run(1.0)
    assert (slow.count, fast.count) == (pytest.approx(1 * MB, rel=0.05), pytest.approx(10 * MB, rel=0.05))


def test_who_looks_seldom_loses_nothing() -> None:
    often, seldom = Stand(Distance(rtt=0.1, rate_down=10 * MB)), Stand(Distance(rtt=0.1, rate_down=10 * MB))
    _, first = often.flow(1, 5 * MB)
    _, second = seldom.flow(1, 5 * MB)
    seldom.step = 0.015
    often.run(2.0)
    seldom.run(2.0)
    assert second.at(5 * MB) == pytest.approx(first.at(5 * MB), abs=0.03)


def test_a_fresh_connection_doubles_with_each_round_trip() -> None:
    stand = Stand(Distance(rtt=0.1))
    _, out = stand.flow(1, 10 * MB)
    stand.run(0.5)
    arrived = [sum(n for when, n in out.data if when < 0.1 * trips - 0.01) for trips in (1, 2, 3, 4)]
    assert arrived == [INITIAL_WINDOW * (2**trips - 1) for trips in (1, 2, 3, 4)]


def test_the_window_grows_to_what_fits_on_the_way_and_no_further() -> None:
    stand = Stand(Distance(rtt=0.1, rate_down=10 * MB))
    flow, out = stand.flow(1, 100 * MB)
    stand.run(4.0)
    rate = (out.count - sum(n for when, n in out.data if when < 2.0)) / 2.0
    assert rate == pytest.approx(10 * MB, rel=0.02)
    assert flow.held_bytes < 2 * MB  # bandwidth x round trip, and a little that waits


def test_a_bounded_window_bounds_one_connection_and_several_have_several() -> None:
    stand = Stand(Distance(rtt=0.1, rate_down=100 * MB, window=MB, slow_start=False))
    _, alone = stand.flow(1, 100 * MB)
    stand.run(1.0)
    assert alone.count == pytest.approx(10 * MB, rel=0.1)
    stand = Stand(Distance(rtt=0.1, rate_down=100 * MB, window=MB, slow_start=False))
    several = [stand.flow(number, 100 * MB)[1] for number in range(4)]
    stand.run(1.0)
    assert sum(out.count for out in several) == pytest.approx(40 * MB, rel=0.1)


def test_a_connection_that_was_silent_begins_with_a_small_window_again() -> None:
    stand = Stand(Distance(rtt=0.1))
    flow, out = stand.flow(1, 5 * MB)
    stand.run(3.0)
    assert out.count == 5 * MB
    stand.run(30.0)
    stand.left[flow] = MB
    stand.run(30.06)
    assert out.count - 5 * MB == INITIAL_WINDOW


def test_jitter_delays_and_never_reorders() -> None:
    stand = Stand(Distance(rtt=0.02, rate_down=10 * MB, jitter=0.01, slow_start=False))
    _, out = stand.flow(1, MB)
    stand.run(1.0)
    times = [when for when, _ in out.data]
    assert times == sorted(times)
    assert out.count == MB
    assert 0.01 < times[0] < 0.0225
    assert len({round(b - a, 4) for a, b in itertools.pairwise(times)}) > 3


def test_what_comes_after_a_loss_waits_for_the_retransmission() -> None:
    stand = Stand(Distance(rtt=0.1, rate_down=10 * MB, loss=2e-4, seed=3, slow_start=False))
    flow, out = stand.flow(1, 20 * MB)
    stand.run(10.0)
    times = [when for when, _ in out.data]
    longest = max(b - a for a, b in itertools.pairwise(times))
    assert flow.stalls > 0
    assert longest == pytest.approx(0.3, abs=0.06)


def _cuts(seed: int, pieces: int, step: float) -> list[int]:
    """After how many bytes connections are cut."""
    stand = Stand(Distance(rtt=0.01, rate_down=50 * MB, cut_every=200_000, seed=seed), step)
    outs = [stand.flow(number, 5 * MB, pieces)[1] for number in range(8)]
    stand.run(5.0)
    assert [out.ends[0][1] for out in outs] == ["cut"] * 8
    return [out.count for out in outs]


def test_a_seed_settles_everything_whatever_the_pieces_and_the_time() -> None:
    assert _cuts(1, 64 << 10, 0.001) == _cuts(1, 1000, 0.01)
    assert _cuts(1, 64 << 10, 0.001) != _cuts(2, 64 << 10, 0.001)


def test_losses_are_where_the_seed_puts_them() -> None:
    def stalls(seed: int, pieces: int) -> list[int]:
        stand = Stand(Distance(rtt=0.01, rate_down=50 * MB, loss=1e-3, seed=seed), 0.002)
        flows = [stand.flow(number, 3 * MB, pieces)[0] for number in range(6)]
        stand.run(20.0)
        return [flow.stalls for flow in flows]

    assert stalls(5, 64 << 10) == stalls(5, 3000)
    assert stalls(5, 64 << 10) != stalls(6, 64 << 10)


def test_a_cut_comes_after_the_very_byte() -> None:
    stand = Stand(Distance(rtt=0.02, cut_after=100_001))
    _, out = stand.flow(1, MB)
    stand.run(1.0)
    assert out.count == 100_001
    assert out.ends == [(pytest.approx(out.at(100_001)), "cut")]


@pytest.mark.parametrize("kind", ["end", "reset"])
def test_an_end_comes_out_once_and_after_the_bytes(kind: EndKind) -> None:
    stand = Stand(Distance(rtt=0.1, rate_down=MB))
    flow, out = stand.flow(1, 0)
    flow.feed(bytes(500_000))
    flow.finish(kind)
    flow.finish("end")
    flow.feed(b"too late")
    stand.run(5.0)
    assert out.count == 500_000
    assert out.ends == [(pytest.approx(out.at(500_000), abs=0.002), kind)]


def test_a_reset_comes_out_even_after_an_end() -> None:
    stand = Stand(Distance(rtt=0.1))
    flow, out = stand.flow(1, 0)
    flow.finish("end")
    stand.run(1.0)
    flow.finish("reset")
    stand.run(2.0)
    assert [kind for _, kind in out.ends] == ["end", "reset"]


def test_a_sink_that_takes_nothing_stops_the_source() -> None:
    stand = Stand(Distance(rtt=0.05, rate_down=10 * MB))
    flow, out = stand.flow(1, 100 * MB)
    stand.run(1.0)
    flow.hold()
    before = out.count
    stand.run(10.0)
    assert out.count == before
    assert flow.is_full
    assert flow.held_bytes < 2 * MB
    flow.release()
    assert out.count > before
    stand.run(11.0)
    assert out.count - before > 9 * MB


def test_the_window_holds_at_least_what_a_connection_begins_with() -> None:
    assert Distance(rtt=0.001, rate_down=1000).window_max(1000) == INITIAL_WINDOW
    assert Distance(rtt=0.1, rate_down=10 * MB, window=SEGMENT * 100).window_max(10 * MB) == SEGMENT * 100
