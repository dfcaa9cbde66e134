"""A Config from its three sources, the later one winning: a TOML file, the environment, settings.

A key is `section.key` (`router.dns.key` where sections stand in one another), or `site.NAME.key` for one of
the sites, `parent.NAME.key` for one of the parents. In the environment it is written EDGEPROXY_SECTION_KEY
and EDGEPROXY_SITE_NAME_KEY (signs other than letters and digits as "_")."""

from __future__ import annotations

import difflib
import re
import time
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from edgeproxy.config import Config, Parent, Section, Site, default_sites
from edgeproxy.configuration.checks import check
from edgeproxy.configuration.values import Option, from_text, from_toml, options
from edgeproxy.errors import ConfigurationError

FILE_BYTES_MAX = 1 << 20
TABLES: dict[str, type[Section]] = {"site": Site, "parent": Parent}  # those there may be several of
PREFIX = "EDGEPROXY_"
_LOOK_SECONDS = 0.05
_LOOKS = 40

# EDGEPROXY_CONFIG names the file; the others are what Kubernetes puts into the environment of every
# container beside a service called "edgeproxy". None of them collides with a section.
_NOT_OPTIONS = re.compile(r"EDGEPROXY_(?:CONFIG|HANDOVER|SERVICE_(?:HOST|PORT)(?:_.*)?|PORT(?:_.*)?)")


def load(path: Path | None, settings: Sequence[str], environ: Mapping[str, str]) -> Config:
    """The configuration of `path` (None for defaults only), changed by the EDGEPROXY_* variables of
    `environ` and then by `settings` ("section.key=value", in order).

    Relative file names start at the folder of the file that holds them, otherwise at the working
    directory. Raises ConfigurationError, with the path of the key, for anything not understood."""
    draft = _Draft()
    if path is not None:
        draft.read_file(path)
    draft.read_environment(environ)
    for setting in settings:
        draft.read_setting(setting)
    config = draft.config()
    check(config)
    return config


def wait_settled(path: Path) -> None:
    """Wait until nobody has written to a file for a moment, at most two seconds: it may just be written, and
    half a configuration can be one that is valid. Blocks."""
    before: tuple[int, ...] = ()
    for _ in range(_LOOKS):
        try:
            status = path.stat()
        except OSError:
            return  # reading it will say what is wrong
        seen = (status.st_ino, status.st_size, status.st_mtime_ns)
        if seen == before:
            return
        before = seen
        time.sleep(_LOOK_SECONDS)


def sections() -> dict[str, type[Section]]:
    """The sections of a configuration that are there once, by dotted name, in the order of the schema."""
    return {name: type(section) for name, section in _sections_in(Config(), "")}


def _sections_in(section: Section, prefix: str) -> Iterator[tuple[str, Section]]:
    for name, inner in _inner(section):
        yield prefix + name, inner
        yield from _sections_in(inner, f"{prefix}{name}.")


def _inner(section: Section) -> Iterator[tuple[str, Section]]:
    """The sections within one, by name. Their defaults tell it: to evaluate what types are written takes a
    tenth of a start."""
    for name in section.__struct_fields__:
        value = getattr(section, name)
        if isinstance(value, Section):
            yield name, value


