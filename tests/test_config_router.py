import tomllib
from pathlib import Path

import msgspec
import pytest

from edgeproxy.config import Config
from edgeproxy.config_router import Router, RouterCoverage, RouterDns, RouterNode
from edgeproxy.configuration.source import load, sections
from edgeproxy.configuration.values import options
from edgeproxy.errors import ConfigurationError

EXAMPLE = Path(__file__).parents[1] / "configs" / "router.toml"


def test_sections_stand_in_one_another() -> None:
    assert [name for name in sections() if name.startswith("router")] == [
        *(
            "router",
            "router.rules",
            "router.geo",
            "router.health",
            "router.signals",
            "router.tls",
            "router.dns",
        )
    ]
    assert load(None, ["router.dns.answers=3"], {}).router.dns == RouterDns(answers=3)
    assert load(None, [], {"EDGEPROXY_ROUTER_DNS_ANSWERS": "3"}).router.dns == RouterDns(answers=3)
    assert load(None, [], {"EDGEPROXY_ROUTER_PRIVATE_TTL": "1m"}).router == Router(private_ttl=60.0)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("[router]\ndns = 3", "router.dns"),
        ("[router.dns]\nanswer = 3", "router.dns.answer"),
        ("[router.dns]\nlisten = ['nowhere']", "router.dns.listen"),
        ("[[router.node]]\nname = 'a'", "router.node.1.url"),
        ("[[router.node]]\nname = 'a'\nurl = 'http://a'\nlatitude = 91", "router.node.1.latitude"),
        ("[router.node]\nname = 'a'", "router.node"),
    ],
)
def test_a_fault_is_named_by_its_key(tmp_path: Path, text: str, path: str) -> None:
    file = tmp_path / "edge.toml"
    file.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load(file, [], {})
    assert caught.value.path == path


@pytest.mark.parametrize("table", [RouterNode, RouterCoverage], ids=lambda table: table.__name__)
def test_every_option_of_a_table_has_one_line_of_meaning(table: type[msgspec.Struct]) -> None:
    assert [name for name, option in options(table).items() if not option.description.strip()] == []


def test_the_example_for_operators_can_be_used() -> None:
    config = load(EXAMPLE, [], {})
    assert [node.name for node in config.router.node] == ["paris", "tokyo", "denver"]
    shown = tomllib.loads(EXAMPLE.read_text())["router"]
    assert set(shown["node"][0]) <= set(options(RouterNode))
    assert config != Config()
