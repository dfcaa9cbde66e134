"""Round trips as they are told, and which of them can be true. Pure."""

from __future__ import annotations

import ipaddress

from edgeproxy.router.client import CELL_DEGREES, Address, Client, Whereabouts
from edgeproxy.router.place import Place, distance_km, light_ms

NODE_ERROR_KM = 50.0  # a node's place is told by its operator, in degrees with few digits
CLIENT_ERROR_KM = 200.0  # a client's is a guess, whatever the table says


def network_of(text: str) -> tuple[Address | None, int]:
    """The address and length of a prefix; None for what is none."""
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        return None, 0
    return network.network_address, network.prefixlen


def is_possible(one: Place | None, other: Place | None, rtt: float) -> bool:
    """Whether light can have gone there and back in `rtt` ms. A place is uncertain by its radius."""
    if one is None or other is None:
        return True
    error = CLIENT_ERROR_KM + NODE_ERROR_KM + one.radius_km + other.radius_km
    return rtt >= light_ms(max(0.0, distance_km(one, other) - error))


def client_in_cell(place: Place) -> Client:
    """Some client at a place, of which nothing else is known: an observation of its neighbourhood."""
    cell = ("", int(place.latitude // CELL_DEGREES), int(place.longitude // CELL_DEGREES))
    return Client(None, "", Whereabouts(place=place), (None, None, None, cell, ""))
