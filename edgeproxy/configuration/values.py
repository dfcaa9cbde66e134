"""One value as written, TOML or text, to the type of its option.

The schema's types carry a unit (`extra["unit"]`): size, duration, address, network, url, path."""

from __future__ import annotations

import difflib
import ipaddress
import re
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Literal, NoReturn, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

import msgspec

from edgeproxy.address import parse_address
from edgeproxy.configuration.units import parse_duration, parse_size
from edgeproxy.errors import ConfigurationError

_ORDER = ("list", "table", "boolean", "integer", "number", "text")
_NUMBER = re.compile(r"[0-9]{1,18}(?:\.[0-9]{1,18})?")
_YES = frozenset({"true", "yes", "on", "1"})
_NO = frozenset({"false", "no", "off", "0"})


class Option(msgspec.Struct, frozen=True, kw_only=True):
    """One option of a section, as the schema tells it. `type` is the type without its metadata:
    one of _ORDER, the most particular where several fit. `unit` is "" for a plain value. `table` is the
    section (a class) that each item of a list of tables is, None for other options; `numbers`: items of the
    list are whole numbers."""

    name: str
    annotation: Any
    type: str
    unit: str
    optional: bool
    required: bool
    choices: tuple[str, ...]
    description: str
    table: Any = None
    numbers: bool = False


@cache
def options(section: type[msgspec.Struct]) -> dict[str, Option]:
    """The options of a section by name, in the order of the schema; without the sections in it."""
    hints = get_type_hints(section, include_extras=True)
    return {
        field.name: _option(field, hints[field.name])
        for field in msgspec.structs.fields(section)
        if not is_section(field.type)
    }


def is_section(kind: Any) -> bool:
    """Whether a field's type is a table of its own."""
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _option(field: msgspec.structs.FieldInfo, annotation: Any) -> Option:
    metas = list(_metas(annotation))
    shape = msgspec.inspect.type_info(annotation)
    kinds = list(_kinds(shape))
    return Option(
        name=field.name,
        annotation=annotation,
        type=next(kind for kind in _ORDER if kind in kinds),
        unit=next((str(m.extra["unit"]) for m in metas if m.extra and "unit" in m.extra), ""),
        optional="" in kinds,
        required=field.required,
        choices=tuple(_choices(annotation)),
        description=next((m.description for m in metas if m.description), ""),
        table=next(_tables(shape), None),
        numbers=any(
            isinstance(one, msgspec.inspect.ListType) and isinstance(one.item_type, msgspec.inspect.IntType)
            for one in _flat(shape)
        ),
    )


def _metas(annotation: Any) -> Iterator[msgspec.Meta]:
    for part in (*getattr(annotation, "__metadata__", ()), *get_args(annotation)):
        if isinstance(part, msgspec.Meta):
            yield part
        else:
            yield from _metas(part)


def _choices(annotation: Any) -> Iterator[str]:
    """The values of a Literal, in the order of the schema."""
    for part in get_args(annotation):
        if get_origin(annotation) is Literal:
            yield str(part)
        else:
            yield from _choices(part)


def _flat(shape: msgspec.inspect.Type) -> Iterator[msgspec.inspect.Type]:
    match shape:
        case msgspec.inspect.Metadata(type=inner):
            yield from _flat(inner)
        case msgspec.inspect.UnionType(types=several):
            for one in several:
                yield from _flat(one)
        case _:
            yield shape


def _tables(shape: msgspec.inspect.Type) -> Iterator[type[msgspec.Struct]]:
    for one in _flat(shape):
        if isinstance(one, msgspec.inspect.ListType) and isinstance(
            one.item_type, msgspec.inspect.StructType
        ):
            yield one.item_type.cls


def _kinds(shape: msgspec.inspect.Type) -> Iterator[str]:
    names: dict[type, str] = {
        msgspec.inspect.StrType: "text",
        msgspec.inspect.LiteralType: "text",
        msgspec.inspect.IntType: "integer",
        msgspec.inspect.FloatType: "number",
        msgspec.inspect.BoolType: "boolean",
        msgspec.inspect.ListType: "list",
        msgspec.inspect.DictType: "table",
        msgspec.inspect.NoneType: "",
    }
    for one in _flat(shape):
        yield names[type(one)]


