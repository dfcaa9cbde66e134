import pytest
from router_world import PLACES

from edgeproxy.router.place import Place, distance_km, light_ms


@pytest.mark.parametrize(
    ("one", "other", "km"),
    [("berlin", "paris", 878), ("berlin", "tokyo", 8900), ("tokyo", "sydney", 7830), ("berlin", "berlin", 0)],
)
def test_distances_are_those_of_the_globe(one: str, other: str, km: float) -> None:
    assert distance_km(PLACES[one], PLACES[other]) == pytest.approx(km, rel=0.01, abs=0.1)
    assert distance_km(PLACES[other], PLACES[one]) == pytest.approx(distance_km(PLACES[one], PLACES[other]))


def test_the_other_side_of_the_world_is_half_way_round() -> None:
    assert distance_km(Place(0, 0), Place(0, 180)) == pytest.approx(20015, rel=0.001)
    assert distance_km(Place(90, 0), Place(-90, 77)) == pytest.approx(20015, rel=0.001)
    assert light_ms(20015) == pytest.approx(200, rel=0.01)
