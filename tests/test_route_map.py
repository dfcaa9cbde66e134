from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from edgeproxy.config import Config
from edgeproxy.config_router import Router, RouterHealth, RouterNode
from edgeproxy.errors import ConfigurationError
from edgeproxy.metrics import Metrics
from edgeproxy.route_map import RouteMap, read_secret, signer_of
from edgeproxy.router.client import parse
from edgeproxy.tasks import Tasks

NOW = 1_700_000_000.0
SECRET = "0123456789abcdef" * 2


def config(*names: str, country: str = "FR") -> Config:
    nodes = [RouterNode(name=name, url=f"http://{name}.example", country=country) for name in names]
    return Config(router=Router(node=nodes, health=RouterHealth(interval=0)))


def test_the_map_knows_countries_when_it_has_started_and_takes_over_another_configuration() -> None:
    async def lived() -> None:
        metrics, tasks = Metrics(), Tasks(lambda name, error: None)
        route_map = RouteMap(
            config("a"), tasks=tasks, metrics=metrics, clock=lambda: NOW, report=lambda line: None
        )
        assert route_map.keeper.snapshot.nodes[0].place is None
        await route_map.start()
        (node,) = route_map.keeper.snapshot.nodes
        assert node.place is not None
        assert 45 < node.place.latitude < 52
        assert route_map.keeper.client(parse("133.11.0.1")).whereabouts.country == "JP"
        generation = route_map.keeper.snapshot.generation
        route_map.configure(config("a", "b"))
        assert [one.name for one in route_map.keeper.snapshot.nodes] == ["a", "b"]
        assert route_map.keeper.snapshot.generation > generation
        assert metrics.gauges["map_nodes_up"]() == 2.0
        await tasks.aclose()

    asyncio.run(lived())


def test_a_secret_stands_in_the_configuration_or_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")
    assert read_secret("", str(file), "p") == SECRET
    assert read_secret(SECRET, "", "p") == SECRET
    assert signer_of(Config()) is None
    signer = signer_of(Config(router=Router(secret_file=str(file))))
    assert signer is not None


@pytest.mark.parametrize("content", [None, b"", b"two words", b"\xff\xfe", b"a" * 5000, b"a\nb"])
def test_a_file_without_a_secret_is_refused_by_the_key_that_names_it(
    tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        read_secret("", str(file), "router.secret_file")
    assert caught.value.path == "router.secret_file"
