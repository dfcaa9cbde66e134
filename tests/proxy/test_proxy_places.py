"""Where the local authority is."""

from __future__ import annotations

from pathlib import Path

from edgeproxy.config import Cache, Config
from edgeproxy.config_proxy import Proxy
from edgeproxy.proxy.places import ca_directory


def test_beside_the_cache_or_where_the_configuration_says(tmp_path: Path) -> None:
    config = Config(cache=Cache(directory=str(tmp_path)))
    assert ca_directory(config) == tmp_path / "ca"
    told = Config(proxy=Proxy(ca="~/authority"))
    assert ca_directory(told) == Path.home() / "authority"
