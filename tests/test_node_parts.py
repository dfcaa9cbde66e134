import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from edgeproxy.config import Config
from edgeproxy.config_router import Router, RouterSignals
from edgeproxy.message import Response
from edgeproxy.metrics import Metrics
from edgeproxy.node_parts import LATER, Routing, Unrouted, routing_of
from edgeproxy.tasks import Tasks


def routing(router: Router) -> Routing:
    unused: Any = None
    with ThreadPoolExecutor(1) as threads:
        return routing_of(
            Config(router=router),
            tasks=Tasks(lambda _, error: None),
            metrics=Metrics(),
            clock=lambda: 0.0,
            report=lambda line: None,
            threads=threads,
            store=lambda: unused,
            connections=lambda: 0,
        )


@pytest.mark.parametrize(
    "router",
    [Router(secret="s" * 32), Router(signals=RouterSignals(routers=["http://127.0.0.1:1"]))],
    ids=["a secret", "routers to tell"],
)
async def test_whatever_is_said_of_a_router_loads_its_part(router: Router) -> None:
    assert not isinstance(routing(router), Unrouted)


async def test_without_a_router_the_pipeline_stands_alone() -> None:
    async def pipeline(request: Any) -> Response:
        raise AssertionError("is not asked")

    unrouted, unused = routing(Router()), Any
    assert isinstance(unrouted, Unrouted)
    await unrouted.start()
    assert unrouted.around(Config(), pipeline, unused) is pipeline  # type: ignore[arg-type]
    assert (unrouted.measure, unrouted.admin_routes()) == (None, ())
    await unrouted.aclose()


def test_what_is_loaded_later_is_all_there_then() -> None:
    code = "import sys; from edgeproxy.node_parts import load_all; load_all(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {*LATER, "structlog"} <= set(done.stdout.split())
