"""What is kept between runs is made once, and whole or not at all."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from stands.kept import Unavailable, kept


def test_it_is_made_once_by_whoever_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEPROXY_TEST_CACHE", str(tmp_path))
    made: list[Path] = []

    def make(place: Path) -> None:
        place.mkdir()
        made.append(place)

    comers = [threading.Thread(target=kept, args=("thing", ["1.0"], make)) for _ in range(5)]
    for comer in comers:
        comer.start()
    for comer in comers:
        comer.join()
    assert made == [kept("thing", ["1.0"], make)]
    assert kept("thing", ["2.0"], make) == made[1] != made[0]


def test_what_failed_half_way_is_begun_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEPROXY_TEST_CACHE", str(tmp_path))

    def fail(place: Path) -> None:
        place.mkdir()
        (place / "half").write_text("")
        raise Unavailable("no index")

    with pytest.raises(Unavailable):
        kept("thing", [], fail)
    place = kept("thing", [], Path.mkdir)
    assert [path.name for path in place.iterdir()] == ["complete"]
