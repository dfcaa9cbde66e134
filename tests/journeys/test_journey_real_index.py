"""One journey against the index this machine's pip uses, whatever that is."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from stands.clients import Pip, Uv
from stands.node import Node

PROJECTS = ["six", "idna", "packaging"]


def configured_index() -> str:
    """The index URL from pip's own configuration, else the one built into pip."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    )
    found = re.findall(r"index-url='([^']+)'", re.sub(r"\S*extra-index-url\S*", "", listed.stdout))
    if found:
        return str(found[-1])
    from pip._internal.models.index import PyPI

    return str(PyPI.simple_url)


@pytest.mark.network
@pytest.mark.slow
def test_real_packages_install_cold_and_then_without_asking(
    start_node: Callable[..., Node], releases: Callable[[str], Pip | Uv], tmp_path: Path
) -> None:
    index = configured_index()
    download = ["download", "--no-deps", "--quiet", "--index-url", index, "--dest", str(tmp_path), "six"]
    command = [sys.executable, "-m", "pip", "--isolated", *download]
    probe = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    if probe.returncode != 0:
        pytest.skip(f"there is no index here: {probe.stderr.strip()[-200:]}")
    node = start_node(
        [{"name": "packages", "kind": "python-index", "mount": "/pypi", "index": index.rstrip("/") + "/"}]
    )
    for name in ("pip", "uv"):
        installer = releases(name)
        done = installer.install(node.url("/pypi/simple/"), tmp_path / name, *PROJECTS)
        assert done.status == 0, done.output
        assert set(done.packages) == set(PROJECTS)
    before = node.metric("upstream_requests_total")
    done = releases("pip").install(node.url("/pypi/simple/"), tmp_path / "again", *PROJECTS)
    assert done.status == 0, done.output
    assert node.metric("upstream_requests_total") == before
