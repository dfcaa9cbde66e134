"""Points on the Earth, and how uncertain they are."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

EARTH_RADIUS_KM = 6371.0
FIBRE_KM_PER_MS = 100.0  # a round trip through fibre: 200 km in a millisecond, there and back


@dataclass(frozen=True, slots=True)
class Place:
    """Degrees north and east. What is there may be as far as `radius_km` away: of a country it is the
    distance of its farthest part."""

    latitude: float
    longitude: float
    radius_km: float = 0.0


def distance_km(one: Place, other: Place) -> float:
    """Along the great circle (haversine)."""
    return distances_from(one)(other)


def distances_from(one: Place) -> Callable[[Place], float]:
    """`distance_km` for many others."""
    lat1, lon1 = math.radians(one.latitude), one.longitude
    across, sin, cos, radians = math.cos(lat1), math.sin, math.cos, math.radians

    def distance(other: Place) -> float:
        lat2 = radians(other.latitude)
        half_lat, half_lon = sin((lat2 - lat1) / 2), sin(radians(other.longitude - lon1) / 2)
        chord = half_lat * half_lat + across * cos(lat2) * half_lon * half_lon
        return 2 * EARTH_RADIUS_KM * math.asin(math.sqrt(chord) if chord < 1.0 else 1.0)

    return distance


def light_ms(distance: float) -> float:
    """The least round trip that physics allows over `distance` km of fibre."""
    return distance / FIBRE_KM_PER_MS
