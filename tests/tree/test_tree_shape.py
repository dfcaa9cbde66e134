"""Names, lengths, places and work at import."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest

BANNED = frozenset({"utils", "util", "helpers", "helper", "manager", "common", "misc", "base"})
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
TOP_LEVEL = frozenset(
    {"pyproject.toml", "edgeproxy", "tests", "benchmarks", "configs", "README.md", "LICENSE", "CHANGELOG.md"}
)

# Modules without a test file of their own, each with its reason.
UNTESTED = {
    "edgeproxy.pipeline.fill_end": "an enumeration; the tests of fills come to each end",
    "edgeproxy.pipeline.fill_head": "values only; test_pipeline_fill covers who makes and reads them",
    "edgeproxy.pipeline.fill_parts": "values and an interface",
    "edgeproxy.router.routing": "an interface",
    "edgeproxy.config_types": "types only; test_config reads every option that is made of them",
    "edgeproxy.node_proxy": "the journeys run whole nodes",
    "edgeproxy.proxy.forward": "test_journey_proxy asks whole nodes",
    "edgeproxy.proxy.naming": "test_journey_proxy and test_journey_transparent ask whole nodes",
    "edgeproxy.proxy.shared": "values, and what test_journey_proxy counts",
    "edgeproxy.proxy.transparent": "test_journey_transparent asks a whole node through a firewall",
    "edgeproxy.proxy.way": "test_journey_proxy reads what it tells",
    "edgeproxy.__main__": "one line; the journeys start it",
    "edgeproxy.node": "the journeys run whole nodes",
    "edgeproxy.process": "the journeys run whole nodes",
    "edgeproxy.node_engine": "the journeys run whole nodes",
    "edgeproxy.node_place": "values only",
    "edgeproxy.workers.supervising": "test_workers_alone runs it with two servers",
    "edgeproxy.node_routing": "the journeys run nodes that route, and nodes behind routers",
    "edgeproxy.node_tls": "the journeys run whole nodes",
    "edgeproxy.route_dns": "a journey asks a whole router",
    "edgeproxy.node_signals": "a journey reads what nodes have told a router",
    "edgeproxy.route_node": "the journeys run whole routers",
    "edgeproxy.node_uplink": "the journeys run whole nodes",
    "edgeproxy.node_views": "the journeys ask whole nodes",
    "edgeproxy.workers.child": "test_workers_link holds both ends",
    "edgeproxy.workers.filler": "the tests of server and supervisor run whole nodes",
    "edgeproxy.workers.orders": "values only",
    "edgeproxy.router.dns_settings": "values only",
    "edgeproxy.router.dns_words": "numbers only",
    "edgeproxy.router.nodes": "values only",
    "edgeproxy.router.snapshot": "values only",
    "edgeproxy.errors": "types only; tested where they are raised",
    "edgeproxy.admin.views": "an interface",
    "edgeproxy.policy.decision": "types only",
    "edgeproxy.policy.rules": "types only",
    "edgeproxy.sites.site": "an interface",
    "edgeproxy.storage.store": "an interface",
    "edgeproxy.upstream.name_answer": "values only",
    "edgeproxy.upstream.name_servers": "test_upstream_resolver asks name servers",
    "edgeproxy.upstream.upstream": "an interface",
}


def words(name: str) -> set[str]:
    """A name in parts: HttpManager and http_manager both hold "manager"."""
    return {part.lower() for part in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+", name)}


def test_nothing_has_a_name_that_says_nothing(modules: Any) -> None:
    found = [f"{module.path}" for module in modules if any(words(p) & BANNED for p in module.name.split("."))]
    found += [
        f"{module.path}: class {node.name}"
        for module in modules
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ClassDef) and words(node.name) & BANNED
    ]
    assert found == []


def test_a_file_is_one_concept_and_not_long(modules: Any) -> None:
    lengths = {str(module.path): module.text.count("\n") for module in modules}
    assert {path: length for path, length in lengths.items() if length > FILE_LINES_MAX} == {}


def test_no_function_must_be_scrolled(modules: Any) -> None:
    long = [
        f"{module.path}:{function.lineno} {function.name}"
        for module in modules
        for function in module.functions()
        if (function.end_lineno or 0) - function.lineno + 1 > FUNCTION_LINES_MAX
    ]
    assert long == []


def test_every_module_says_what_it_is(modules: Any) -> None:
    assert [str(module.path) for module in modules if not ast.get_docstring(module.tree)] == []


def test_nothing_is_done_at_import(modules: Any) -> None:
    """No calls for their effect, no files, no loops but those that fill a table or register commands."""
    effects = {"open", "connect", "socket", "run", "getenv", "import_module", "get_event_loop", "read_text"}
    found = []
    for module in modules:
        for node in module.tree.body:
            bare = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
            called = (
                {_called(c) for c in ast.walk(node) if isinstance(c, ast.Call)} if _is_value(node) else set()
            )
            if bare or called & effects or isinstance(node, (ast.While, ast.With)):
                found.append(f"{module.path}:{node.lineno}")
    assert found == []


def _is_value(node: ast.stmt) -> bool:
    return isinstance(node, (ast.Assign, ast.AnnAssign, ast.For, ast.Try))


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def test_what_a_test_waits_for_is_asserted(root: Path) -> None:
    """`eventually` tells whether it came; who does not look has waited for nothing."""
    found = [
        f"{path.relative_to(root)}:{node.lineno}"
        for path in sorted((root / "tests").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
        if _called(node.value) == "eventually"
    ]
    assert found == []


def test_the_top_level_holds_what_the_design_says_and_nothing_else(root: Path) -> None:
    present = {path.name for path in root.iterdir() if not path.name.startswith(".")}
    ignored = {line.rstrip("/") for line in (root / ".gitignore").read_text().split("\n")}
    assert present - TOP_LEVEL - ignored - {"edgeproxy.egg-info"} == set()
    assert {"pyproject.toml", "README.md", "LICENSE"} <= present


def test_every_module_has_a_test_file_of_its_own(modules: Any, root: Path) -> None:
    missing = []
    for module in modules:
        parts = module.name.split(".")[1:]
        if module.path.name == "__init__.py" or module.name in UNTESTED:
            continue
        expected = Path("tests", *parts[:-1], f"test_{'_'.join(parts)}.py")
        if not (root / expected).exists():
            missing.append(str(expected))
    assert missing == []


def test_exceptions_from_the_test_file_rule_still_exist(root: Path) -> None:
    gone = [name for name in UNTESTED if not (root / f"{name.replace('.', '/')}.py").exists()]
    assert [name for name in gone if name != "edgeproxy.__main__"] == []


@pytest.mark.parametrize(
    ("name", "is_banned"),
    [
        ("HttpManager", True),
        ("disk_utils", True),
        ("BaseStore", True),
        ("Database", False),
        ("basement", False),
    ],
)
def test_the_rule_of_names_tells_right_from_wrong(name: str, is_banned: bool) -> None:
    assert bool(words(name) & BANNED) is is_banned
