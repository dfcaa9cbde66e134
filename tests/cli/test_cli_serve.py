import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from edgeproxy.cli.serve import hints
from edgeproxy.config import Config, Listen, Site, Tls, default_sites
from edgeproxy.errors import StartError


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module that runs nodes, in a form that only remembers what it was given."""
    module: Any = ModuleType("edgeproxy.process")
    module.served = []
    module.result = 0

    def serve(config: Config, again: Callable[[], Config], predecessor: object) -> int:
        assert again() == config
        assert predecessor is None
        module.served.append(config)
        if isinstance(module.result, Exception):
            raise module.result
        return int(module.result)

    module.serve = serve
    monkeypatch.setitem(sys.modules, "edgeproxy.process", module)
    return module


def test_the_node_gets_the_whole_configuration(run: Any, node: Any) -> None:
    ended = run("serve", "--set", "cache.disk=1GiB", "--offline")
    assert ended.code == 0
    assert ended.out == ""
    (config,) = node.served
    assert config.cache.disk == 1 << 30
    assert config.node.offline
    assert config.site == [*default_sites()]


def test_the_nodes_result_is_the_exit_status(run: Any, node: Any) -> None:
    node.result = 1
    assert run("serve").code == 1


def test_a_node_that_cannot_start_is_one_line_and_1(run: Any, node: Any) -> None:
    node.result = StartError("listen.http: 127.0.0.1:8080 is in use")
    ended = run("serve")
    assert ended.code == 1
    assert ended.err.endswith("edgeproxy: listen.http: 127.0.0.1:8080 is in use\n")


def test_nothing_is_started_with_a_wrong_configuration(run: Any, node: Any) -> None:
    assert run("serve", "--set", "node.workers=0").code == 2
    assert node.served == []


def test_the_hints_say_how_to_point_clients_at_the_node() -> None:
    told = hints(Config(site=[default_sites()[0], Site(name="files", mount="/f")]))
    assert "pip install --index-url http://127.0.0.1:8080/pypi/simple/ ..." in told
    assert "uv pip install --default-index http://127.0.0.1:8080/pypi/simple/" in told
    assert "files: http://127.0.0.1:8080/f/" in told
    secured = Config(
        site=[default_sites()[0]], listen=Listen(http=[], https=["127.0.0.1:8443"]), tls=Tls(self_signed=True)
    )
    assert "--index-url https://127.0.0.1:8443/pypi/simple/ --cert /" in hints(secured)
    assert "SSL_CERT_FILE=/" in hints(secured)
    assert "env --url" in hints(Config(listen=Listen(http=["127.0.0.1:0"])))
