import functools
import itertools
import re
import tomllib
from pathlib import Path

from edgeproxy.config import Config, Parent, Site, default_sites
from edgeproxy.config_router import RouterCoverage, RouterNode
from edgeproxy.configuration.sample import sample
from edgeproxy.configuration.source import load, sections
from edgeproxy.configuration.values import options

FILE = Path(__file__).parents[2] / "configs" / "edge.toml"


def test_the_sample_in_the_repository_is_the_one_the_schema_makes() -> None:
    assert FILE.read_text() == sample(), "write it again with: edgeproxy check --sample > configs/edge.toml"


def test_the_sample_says_nothing_but_the_defaults() -> None:
    assert load(FILE, [], {}) == Config(site=[*default_sites()])


def test_every_option_is_in_the_sample_once_and_nothing_else_is() -> None:
    document = tomllib.loads(FILE.read_text())
    assert set(document) == {name for name in sections() if "." not in name} | {"site"}
    for name, section in sections().items():
        table = functools.reduce(dict.__getitem__, name.split("."), document)
        inner = [key for key in table if f"{name}.{key}" in sections()]
        assert list(table) == [*options(section), *inner]
    last = FILE.read_text().rpartition("[[parent]]")[2]
    unset = re.findall(r"^# ([a-z_]+) =$", last, re.MULTILINE)
    assert sorted([*document["site"][0], *unset]) == sorted(options(Site))
    assert {name for name in unset if getattr(default_sites()[0], name) is not None} == set()


def test_every_value_of_the_sample_stands_below_its_meaning() -> None:
    described = [
        option.description
        for table in (*sections().values(), RouterNode, RouterCoverage, Parent, Site)
        for option in options(table).values()
    ]
    text, _, others = FILE.read_text().partition("# The same options again")
    assert 'kind = "huggingface"' in others
    lines = text.splitlines()
    for table, head in ((RouterNode, "router.node"), (RouterCoverage, "router.coverage"), (Parent, "parent")):
        shown = [line.removeprefix("# ").partition(" =")[0] for line in _commented(text, head)]
        assert [name.removeprefix("# ") for name in shown] == list(options(table))
    meanings = [
        above.removeprefix("# ")
        for above, line in itertools.pairwise(lines)
        if re.match(r"(?:# )?[a-z_0-9]+ =", line)
    ]
    assert len(meanings) == len(described)
    assert [m for m, d in zip(meanings, described, strict=True) if not m.startswith(d)] == []


def _commented(text: str, head: str) -> list[str]:
    """The lines that set something in a table which is there as a comment."""
    table = re.split(r"^(?:# )?\[\[", text.partition(f"\n# [[{head}]]\n")[2], flags=re.MULTILINE)[0]
    return [line for line in table.splitlines() if re.match(r"# [a-z_0-9]+ =", line)]
