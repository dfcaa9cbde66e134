"""configs/edge.toml: every option at its default, with unit and meaning from the schema."""

from __future__ import annotations

import textwrap
from operator import attrgetter
from typing import Any

import msgspec

from edgeproxy.config import Config, Parent, Section, Site, default_sites
from edgeproxy.config_router import RouterCoverage, RouterNode
from edgeproxy.configuration.source import sections
from edgeproxy.configuration.units import format_duration, format_size
from edgeproxy.configuration.values import Option, options

_HEAD = """\
# edgeproxy: every option at its default.
#
# Nothing here is needed: `edgeproxy serve` without a file does the same. Copy what you change.
# A key can also be set by the environment (EDGEPROXY_CACHE_DISK=100GiB, EDGEPROXY_SITE_PYPI_MOUNT=/)
# and on the command line (--set cache.disk=100GiB --set site.pypi.mount=/); the later one wins.
#
# Sizes: bytes, or "512KiB", "64MiB", "1GB". Durations: seconds, or "500ms", "10s", "2m", "1h", "7d".
# Relative file names start at the folder of this file. An unknown key stops the start.
"""

_UNITS = {
    "size": "size",
    "duration": "duration",
    "address": "address",
    "network": "network",
    "url": "URL",
    "path": "file name",
}


def sample() -> str:
    """The text of configs/edge.toml."""
    config = Config()
    tables = [_table(f"[{name}]", attrgetter(name)(config), section) for name, section in sections().items()]
    tables.append(_commented(_table("[[router.node]]", RouterNode(name="", url=""), RouterNode)))
    tables.append(_commented(_table("[[router.coverage]]", RouterCoverage(nodes=[]), RouterCoverage)))
    tables.append(_commented(_table("[[parent]]", Parent(url=""), Parent)))
    first, *others = default_sites()
    tables.append(_table("[[site]]", first, Site))
    tables += [_short_table("[[site]]", site) for site in others]
    return "\n".join([_HEAD, *tables])


def _table(head: str, values: Section, section: type[Section]) -> str:
    lines = [*_comment(" ".join((section.__doc__ or "").split())), head]
    for name, option in options(section).items():
        value = getattr(values, name)
        unset = value is None
        lines += ["", *_comment(option.description + _kind(option))]
        lines.append(f"# {name} =" if unset else f"{name} = {_written(option, value)}")
    return "\n".join(lines) + "\n"


def _commented(table: str) -> str:
    """A table that is not there by default."""
    return "".join(
        f"# {line}\n" if line and not line.startswith("#") else f"{line}\n" for line in table.splitlines()
    )


def _short_table(head: str, values: Section) -> str:
    """Only what differs from the schema's defaults: every option has been shown above."""
    lines = ["# The same options again, at their defaults where nothing is said.", head]
    for field in msgspec.structs.fields(type(values)):
        factory = field.default_factory
        default = field.default if factory is msgspec.NODEFAULT else factory()
        value = getattr(values, field.name)
        if value != default:
            lines.append(f"{field.name} = {_written(options(type(values))[field.name], value)}")
    return "\n".join(lines) + "\n"


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, 106, break_on_hyphens=False)]


def _kind(option: Option) -> str:
    words = [_UNITS[option.unit]] if option.unit else []
    if option.type == "list":
        words.append("list of tables" if option.table else "list")
    if option.choices:
        words.append(("a number, or " if option.type == "integer" else "") + " | ".join(option.choices))
    if option.optional:
        words.append("unset by default")
    return f" [{'; '.join(words)}]" if words else ""


def _written(option: Option, value: Any) -> str:
    """`value` as TOML that reads back as the same value."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float() if option.unit == "size":
            return f'"{format_size(int(value))}"' if value else "0"
        case int() | float() if option.unit == "duration":
            return f'"{format_duration(value)}"'
        case int() | float():
            return str(value)
        case str():
            return msgspec.json.encode(value).decode()
        case list():
            return "[" + ", ".join(_written(option, item) for item in value) + "]"
        case _:
            return "{}"
