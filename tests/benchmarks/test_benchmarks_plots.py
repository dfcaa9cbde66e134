import math
import re
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.plots import COLOURS, LETTER, WIDTH, colours, style, svg, wrapped
from benchmarks.report import Plot, Series

NUMBER = st.one_of(st.floats(-1e9, 1e9), st.sampled_from([0.0, math.nan, math.inf]))
LABEL = st.text("ab <&\"'é-", max_size=40)
PLOTS = st.builds(
    Plot,
    title=LABEL,
    kind=st.sampled_from(["bars", "lines"]),
    x_label=LABEL,
    y_label=LABEL,
    series=st.lists(
        st.builds(
            Series,
            label=LABEL,
            points=st.lists(st.tuples(st.one_of(NUMBER, LABEL), NUMBER), max_size=5),
            ranges=st.lists(st.tuples(NUMBER, NUMBER), max_size=5),
        ),
        max_size=5,
    ),
    is_x_log=st.booleans(),
    is_y_log=st.booleans(),
)


def drawn(*series: Series, **more: Any) -> ElementTree.Element:
    told = {"title": "Hits", "kind": "bars", "x_label": "", "y_label": "requests/s"} | more
    return ElementTree.fromstring(svg(Plot(series=list(series), **told)))


def tags(picture: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return list(picture.iter(f"{{http://www.w3.org/2000/svg}}{name}"))


def texts(picture: ElementTree.Element) -> list[str]:
    return [one.text or "" for one in tags(picture, "text")]


@given(PLOTS)
@settings(max_examples=150, deadline=None)
def test_every_plot_is_well_formed_and_stays_within_its_picture(plot: Plot) -> None:
    picture = ElementTree.fromstring(svg(plot))
    height = float(picture.attrib["height"])
    assert not any("nan" in one.attrib["d"] for one in tags(picture, "path"))
    for one in (*tags(picture, "rect"), *tags(picture, "text"), *tags(picture, "circle")):
        x, y = (float(one.attrib.get(a) or one.attrib.get(f"c{a}") or 0) for a in ("x", "y"))
        assert -0.1 <= x <= WIDTH
        assert -0.1 <= y <= height


def test_bars_carry_their_names_and_values_and_have_the_lengths_of_them() -> None:
    picture = drawn(
        Series("edgeproxy", [("1 KiB", 100.0), ("64 KiB", 50.0)]), Series("nginx", [("1 KiB", 25.0)])
    )
    assert texts(picture)[:1] == ["Hits"]
    for word in ("1 KiB", "64 KiB", "edgeproxy", "nginx", "100", "50", "25", "requests/s"):
        assert word in texts(picture)
    bars = [one for one in tags(picture, "rect") if "p-bar" in one.attrib["class"]]
    first, third, second = (float(one.attrib["width"]) for one in bars)  # by name, in it by series
    assert first == pytest.approx(2 * second, abs=0.2)
    assert first == pytest.approx(4 * third, abs=0.2)


def test_no_two_texts_of_bars_lie_on_each_other() -> None:
    sizes = [("1 KiB, 8 connections x 16 streams", 1.0), ("64 KiB, 8 connections x 16 streams", 99_999.0)]
    names = ("edgeproxy", "trafficserver-slice", "one node for all, the best")
    picture = drawn(*(Series(name, sizes) for name in names), is_y_log=True)
    boxes = []
    for one in tags(picture, "text"):
        wide = len(one.text or "") * LETTER * float(one.attrib.get("font-size", 12))
        anchor = one.attrib.get("text-anchor")
        start = float(one.attrib["x"]) - (wide if anchor == "end" else wide / 2 if anchor else 0)
        baseline = float(one.attrib["y"])
        boxes.append((start, start + wide, baseline - 8, baseline, one.text))
    for at, (left, right, top, bottom, text) in enumerate(boxes):
        assert left >= 0
        assert right <= WIDTH + 8, text
        for a, b, c, d, other in boxes[at + 1 :]:
            assert right <= a or b <= left or bottom <= c or d <= top, (text, other)


def test_a_range_is_drawn_where_there_is_one() -> None:
    without = drawn(Series("", [("a", 5.0)]))
    having = drawn(Series("", [("a", 5.0)], [(4.0, 6.0)]))
    marks = [[one for one in tags(p, "path") if one.attrib["class"] == "p-range"] for p in (without, having)]
    assert [len(one) for one in marks] == [0, 1]


def test_lines_differ_by_dashes_and_marks_and_not_by_colour_alone() -> None:
    picture = drawn(
        *(Series(f"series {n}", [(1.0, n + 1.0), (10.0, n + 5.0)]) for n in range(3)), kind="lines"
    )
    lines = [one.attrib.get("stroke-dasharray") for one in tags(picture, "path") if "M" in one.attrib["d"]]
    assert len({one for one in lines if one}) == 2
    assert len(tags(picture, "circle")) == 3  # two points and the legend
    assert "series 2" in texts(picture)


def test_few_values_of_x_are_written_themselves_and_of_many_round_ones() -> None:
    few = drawn(Series("a", [(500.0, 1.0), (1700.0, 2.0)]), kind="lines", y_label="")
    assert {"500", "1.7k"} <= set(texts(few))
    many = drawn(Series("a", [(x * 37.0, 1.0) for x in range(30)]), kind="lines", y_label="")
    assert "37" not in texts(many)
    assert "500" in texts(many)


def test_a_server_has_its_colour_whoever_else_takes_part() -> None:
    assert colours(["direct", "edgeproxy", "nginx"]) == [7, 0, 1]
    assert colours(["edgeproxy p50", "edgeproxy p99", "mean"]) == [0, 1, 2]
    assert len(set(colours([f"series {n}" for n in range(8)]))) == 8
    assert len(colours([f"series {n}" for n in range(20)])) == 20


def test_bars_near_together_have_no_logarithmic_axis() -> None:
    near, far = (drawn(Series("", [("a", 10.0), ("b", high)]), is_y_log=True) for high in (16.0, 900.0))
    assert "requests/s" in texts(near)
    assert "requests/s (logarithmic)" in texts(far)


def test_a_logarithmic_axis_leaves_out_what_is_not_above_zero() -> None:
    picture = drawn(
        Series("a", [(0.0, 5.0), (1.0, 0.0), (10.0, 50.0)]), kind="lines", is_x_log=True, is_y_log=True
    )
    assert len(tags(picture, "circle")) == 2  # one point and the legend
    assert "requests/s (logarithmic)" in texts(picture)


@pytest.mark.parametrize("series", [[], [Series("a", [])], [Series("a", [("b", math.nan)])]])
def test_a_plot_without_figures_says_so(series: list[Series]) -> None:
    assert texts(drawn(*series)) == ["Hits", "no figures"]


def test_colours_are_there_for_light_and_dark_and_nothing_is_fetched() -> None:
    light, dark = style().split("@media(prefers-color-scheme:dark)")
    for part in (light, dark):
        assert len(set(re.findall(r"\.p-\d\{fill:(#\w+)", part))) == len(COLOURS)
    text = svg(Plot("t", "bars", "", "", [Series("", [("a", 1.0)])]))
    assert re.findall(r"https?://[^\"]+", text) == ["http://www.w3.org/2000/svg"]
    assert "url(" not in text


def test_wrapping_keeps_all_words() -> None:
    lines = wrapped("one node for all, the best there is", 90, 12)
    assert " ".join(lines) == "one node for all, the best there is"
    assert all(len(line) * LETTER * 12 <= 90 for line in lines)
    assert wrapped("", 90, 12) == [""]
