"""What the schema of the configuration is made of: units, and the section they stand in.

Sizes are bytes, durations seconds; in TOML, environment and --set they are written with units ("64MiB",
"10s"). `extra["unit"]` of a type tells `edgeproxy.configuration` how."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

Seconds = Annotated[float, msgspec.Meta(ge=0, extra={"unit": "duration"})]
Bytes = Annotated[int, msgspec.Meta(ge=0, extra={"unit": "size"})]
Count = Annotated[int, msgspec.Meta(ge=0)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
ListenAddress = Annotated[str, msgspec.Meta(extra={"unit": "address"})]
Network = Annotated[str, msgspec.Meta(extra={"unit": "network"})]
Url = Annotated[str, msgspec.Meta(extra={"unit": "url"})]
FilePath = Annotated[str, msgspec.Meta(extra={"unit": "path"})]


def meaning(text: str) -> Any:
    """The one line that says what an option means."""
    return msgspec.Meta(description=text)


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the configuration."""
