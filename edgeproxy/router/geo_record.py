"""What a record of a geographic database says, told by its fields: every maker has another form.

    country.iso_code, location.{latitude, longitude, accuracy_radius}    MaxMind, DB-IP
    country_code (or country), lat | latitude, lng | longitude           IPinfo, the flat builds
    autonomous_system_number, or asn as "AS15169"                        all of them

A record may hold anything; what does not look right is not there."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgeproxy.router.place import Place

_COUNTRY = re.compile(r"[A-Z]{2}")
_ASN = re.compile(r"(?:AS)?([1-9][0-9]{0,9})")
RADIUS_KM_MOST = 20_000.0


@dataclass(frozen=True, slots=True)
class GeoRecord:
    """`asn` 0 and "" mean that it does not say."""

    country: str = ""
    place: Place | None = None
    asn: int = 0

    @property
    def says_something(self) -> bool:
        return bool(self.country or self.asn or self.place)


NOTHING = GeoRecord()


def read_record(record: object) -> GeoRecord:
    if not isinstance(record, Mapping):
        return NOTHING
    return GeoRecord(_country(record), _place(record), _asn(record))


def _country(record: Mapping[str, Any]) -> str:
    told = record.get("country")
    if isinstance(told, Mapping):
        told = told.get("iso_code")
    for text in (told, record.get("country_code")):
        if isinstance(text, str) and _COUNTRY.fullmatch(text):
            return text
    return ""


def _place(record: Mapping[str, Any]) -> Place | None:
    where = record.get("location")
    where = where if isinstance(where, Mapping) else record
    latitude = _number(where.get("latitude", where.get("lat")), 90.0)
    longitude = _number(where.get("longitude", where.get("lng", where.get("lon"))), 180.0)
    if latitude is None or longitude is None:
        return None
    radius = _number(where.get("accuracy_radius", 0), RADIUS_KM_MOST)
    return Place(latitude, longitude, max(0.0, radius or 0.0))


def _number(told: object, most: float) -> float | None:
    """A number, or one written as text, of at most `most` either way."""
    if isinstance(told, bool) or not isinstance(told, (int, float, str)):
        return None
    try:
        number = float(told)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and abs(number) <= most else None


def _asn(record: Mapping[str, Any]) -> int:
    for told in (record.get("autonomous_system_number"), record.get("asn")):
        if isinstance(told, bool):
            continue
        if isinstance(told, int) and 0 < told < 1 << 32:
            return told
        if isinstance(told, str) and (matched := _ASN.fullmatch(told)) and int(matched[1]) < 1 << 32:
            return int(matched[1])
    return 0