def from_toml(option: Option, path: str, written: Any, directory: Path) -> Any:
    """The value of an option that stands in a TOML file. Relative file names start at `directory`.

    Raises ConfigurationError, naming `path`, for a wrong type, unit or form."""
    if option.table is not None:
        return _rows(option.table, path, written, directory)
    try:
        value = [_unit(option, item, directory) for item in written] if _is_list(written) else None
        value = _unit(option, written, directory) if value is None else value
        return msgspec.convert(value, option.annotation, strict=True)
    except msgspec.ValidationError as error:
        _refuse(option, path, error)
    except ValueError as error:
        raise ConfigurationError(path, str(error)) from None


def _rows(table: type[msgspec.Struct], path: str, written: Any, directory: Path) -> list[Any]:
    """A list of tables, each with the options of `table`; a fault is named with the place in the list."""
    if not isinstance(written, list) or not all(isinstance(row, dict) for row in written):
        raise ConfigurationError(path, f"is a list of tables: write [[{path}]] and its keys below")
    known = options(table)
    found = []
    for place, row in enumerate(written, 1):
        here = f"{path}.{place}"
        for key in row:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
                raise ConfigurationError(
                    f"{here}.{key}", f"unknown key{f'; did you mean {path}.{near[0]}?' if near else ''}"
                )
        missing = [key for key, option in known.items() if option.required and key not in row]
        if missing:
            raise ConfigurationError(f"{here}.{missing[0]}", "is needed")
        values = {key: from_toml(known[key], f"{here}.{key}", value, directory) for key, value in row.items()}
        found.append(table(**values))
    return found


def from_text(option: Option, path: str, text: str, directory: Path) -> Any:
    """The value of an option given as text, by the environment or --set; likewise."""
    return from_toml(option, path, _untext(option, path, text), directory)


def _untext(option: Option, path: str, text: str) -> Any:
    if option.optional and text in ("", "none"):
        return None
    is_address = option.unit == "address" and not text.endswith("]")  # one of IPv6, in brackets itself
    if option.type == "list" and (is_address or not text.startswith("[")):
        items = [item.strip(" ") for item in text.split(",") if item.strip(" ")]
        return [int(item) if option.numbers and item.isdecimal() else item for item in items]
    if option.type in ("list", "table"):
        try:
            return tomllib.loads(f"value = {text}")["value"]
        except (tomllib.TOMLDecodeError, KeyError):
            raise ConfigurationError(path, "cannot be read as a TOML value") from None
    if option.type == "boolean" and text.lower() in _YES | _NO:
        return text.lower() in _YES
    if option.unit or (option.choices and text in option.choices):
        return text
    if option.type == "integer" and text.isascii() and text.isdecimal() and len(text) <= 18:
        return int(text)
    if option.type == "number" and _NUMBER.fullmatch(text):
        return float(text)
    return text


def _is_list(written: Any) -> bool:
    return isinstance(written, list)


def _unit(option: Option, value: Any, directory: Path) -> Any:
    """`value` in the unit the schema stores, its form checked. Raises ValueError."""
    if isinstance(value, float) and value - value != 0:
        raise ValueError("infinity and nan are not usable here")
    if not isinstance(value, str) or not option.unit:
        return value
    if option.unit == "path":
        return _resolve(value, directory)
    if value == "" and option.unit in ("address", "url"):
        return value
    readers: dict[str, Callable[[str], Any]] = {
        "size": parse_size,
        "duration": parse_duration,
        "address": _address,
        "network": _network,
        "url": _url,
    }
    return readers[option.unit](value)


def _resolve(text: str, directory: Path) -> str:
    if text in ("", "-"):
        return text
    try:
        return str(directory / Path(text).expanduser())
    except RuntimeError:
        raise ValueError("~ means nothing here: this user has no home directory") from None


def _address(text: str) -> str:
    parse_address(text)
    return text


def _network(text: str) -> str:
    ipaddress.ip_network(text)
    return text


def _url(text: str) -> str:
    """Only http and https with a host. The text is not repeated in errors: it may hold a password."""
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("a URL is written in printable ASCII without spaces")
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ValueError('a URL is written "http://host:port/path" or "https://..."')
    if parts.query or parts.fragment:
        raise ValueError("a URL here has neither query nor fragment")
    return text


def _refuse(option: Option, path: str, error: msgspec.ValidationError) -> NoReturn:
    message = str(error).partition(" - at ")[0]
    if option.choices:
        message = f"{message}; one of {', '.join(option.choices)}"
    elif option.unit == "size":
        message = 'expected a size: bytes, or "512KiB", "64MiB", "1GB"'
    elif option.unit == "duration":
        message = 'expected a duration: seconds, or "500ms", "10s", "2m", "1h", "7d"'
    raise ConfigurationError(path, message[:1].lower() + message[1:]) from None
