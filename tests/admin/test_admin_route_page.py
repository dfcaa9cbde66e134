from __future__ import annotations

import importlib.resources
import re
import shutil
import struct
import subprocess
import zlib
from html.parser import HTMLParser
from pathlib import Path

import pytest
from route_world import node, status

from edgeproxy.admin.route_page import page
from edgeproxy.router.country_table import read_points

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
EVIL = '<script>alert("x")</script>'


class Reader(HTMLParser):
    """Text, and whatever a page would load or run."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text: list[str] = []
        self.foreign: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "img", "link", "iframe", "object") or any(
            name in ("src", "href") or name.startswith("on") for name, _ in attrs
        ):
            self.foreign.append(tag)

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_the_page_tells_nodes_flows_refusals_and_the_age_of_the_map() -> None:
    text = " ".join(Reader(page(status())).text)
    for words in ("4 of 6 nodes", "map 42, 3 s old", "sao-paulo", "draining", "62 %", "9000", "asked again"):
        assert words in text
    for words in ("Shadow policies", "round-robin", "155.8 ms", "87.1 ms"):
        assert words in text
    assert "Shadow" not in page(status(shadow=[]))


def test_an_old_map_is_said_to_be_old() -> None:
    old = status(map={"generation": 1, "age_seconds": 999.0, "is_old": True})
    assert "nothing new is heard" in page(old)


def test_an_empty_router_has_a_page_too() -> None:
    text = " ".join(Reader(page(status(nodes=[], flows=[], complaints=[], refusals=[], countries=[]))).text)
    assert "There are no nodes." in text
    assert "nobody complains" in text


def test_nothing_is_loaded_and_nothing_that_was_told_is_run() -> None:
    told = status(nodes=[node(EVIL, 1.0, 1.0, region=EVIL, url=f"http://{EVIL}")])
    assert Reader(page(told)).foreign == []
    assert EVIL not in page(told)


def test_every_class_of_the_page_has_a_style() -> None:
    html = page(status())
    used = {name for names in re.findall(r'class=["\']([^"\']+)', html) for name in names.split()}
    assert {name for name in used if f".{name}" not in html} <= {"number", "card", "map", "up"} | {
        name for name in used if f".{name}" in html
    }


# -- in a real browser -----------------------------------------------------------------------------


def world() -> list[tuple[float, float, float]]:
    lines = importlib.resources.files("edgeproxy.router") / "data" / "country-points.csv"
    points = read_points(lines.read_text().splitlines())
    return [(place.latitude, place.longitude, place.radius_km) for place, _ in points.values()]


def pixels(path: Path) -> tuple[int, int, bytes]:
    """Width, height and the lines of a PNG (RFC 2083) of 8 bits without a palette, still filtered."""
    data = path.read_bytes()
    width, height = struct.unpack(">II", data[16:24])
    packed, at = b"", 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        if data[at + 4 : at + 8] == b"IDAT":
            packed += data[at + 8 : at + 8 + length]
        at += 12 + length
    return width, height, zlib.decompress(packed)


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "scheme"), [((390, 1400), "dark"), ((1280, 1300), "light")], ids=["phone-dark", "desk-light"]
)
def test_a_browser_draws_it_on_a_phone_and_on_a_desk_by_day_and_by_night(
    tmp_path: Path, size: tuple[int, int], scheme: str
) -> None:
    file, shot = tmp_path / "page.html", tmp_path / "shot.png"
    file.write_text(page(status(countries=world())))
    assert CHROMIUM is not None
    arguments = [
        *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
        *(f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={size[0]},{size[1]}"),
        *(f"--screenshot={shot}", "--virtual-time-budget=500"),
    ]
    if scheme == "dark":
        arguments.append("--blink-settings=preferredColorScheme=0")
    done = subprocess.run(
        [*arguments, file.as_uri()], capture_output=True, text=True, timeout=90, check=False
    )
    assert shot.exists(), done.stderr[-2000:]
    width, height, lines = pixels(shot)
    assert (width, height) == size
    assert len(set(lines)) > 40  # something is drawn
