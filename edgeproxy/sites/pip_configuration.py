"""The package index this machine's pip uses, found when the node starts.

pip reads, each overriding those before: its global, user and site files, PIP_CONFIG_FILE, then the
environment; within the files [install] overrides [global]. What none of them names is pip's own
default, which is read from pip's source, so that no registry's host is written here."""

from __future__ import annotations

import ast
import configparser
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path

from edgeproxy.errors import ConfigurationError

_SECTIONS = ("global", "install")
_DEFAULT_MODULE = "pip/_internal/models/index.py"
_ASK_SECONDS = 10
_ASK = "from pip._internal.models.index import PyPI; print(PyPI.simple_url)"


@dataclass(frozen=True, slots=True)
class PipConfiguration:
    """URL of the simple index (perhaps with userinfo) and the trusted roots ("" for the system's)."""

    index_url: str
    ca_file: str = ""


def read(
    environment: Mapping[str, str] | None = None, is_own: Callable[[str], bool] = lambda url: False
) -> PipConfiguration:
    """A URL that `is_own` leads back to this node and is passed over: whoever starts it may have pointed
    pip at it already. Raises ConfigurationError when pip's index cannot be found out."""
    environment = os.environ if environment is None else environment
    settings = file_settings(environment)
    named = (environment.get("PIP_INDEX_URL"), settings.get("index-url"))
    index_url = next((url for url in named if url and not is_own(url)), "") or default_index()
    if not index_url:
        raise ConfigurationError(
            "site.index", "no pip was found that could tell which package index to serve: set it"
        )
    return PipConfiguration(index_url, environment.get("PIP_CERT") or settings.get("cert", ""))


def file_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """index-url and cert of pip's configuration files."""
    found: dict[str, dict[str, str]] = {section: {} for section in _SECTIONS}
    for path in _files(environment):
        parser = configparser.RawConfigParser()
        try:
            if not parser.read(path, encoding="utf-8"):
                continue
        except (configparser.Error, UnicodeDecodeError) as error:
            raise ConfigurationError("site.index", f"pip's configuration {path} cannot be read") from error
        for section in _SECTIONS:
            if parser.has_section(section):
                for name, value in parser.items(section):
                    found[section][name.replace("_", "-")] = value
    merged: dict[str, str] = {}
    for section in _SECTIONS:
        merged.update({k: v for k, v in found[section].items() if k in ("index-url", "cert") and v})
    return merged


def _files(environment: Mapping[str, str]) -> Iterator[Path]:
    named = environment.get("PIP_CONFIG_FILE", "")
    if named == os.devnull:
        return
    # A directory list as in XDG_CONFIG_DIRS; the file in /etc is read after those.
    for folder in (environment.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(os.pathsep):
        if folder:
            yield Path(folder) / "pip" / "pip.conf"
    yield Path("/etc/pip.conf")
    home = environment.get("HOME", "")
    # pip leaves the user's files out when PIP_CONFIG_FILE names a file that is not there.
    if home and not (named and not Path(named).exists()):
        yield Path(home) / ".pip" / "pip.conf"
        yield _user_folder(environment, Path(home)) / "pip" / "pip.conf"
    yield Path(environment.get("VIRTUAL_ENV") or sys.prefix) / "pip.conf"
    if named:
        yield Path(named)


def _user_folder(environment: Mapping[str, str], home: Path) -> Path:
    application_support = home / "Library" / "Application Support"
    if sys.platform == "darwin" and (application_support / "pip").is_dir():
        return application_support
    return Path(environment.get("XDG_CONFIG_HOME") or home / ".config")


def default_index() -> str:
    """The index pip asks when it is not configured; "" if no pip is to be found."""
    return _from_installed(_spec("pip")) or _from_bundled() or _from_python3()


def _spec(name: str) -> ModuleSpec | None:
    try:
        return find_spec(name)
    except (ImportError, ValueError):
        return None


def _from_installed(spec: ModuleSpec | None) -> str:
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        try:
            source = (Path(folder).parent / _DEFAULT_MODULE).read_text(encoding="utf-8")
        except OSError:
            continue
        return index_in_source(source)
    return ""


def _from_bundled() -> str:
    """From the wheel that ensurepip would install; some distributions keep it elsewhere."""
    folders = [Path("/usr/share/python-wheels")]
    spec = _spec("ensurepip")
    if spec is not None and spec.origin:
        folders.insert(0, Path(spec.origin).parent / "_bundled")
    for folder in folders:
        for wheel in sorted(folder.glob("pip-*.whl"), reverse=True):
            try:
                with zipfile.ZipFile(wheel) as archive:
                    return index_in_source(archive.read(_DEFAULT_MODULE).decode("utf-8"))
            except (OSError, KeyError, zipfile.BadZipFile, UnicodeDecodeError):
                continue
    return ""


def _from_python3() -> str:
    try:
        asked = subprocess.run(
            ["python3", "-c", _ASK], capture_output=True, text=True, timeout=_ASK_SECONDS, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    lines = asked.stdout.split("\n")
    return lines[0].strip() if asked.returncode == 0 else ""


def index_in_source(source: str) -> str:
    """The simple index of `PyPI = PackageIndex("<url>", ...)` in pip's source; "" if it is not there."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return ""
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and node.value.args:
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            first = node.value.args[0]
            if "PyPI" in names and isinstance(first, ast.Constant) and isinstance(first.value, str):
                return first.value.rstrip("/") + "/simple/"
    return ""
