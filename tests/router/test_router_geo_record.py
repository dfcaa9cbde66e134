from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.router.geo_record import NOTHING, GeoRecord, read_record
from edgeproxy.router.place import Place

LONDON = {"latitude": 51.5, "longitude": -0.1, "accuracy_radius": 10}


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"country": {"iso_code": "GB"}, "location": LONDON}, GeoRecord("GB", Place(51.5, -0.1, 10.0))),
        ({"country": {"iso_code": "GB"}}, GeoRecord("GB")),
        ({"country_code": "GB", "lat": "51.5", "lng": "-0.1"}, GeoRecord("GB", Place(51.5, -0.1))),
        ({"country": "GB", "latitude": 51.5, "longitude": -0.1}, GeoRecord("GB", Place(51.5, -0.1))),
        ({"country_code": "GB", "lat": 51.5, "lon": -0.1}, GeoRecord("GB", Place(51.5, -0.1))),
        ({"country": "United Kingdom", "country_code": "GB"}, GeoRecord("GB")),
        ({"autonomous_system_number": 15169}, GeoRecord(asn=15169)),
        ({"asn": "AS15169"}, GeoRecord(asn=15169)),
        ({"asn": 15169, "country_code": "US"}, GeoRecord("US", None, 15169)),
        (None, NOTHING),
        ([], NOTHING),
        ("GB", NOTHING),
        ({"country": {"iso_code": "gb"}}, NOTHING),
        ({"country": {"iso_code": "GB\n"}}, NOTHING),
        ({"country": {"iso_code": b"GB"}}, NOTHING),
        ({"country": ["GB"], "location": 7, "asn": []}, NOTHING),
        ({"location": {"latitude": 91, "longitude": 0}}, NOTHING),
        ({"location": {"latitude": float("nan"), "longitude": 0}}, NOTHING),
        ({"location": {"latitude": True, "longitude": 0}}, NOTHING),
        ({"location": {"latitude": 10**400, "longitude": 0}}, NOTHING),
        ({"location": {"latitude": 5}}, NOTHING),
        ({"location": {**LONDON, "accuracy_radius": -5}}, GeoRecord(place=Place(51.5, -0.1))),
        ({"location": {**LONDON, "accuracy_radius": "far"}}, GeoRecord(place=Place(51.5, -0.1))),
        ({"asn": "AS0"}, NOTHING),
        ({"asn": "AS99999999999"}, NOTHING),
        ({"asn": 1 << 32}, NOTHING),
        ({"asn": -1}, NOTHING),
        ({"asn": "ASx"}, NOTHING),
    ],
    ids=range(28),
)
def test_records_of_every_maker_are_told_by_their_fields(record: object, expected: GeoRecord) -> None:
    assert read_record(record) == expected


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "country",
                    "iso_code",
                    "country_code",
                    "location",
                    "latitude",
                    "lat",
                    "longitude",
                    "lng",
                    "asn",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=10,
)


@given(VALUES)
def test_no_record_is_too_odd(record: object) -> None:
    found = read_record(record)
    assert found.place is None or abs(found.place.latitude) <= 90
    assert len(found.country) in (0, 2)
