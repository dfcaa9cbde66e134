from __future__ import annotations

import pytest
from router.router_world import PLACES, client_at

from edgeproxy.router.place import Place
from edgeproxy.router.samples import client_in_cell, is_possible, network_of


@pytest.mark.parametrize(
    ("text", "bits"),
    [("8.8.8.0/24", 24), ("2001:db8::/48", 48), ("8.8.8.8/24", 0), ("8.8.8.8", 32), ("x", 0), ("", 0)],
)
def test_a_prefix_is_read_strictly(text: str, bits: int) -> None:
    assert network_of(text)[1] == bits


@pytest.mark.parametrize(
    ("one", "other", "rtt", "possible"),
    [
        ("berlin", "paris", 8.0, True),
        ("berlin", "tokyo", 20.0, False),
        ("berlin", "tokyo", 90.0, True),
        ("berlin", "berlin", 0.1, True),
    ],
)
def test_nothing_is_faster_than_light(one: str, other: str, rtt: float, possible: bool) -> None:
    assert is_possible(PLACES[one], PLACES[other], rtt) is possible


def test_a_wide_country_allows_more() -> None:
    wide = Place(PLACES["denver"].latitude, PLACES["denver"].longitude, radius_km=9000.0)
    assert is_possible(wide, PLACES["berlin"], 1.0)
    assert is_possible(None, PLACES["berlin"], 0.1)


def test_a_client_in_a_cell_is_a_neighbour_of_clients_there() -> None:
    client = client_in_cell(PLACES["berlin"])
    real = client_at("berlin")
    assert client.groups[3] is not None
    assert real.groups[3] is not None
    assert client.groups[3][1:] == real.groups[3][1:]  # type: ignore[index]
    assert client.place == PLACES["berlin"]