class _Schema(Mapping[str, Mapping[str, Option]]):
    """The options of sections by name. Those of one are looked at when it is: most are never named."""

    def __init__(self, sections: Mapping[str, type[Section]]) -> None:
        self._sections = sections

    def __getitem__(self, name: str) -> Mapping[str, Option]:
        return options(self._sections[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._sections)

    def __len__(self) -> int:
        return len(self._sections)


class _Draft:
    """Values gathered so far, each already of its option's type."""

    def __init__(self) -> None:
        self._schema = _Schema(sections())
        self._table_schema = _Schema(TABLES)
        self._values: dict[str, dict[str, Any]] = {name: {} for name in self._schema}
        self._tables: dict[str, dict[str, dict[str, Any]]] = {kind: {} for kind in TABLES}
        self._tables["site"] = {
            default.name: {"kind": default.kind, "mount": default.mount} for default in default_sites()
        }
        self._declared = {kind: frozenset(named) for kind, named in self._tables.items()}

    def config(self) -> Config:
        for kind, needed in (("site", "kind"), ("parent", "url")):
            self._check_declared(kind, needed)
        built = self._built(Config(), "")
        for kind, table in TABLES.items():
            built[kind] = [table(**{"name": name, **one}) for name, one in self._tables[kind].items()]
        return Config(**built)

    def _built(self, section: Section, prefix: str) -> dict[str, Any]:
        """The sections within `section`, by their names in it."""
        return {
            name: type(inner)(**self._values[prefix + name], **self._built(inner, f"{prefix}{name}."))
            for name, inner in _inner(section)
        }

    def _check_declared(self, kind: str, needed: str) -> None:
        for name, values in self._tables[kind].items():
            if name not in self._declared[kind] and needed not in values:
                near = _nearest(name, self._declared[kind])
                raise ConfigurationError(
                    f"{kind}.{name}", f"no such {kind}{near} (to add it, set {kind}.{name}.{needed} as well)"
                )

    # The file.

    def read_file(self, path: Path) -> None:
        directory = path.absolute().parent
        for key, table in _document(path).items():
            if key in TABLES:
                self._read_tables(key, table, directory)
            elif key not in self._schema:
                raise _unknown(key, [*self._schema, *TABLES])
            else:
                self._read_section(key, table, directory)

    def _read_section(self, key: str, table: Any, directory: Path) -> None:
        if not isinstance(table, dict):
            raise ConfigurationError(key, f"is a section: write [{key}] and its keys below")
        for name, written in table.items():
            path = f"{key}.{name}"
            if path in self._schema:
                self._read_section(path, written, directory)
            else:
                option = _option(self._schema[key], key, name, self._all_keys)
                self._values[key][name] = from_toml(option, path, written, directory)

    def _read_tables(self, kind: str, tables: Any, directory: Path) -> None:
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            raise ConfigurationError(kind, f"each {kind} is a table of its own: write [[{kind}]]")
        found: dict[str, dict[str, Any]] = {}
        for position, table in enumerate(tables, 1):
            name = table.get("name") or (_place(table.get("url")) if kind == "parent" else None)
            if not isinstance(name, str):
                needed = "a url" if kind == "parent" else "a name"
                raise ConfigurationError(kind, f"the {kind} at place {position} needs {needed}")
            if name in found:
                raise ConfigurationError(f"{kind}.{name}", f"two {kind}s have this name")
            values = found[name] = {}
            for key, written in table.items():
                option = _option(self._table_schema[kind], f"{kind}.{name}", key, self._all_keys)
                if key != "name":
                    values[key] = from_toml(option, f"{kind}.{name}.{key}", written, directory)
        self._tables[kind] = found
        self._declared[kind] = frozenset(found)

    # Environment and settings.

    def read_environment(self, environ: Mapping[str, str]) -> None:
        for variable in sorted(environ):
            if not variable.startswith(PREFIX) or _NOT_OPTIONS.fullmatch(variable):
                continue
            name, _, key = variable.removeprefix(PREFIX).lower().partition("_")
            inner, _, rest = key.partition("_")
            if name in TABLES:
                self._set_in_table(name, *self._table_variable(name, variable, key), environ[variable])
            elif key in self._schema.get(name, ()):
                self._set(name, key, environ[variable])
            elif rest in self._schema.get(f"{name}.{inner}", ()):
                self._set(f"{name}.{inner}", rest, environ[variable])
            else:
                known = [f"{PREFIX}{key.replace('.', '_')}".upper() for key in self._all_keys()]
                raise _unknown(variable, known, what="variable")

    def _table_variable(self, kind: str, variable: str, rest: str) -> tuple[str, str]:
        """Name and key meant by a variable. "_" parts words as well as name and key, so a table that
        is declared is preferred, then the longest key."""
        schema, tables = self._table_schema[kind], self._tables[kind]
        found = [
            (rest[: -len(key) - 1], key)
            for key in sorted(schema, key=len, reverse=True)
            if rest.endswith(f"_{key}") and len(rest) > len(key) + 1 and key != "name"
        ]
        for words, key in found:
            for name in tables:
                if re.sub("[^a-z0-9]", "_", name.lower()) == words:
                    return name, key
        if found:
            return found[0]
        known = [f"{PREFIX}{kind}_{name}_{key}".upper() for name in tables for key in schema]
        raise _unknown(variable, known, what="variable")

    def read_setting(self, setting: str) -> None:
        path, equals, text = setting.partition("=")
        section, _, rest = path.strip(" ").partition(".")
        name, _, key = rest.rpartition(".")
        if f"{section}.{name}" in self._schema:
            section, name = f"{section}.{name}", ""
        if not equals or not key or bool(name) != (section in TABLES):
            raise ConfigurationError(
                path,
                "a setting is written section.key=value, or site.NAME.key=value for a site,"
                " parent.NAME.key=value for a parent",
            )
        if section in TABLES:
            self._set_in_table(section, name, key, text)
        elif section not in self._schema:
            raise _unknown(path, self._all_keys())
        else:
            self._set(section, key, text)

    def _set(self, section: str, key: str, text: str) -> None:
        option = _option(self._schema[section], section, key, self._all_keys)
        self._values[section][key] = from_text(option, f"{section}.{key}", text, Path.cwd())

    def _set_in_table(self, kind: str, name: str, key: str, text: str) -> None:
        option = _option(self._table_schema[kind], f"{kind}.{name}", key, self._all_keys)
        if key == "name":
            raise ConfigurationError(f"{kind}.{name}.name", f"the name of a {kind} is that in its path")
        value = from_text(option, f"{kind}.{name}.{key}", text, Path.cwd())
        self._tables[kind].setdefault(name, {})[key] = value

    def _all_keys(self) -> list[str]:
        return [f"{section}.{key}" for section, keys in self._schema.items() for key in keys]


def _place(url: Any) -> str | None:
    """host:port of a URL as it is written; None if there is none."""
    if not isinstance(url, str):
        return None
    return urlsplit(url).netloc.rpartition("@")[2] or None


def _document(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
        if len(data) > FILE_BYTES_MAX:
            raise ConfigurationError("", f"{path}: larger than {FILE_BYTES_MAX} bytes")
        return tomllib.loads(data.decode())
    except OSError as error:
        raise ConfigurationError("", f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError("", f"{path}: is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError("", f"{path}: is not TOML: {error}") from None
    except RecursionError:
        raise ConfigurationError("", f"{path}: is nested too deeply") from None


def _option(
    schema: Mapping[str, Option], section: str, key: str, all_keys: Callable[[], list[str]]
) -> Option:
    if key in schema:
        return schema[key]
    elsewhere = [other for other in all_keys() if other.rpartition(".")[2] == key]
    raise _unknown(f"{section}.{key}", elsewhere or [f"{section}.{known}" for known in schema])


def _unknown(path: str, known: Iterable[str], what: str = "key") -> ConfigurationError:
    return ConfigurationError(path, f"unknown {what}{_nearest(path, known)}")


def _nearest(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else ""
