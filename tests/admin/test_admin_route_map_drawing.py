import re
import xml.etree.ElementTree as ElementTree
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from route_world import flow, node, status

from edgeproxy.admin.route_map_drawing import world

SVG = "{http://www.w3.org/2000/svg}"


def drawn(nodes: list[dict[str, Any]], flows: list[dict[str, Any]] | None = None) -> ElementTree.Element:
    return ElementTree.fromstring(world(nodes, flows or [], status()["countries"]))


def labels(root: ElementTree.Element) -> dict[str, tuple[float, float, str]]:
    return {
        str(text.text): (float(text.attrib["x"]), float(text.attrib["y"]), text.attrib["text-anchor"])
        for text in root.iter("text")
    }


def test_north_is_up_and_east_is_right() -> None:
    root = drawn([node("a", 50.0, 10.0), node("b", -30.0, 150.0)])
    dots = [one for one in root.iter("circle") if one.get("class") == "dot"]
    assert [(one.get("cx"), one.get("cy")) for one in dots] == [("10.0", "-50.0"), ("150.0", "30.0")]


def test_flows_lead_from_countries_to_nodes_and_the_larger_are_the_wider() -> None:
    flows = [flow("DE", "a", 1, 52.0, 13.0), flow("US", "a", 5000, 39.0, -77.0), flow("FR", "gone", 1, 1, 1)]
    root = drawn([node("a", 50.0, 10.0)], flows)
    widths = [
        float(path.attrib["stroke-width"]) for path in root.iter("path") if "stroke-width" in path.attrib
    ]
    assert len(widths) == 2
    assert widths[0] < widths[1]


def test_a_node_or_country_without_a_place_is_not_drawn() -> None:
    root = drawn([node("a", None, None)], [flow("", "a", 3, None, None)])
    assert labels(root) == {}


def test_names_of_neighbours_do_not_cover_one_another() -> None:
    near = [node("paris", 48.9, 2.4), node("frankfurt", 50.1, 8.7), node("london", 51.5, -0.1)]
    boxes = []
    for name, (x, y, anchor) in labels(drawn(near)).items():
        width = 7.0 * len(name)
        left = x - (width if anchor == "end" else width / 2 if anchor == "middle" else 0)
        boxes.append((left, y - 11, left + width, y + 2))
    for at, one in enumerate(boxes):
        for other in boxes[at + 1 :]:
            assert not (one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3])


@given(
    st.lists(
        st.tuples(
            st.text(min_size=1, max_size=20), st.floats(-90, 90), st.floats(-180, 180), st.floats(0, 9)
        ),
        max_size=6,
        unique_by=lambda one: one[0],
    )
)
def test_whatever_nodes_are_called_the_drawing_is_well_formed(
    made: list[tuple[str, float, float, float]],
) -> None:
    legible = [one for one in made if re.fullmatch(r"[^\x00-\x1f\ud800-\udfff\ufffe\uffff]+", one[0])]
    nodes = [node(name, lat, lon, utilisation_ratio=used) for name, lat, lon, used in legible]
    assert len(labels(drawn(nodes))) == len({one["name"] for one in nodes})
