"""No public registry is named anywhere: a node asks where this machine's clients are told to ask."""

import importlib
from pathlib import Path
from urllib.parse import urlsplit

import pytest

SUFFIXES = frozenset({".py", ".toml", ".md", ".cfg", ".txt", ".service", ".yml", ".yaml", ".conf", ".json"})
FOLDERS = ("edgeproxy", "tests", "configs", "benchmarks")


def test_the_default_index_is_not_named_in_any_file(root: Path) -> None:
    try:
        models = importlib.import_module("pip._internal.models.index")
    except ImportError:
        pytest.skip("pip is not importable here, so its built-in default is not known")
    hosts = {urlsplit(models.PyPI.url).hostname or "", models.PyPI.file_storage_domain}
    assert all("." in host for host in hosts)
    files = [
        path
        for folder in FOLDERS
        for path in (root / folder).rglob("*")
        if path.is_file() and path.suffix in SUFFIXES
    ]
    files += [path for path in root.iterdir() if path.is_file() and path.suffix in SUFFIXES]
    named = [str(path.relative_to(root)) for path in files if any(h in _text(path) for h in hosts)]
    assert named == []


def _text(path: Path) -> str:
    return path.read_text(errors="replace").lower()
