"""What a new configuration changes in a running node, and what only a restart can."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from msgspec.structs import fields, replace

from edgeproxy.config import Config, Listen, Section
from edgeproxy.configuration.values import options

# What a running node takes over. Of `listen` that is only where it listens; whatever is not named here needs
# a restart.
_WHOLE = frozenset({"log", "limits", "upstream", "fill", "site", "parent", "siblings", "proxy"})
_OF_NODE = frozenset({"name", "offline"})
_OF_ROUTER = frozenset(
    {
        *("policy", "redirect_above", "gain", "duplicates", "private", "private_ttl", "reask"),
        *("retry_after", "countries", "elsewhere", "facts_ttl", "node", "coverage", "rules"),
    }
)


@dataclass(frozen=True, slots=True)
class Changes:
    """Dotted keys that differ: `now` those in `config`, `later` those that need a restart. `config` is the
    new configuration with what needs a restart as it was."""

    now: tuple[str, ...]
    later: tuple[str, ...]
    config: Config

    def touches(self, *sections: str) -> bool:
        """Whether one of these sections changes now."""
        return any(key.partition(".")[0] in sections for key in self.now)


def changes(old: Config, new: Config) -> Changes:
    """Compare two configurations, each complete and checked."""
    now: list[str] = []
    later: list[str] = []
    config = new
    for field in fields(Config):
        before, after = getattr(old, field.name), getattr(new, field.name)
        if before == after:
            continue
        if not isinstance(before, Section):
            now += _differing_tables(field.name, before, after)
            continue
        kept: dict[str, Any] = {}
        for option in fields(type(before)):
            if getattr(before, option.name) == getattr(after, option.name):
                continue
            if _is_reloadable(field.name, option.name):
                now.append(f"{field.name}.{option.name}")
            else:
                later.append(f"{field.name}.{option.name}")
                kept[option.name] = getattr(before, option.name)
        if kept:
            config = replace(config, **{field.name: replace(after, **kept)})
    return Changes(tuple(now), tuple(later), config)


def _is_reloadable(section: str, option: str) -> bool:
    if section == "listen":
        return option in _places()
    if section == "router":
        return option in _OF_ROUTER
    return section in _WHOLE or (section == "node" and option in _OF_NODE)


def _differing_tables(name: str, before: Any, after: Any) -> list[str]:
    """Tables of an array that came, went or changed, by name."""
    old, new = ({_name_of(table): table for table in tables} for tables in (before, after))
    found = [f"{name}.{key}" for key in {**old, **new} if old.get(key) != new.get(key)]
    return found or [name]  # only their order


def _name_of(table: Any) -> str:
    return str(getattr(table, "name", "") or getattr(table, "url", ""))


def addresses(listen: Listen) -> list[tuple[str, str]]:
    """Every address clients are accepted at, behind the option it stands in."""
    return [(place, address) for place in _places() for address in getattr(listen, place)]


def _places() -> list[str]:
    """The options of `listen` that hold addresses."""
    return [
        name for name, option in options(Listen).items() if (option.unit, option.type) == ("address", "list")
    ]
