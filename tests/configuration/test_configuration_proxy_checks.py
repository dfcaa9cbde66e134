from typing import Any

import pytest

from edgeproxy.config import Config
from edgeproxy.config_proxy import Proxy
from edgeproxy.configuration.checks import check
from edgeproxy.errors import ConfigurationError


def test_the_defaults_and_usual_changes_are_accepted() -> None:
    check(Config())
    check(
        Config(
            proxy=Proxy(
                hosts=["*", "*.example.org", "a-b.example", "2001:db8::1"],
                users=["ada:love:lace"],
                tokens=["t0ken"],
                ports=[1, 65535],
                ca_names=["example.org"],
            )
        )
    )


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"ports": [0]}, "proxy.ports"),
        ({"ports": [65536]}, "proxy.ports"),
        ({"hosts": ["Example.org"]}, "proxy.hosts"),
        ({"hosts": ["a.*.b"]}, "proxy.hosts"),
        ({"refused_hosts": [""]}, "proxy.refused_hosts"),
        ({"users": ["ada"]}, "proxy.users"),
        ({"users": [":x"]}, "proxy.users"),
        ({"tokens": ["a b"]}, "proxy.tokens"),
        ({"tokens": [""]}, "proxy.tokens"),
        ({"ca_names": ["*.example.org"]}, "proxy.ca_names"),
    ],
)
def test_what_cannot_work_is_named(changes: dict[str, Any], path: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        check(Config(proxy=Proxy(**changes)))
    assert refused.value.path == path
    assert "ada" not in str(refused.value)
