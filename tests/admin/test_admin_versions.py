import tomllib
from pathlib import Path

from edgeproxy.admin.versions import versions


def test_every_dependency_of_the_package_has_a_version() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    names = {dependency.partition(">")[0].partition("[")[0] for dependency in project["dependencies"]}
    found = versions()
    assert names - set(found) == set()
    assert [name for name in names if found[name] == "unknown"] == []


def test_the_tls_library_of_both_sides_is_named() -> None:
    found = versions()
    assert "OpenSSL" in found["openssl"]
    assert "libcurl/" in found["libcurl"]
