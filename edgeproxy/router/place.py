"""Points on the Earth, and how uncertain they are."""

from __future__ import annotations

import math
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
    lat1, lat2 = math.radians(one.latitude), math.radians(other.latitude)
    half_lat = (lat2 - lat1) / 2
    half_lon = math.radians(other.longitude - one.longitude) / 2
    chord = math.sin(half_lat) ** 2 + math.cos(lat1) * math.cos(lat2) * math.sin(half_lon) ** 2
    return 2 * EARTH_RADIUS_KM * math.asin(min(1.0, math.sqrt(chord)))


def light_ms(distance: float) -> float:
    """The least round trip that physics allows over `distance` km of fibre."""
    return distance / FIBRE_KM_PER_MS
