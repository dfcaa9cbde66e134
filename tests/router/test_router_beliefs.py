import pytest
from router_world import NOW, PLACES, client_at

from edgeproxy.router.beliefs import Beliefs, prior_of
from edgeproxy.router.client import Whereabouts, identify, parse
from edgeproxy.router.learner import Learner
from edgeproxy.router.place import Place

BERLIN, TOKYO = client_at("berlin"), client_at("tokyo")


def test_without_observations_distance_is_all_there_is() -> None:
    near = Beliefs().estimate(BERLIN, "paris", PLACES["paris"], NOW)
    assert near.rtt == near.prior == pytest.approx(10 + 1.5 * 8.78, rel=0.01)
    assert near.source == "distance"
    assert near.deviation == pytest.approx(0.3 * near.rtt)
    same = Beliefs().estimate(client_at("berlin", asn=64500), "paris", PLACES["paris"], NOW, asn=64500)
    assert same.rtt == pytest.approx(0.8 * near.rtt)


def test_a_place_that_is_a_country_makes_unsure_and_not_far() -> None:
    sure, spread, _ = prior_of(Place(50, 10), PLACES["paris"], access_ms=10)
    unsure, wide, _ = prior_of(Place(50, 10, 2000), PLACES["paris"], access_ms=10)
    assert (unsure, wide, spread) == (sure, 30.0, 0.0)
    nowhere, _, distance = prior_of(None, PLACES["paris"], access_ms=10)
    assert (nowhere, distance) == (85.0, None)


def test_what_was_seen_of_the_prefix_counts_more_the_more_there_is() -> None:
    learner = Learner()
    estimates = []
    for _ in range(20):
        learner.told(BERLIN, "paris", PLACES["paris"], 80.0, NOW)
        estimates.append(learner.beliefs().estimate(BERLIN, "paris", PLACES["paris"], NOW))
    assert [e.rtt for e in estimates] == sorted(e.rtt for e in estimates)
    assert estimates[-1].rtt == pytest.approx(80, rel=0.1)
    assert estimates[-1].deviation < estimates[0].deviation * 2
    assert estimates[-1].source == "prefix"


def test_neighbours_tell_something_and_the_antipodes_next_to_nothing() -> None:
    learner = Learner()
    for number in range(2, 8):
        learner.told(client_at("berlin", number=number), "paris", PLACES["paris"], 80.0, NOW)
    beliefs = learner.beliefs()
    prior = Beliefs().estimate(BERLIN, "paris", PLACES["paris"], NOW)
    neighbour = beliefs.estimate(BERLIN, "paris", PLACES["paris"], NOW)
    assert neighbour.rtt > 1.5 * prior.rtt
    assert neighbour.source == "neighbours"
    far = beliefs.estimate(TOKYO, "paris", PLACES["paris"], NOW)
    assert far.source == "everybody"


def test_an_as_in_common_counts_before_the_neighbourhood() -> None:
    learner = Learner()
    for number in range(2, 12):
        learner.told(client_at("berlin", number=number, asn=64500), "paris", PLACES["paris"], 90.0, NOW)
        learner.told(client_at("berlin", number=number + 50, asn=64501), "paris", PLACES["paris"], 20.0, NOW)
    beliefs = learner.beliefs()
    slow = beliefs.estimate(client_at("berlin", asn=64500), "paris", PLACES["paris"], NOW)
    fast = beliefs.estimate(client_at("berlin", asn=64501), "paris", PLACES["paris"], NOW)
    assert (slow.source, fast.source) == ("AS", "AS")
    assert slow.rtt > 1.5 * fast.rtt


def test_old_observations_fade() -> None:
    learner = Learner()
    for _ in range(10):
        learner.told(BERLIN, "paris", PLACES["paris"], 200.0, NOW)
    beliefs = learner.beliefs()
    rtts = [
        beliefs.estimate(BERLIN, "paris", PLACES["paris"], NOW + hours * 3600).rtt for hours in (0, 1, 48)
    ]
    assert rtts == sorted(rtts, reverse=True)


def test_a_client_of_which_nothing_is_known_gets_an_estimate_too() -> None:
    nobody = identify(None, _Nowhere())
    estimate = Beliefs().estimate(nobody, "paris", PLACES["paris"], NOW)
    assert estimate.rtt == 85
    assert estimate.deviation > 60


class _Nowhere:
    def whereabouts(self, address: object) -> Whereabouts:
        return Whereabouts()


def test_private_clients_learn_by_their_prefix() -> None:
    address = parse("10.1.2.3")
    client = identify(address, _Nowhere())
    learner = Learner()
    for _ in range(20):
        learner.told(client, "paris", PLACES["paris"], 2.0, NOW)
    assert learner.beliefs().estimate(client, "paris", PLACES["paris"], NOW).rtt < 5
