"""Imports point one way, towards values."""

import ast
from collections.abc import Iterator
from typing import Any

import pytest

LEVELS = {
    **dict.fromkeys(
        ("cli", "node", "node_engine", "node_parts", "node_place", "node_tls", "node_uplink", "node_views"), 5
    ),
    **dict.fromkeys(("own_log", "process", "workers", "__main__"), 5),
    **dict.fromkeys(
        ("node_proxy", "node_routing", "node_signals", "route_dns", "route_http", "route_map"), 5
    ),
    **dict.fromkeys(("route_node", "route_passing", "route_views"), 5),
    **dict.fromkeys(("pipeline", "admin", "relay", "proxy", "simulation"), 4),
    **dict.fromkeys(("sites", "storage", "serving"), 3),
    **dict.fromkeys(("policy", "upstream", "router", "configuration"), 2),
    **dict.fromkeys(("config", "config_parents", "config_proxy", "config_router"), 1),
    **dict.fromkeys(("", "address", "chunks", "config_types", "message", "errors"), 0),
    **dict.fromkeys(("garbage", "loading", "metrics", "tasks"), 0),
}

# cli runs the node; the rest of the bottom may use each other, they hold no cycle (the last test).
SAME_LEVEL = {
    *(("cli", "process"), ("process", "node"), ("node", "node_views"), ("__main__", "cli")),
    *(("node", "node_proxy"), ("node_engine", "node_proxy")),
    *(("node", "node_engine"), ("node", "node_tls"), ("node", "node_uplink")),
    *(
        ("node", "node_place"),
        ("workers", "node_place"),
        ("workers", "node_tls"),
        ("workers", "node_proxy"),
        ("process", "workers"),
        ("workers", "node"),
    ),
    ("config", "config_parents"),
    ("config", "config_proxy"),
    ("config", "config_router"),
    *(("process", "route_node"), ("route_node", "route_passing"), ("route_node", "own_log")),
    *(("route_node", "route_http"), ("route_node", "route_map"), ("route_node", "route_views")),
    *(
        ("node", "node_parts"),
        ("node_engine", "node_parts"),
        ("node_parts", "node_routing"),
        ("node_routing", "route_http"),
    ),
    *(
        ("node_routing", "node_signals"),
        ("node_routing", "route_dns"),
        ("node_signals", "route_map"),
        ("route_node", "route_dns"),
    ),
    ("route_dns", "route_map"),
    *(("node_routing", "route_map"), ("node_routing", "route_views")),
    *(("route_node", "node_tls"), ("route_http", "route_map"), ("route_views", "route_map")),
    *(("node_parts", "own_log"), ("workers", "node_parts")),
    *(("node", "own_log"), ("node_views", "own_log")),
    *(
        ("cli", "workers"),
        ("cli", "route_map"),
        ("node_signals", "workers"),
        ("workers", "own_log"),
        ("process", "own_log"),
    ),
}

CONCRETE = {
    "pipeline": ("edgeproxy.storage.disk", "edgeproxy.storage.memory", "edgeproxy.upstream.client"),
    "serving": ("edgeproxy.pipeline", "edgeproxy.sites", "edgeproxy.storage", "edgeproxy.upstream"),
}


def group(name: str) -> str:
    return [*name.split("."), ""][1]


def imported(tree: ast.AST, known: frozenset[str]) -> Iterator[str]:
    """Modules of the package that `tree` imports, also inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "edgeproxy")
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            if node.module and node.module.split(".")[0] == "edgeproxy":
                for alias in node.names:
                    whole = f"{node.module}.{alias.name}"
                    yield whole if whole in known else node.module


def wrong(importer: str, target: str) -> bool:
    here, there = group(importer), group(target)
    if here == there or (here, there) in SAME_LEVEL:
        return False
    return LEVELS[there] >= LEVELS[here] and LEVELS[here] > 0


@pytest.fixture
def edges(modules: Any) -> list[tuple[str, str]]:
    known = frozenset(module.name for module in modules)
    return [(module.name, target) for module in modules for target in imported(module.tree, known)]


def test_every_part_of_the_package_has_a_level(modules: Any) -> None:
    assert {group(module.name) for module in modules} - set(LEVELS) == set()


def test_imports_point_towards_values(edges: list[tuple[str, str]]) -> None:
    assert [f"{importer} imports {target}" for importer, target in edges if wrong(importer, target)] == []


def test_values_import_values_only(edges: list[tuple[str, str]]) -> None:
    values = [(i, t) for i, t in edges if LEVELS[group(i)] == 0]
    assert [f"{importer} imports {target}" for importer, target in values if LEVELS[group(target)] > 0] == []


def test_parts_that_know_interfaces_do_not_import_what_is_behind_them(edges: list[tuple[str, str]]) -> None:
    found = [
        f"{importer} imports {target}"
        for importer, target in edges
        if any(target == name or target.startswith(f"{name}.") for name in CONCRETE.get(group(importer), ()))
    ]
    assert found == []


def test_no_module_imports_itself_in_a_circle(edges: list[tuple[str, str]]) -> None:
    imports: dict[str, set[str]] = {}
    for importer, target in edges:
        imports.setdefault(importer, set()).add(target)
    done: set[str] = set()

    def walk(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail, name))
        if name not in done:
            for target in sorted(imports.get(name, ())):
                walk(target, (*trail, name))
            done.add(name)

    for name in sorted(imports):
        walk(name, ())


@pytest.mark.parametrize(
    ("importer", "target", "is_wrong"),
    [
        ("edgeproxy.policy.freshness", "edgeproxy.storage.store", True),
        ("edgeproxy.storage.disk", "edgeproxy.sites.site", True),
        ("edgeproxy.serving.http1", "edgeproxy.pipeline.handler", True),
        ("edgeproxy.policy.freshness", "edgeproxy.upstream.upstream", True),
        ("edgeproxy.config", "edgeproxy.policy.rules", True),
        ("edgeproxy.sites.site", "edgeproxy.upstream.upstream", False),
        ("edgeproxy.storage.disk", "edgeproxy.policy.stored", False),
        ("edgeproxy.node", "edgeproxy.storage.disk", False),
    ],
)
def test_the_rule_itself_tells_right_from_wrong(importer: str, target: str, is_wrong: bool) -> None:
    assert wrong(importer, target) is is_wrong
