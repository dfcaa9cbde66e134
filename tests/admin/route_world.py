"""The status of a router, as its page gets it."""

from __future__ import annotations

from typing import Any


def node(name: str, latitude: float | None, longitude: float | None, **changes: Any) -> dict[str, Any]:
    return {
        "name": name,
        "url": f"http://{name}.example:8080",
        "region": "XX",
        "state": "up",
        "utilisation_ratio": 0.25,
        "in_flight": 3,
        "sent": 1200,
        "latitude": latitude,
        "longitude": longitude,
        **changes,
    }


def flow(
    country: str, where: str, count: int, latitude: float | None, longitude: float | None
) -> dict[str, Any]:
    return {
        "country": country,
        "node": where,
        "count": count,
        "latitude": latitude,
        "longitude": longitude,
    }


def status(**changes: Any) -> dict[str, Any]:
    return {
        "map": {"generation": 42, "age_seconds": 3.2, "is_old": False},
        "nodes": [
            node("paris", 48.9, 2.4, utilisation_ratio=0.62),
            node("frankfurt", 50.1, 8.7, state="degraded"),
            node("tokyo", 35.7, 139.7, state="down", utilisation_ratio=0.0, in_flight=0),
            node("denver", 39.7, -105.0),
            node("sao-paulo", -23.5, -46.6, state="draining"),
            node("sydney", -33.9, 151.2),
        ],
        "flows": [
            flow("DE", "paris", 812, 52.5, 13.4),
            flow("JP", "sydney", 402, 35.7, 139.7),
            flow("US", "denver", 9000, 38.9, -77.0),
            flow("AR", "denver", 12, -34.6, -58.4),
            flow("", "paris", 4, None, None),
            flow("CN", "origin", 77, 39.9, 116.4),
        ],
        "shadow": [
            {
                "policy": "round-robin",
                "decisions": 31,
                "different": 16,
                "live_mean_ms": 87.14,
                "shadow_mean_ms": 155.76,
            }
        ],
        "complaints": [{"node": "tokyo", "how": "asked again", "count": 9}],
        "refusals": [{"node": "tokyo", "reason": "down"}, {"node": "sao-paulo", "reason": "draining"}],
        "countries": [(52.5, 13.4, 400.0), (38.9, -77.0, 4000.0), (-25.0, 134.0, 2000.0), (0.0, 37.0, 500.0)],
        **changes,
    }
