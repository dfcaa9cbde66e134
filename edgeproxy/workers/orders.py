"""What a supervisor and its children say to each other, in frames over a socket pair."""

from __future__ import annotations

from typing import TypeAlias

import msgspec


class _Said(msgspec.Struct, array_like=True, frozen=True):
    """A message."""


class Ready(_Said, tag=0, frozen=True):
    """A child has started."""


class Failed(_Said, tag=1, frozen=True):
    """A child cannot start, and ends; `text` is one line."""

    text: str


class Stop(_Said, tag=2, frozen=True):
    """Drain and end."""


class Inherit(_Said, tag=3, frozen=True):
    """A listening socket, whose descriptor comes with this, for the next Reconfigure; see
    serving.sockets.Listening."""

    kind: str
    text: str
    name: str


class Reconfigure(_Said, tag=4, frozen=True):
    """Take over a configuration (MessagePack)."""

    config: bytes


class Done(_Said, tag=5, frozen=True):
    """A child has done what it was told last; `trouble` is one line if it has not."""

    trouble: str = ""


class ReloadAsked(_Said, tag=6, frozen=True):
    """The control plane wants the configuration read again, or a new process (`restart`)."""

    restart: bool


class ReloadAnswered(_Said, tag=7, frozen=True):
    """What came of that: JSON, or why nothing has changed."""

    document: bytes
    trouble: str


class Pause(_Said, tag=8, frozen=True):
    """A server: accept nothing, and let requests wait until Resume or Leave."""


class Resume(_Said, tag=9, frozen=True):
    """A server: go on as before."""


class Release(_Said, tag=10, frozen=True):
    """The filler: let the store go; Done when another process may open it."""


class Leave(_Said, tag=11, frozen=True):
    """A server: another program has the sockets. Ask its filler at `path`, answer once more what is open,
    and end."""

    path: str


class Offered(_Said, tag=12, frozen=True):
    """To a new program: that was all there is to inherit."""


class Loaded(_Said, tag=13, frozen=True):
    """From a new program: everything is here but the store."""


class Go(_Said, tag=14, frozen=True):
    """To a new program: the store is free."""


class Serving(_Said, tag=15, frozen=True):
    """From a new program: it accepts."""


Order: TypeAlias = (
    Ready
    | Failed
    | Stop
    | Inherit
    | Reconfigure
    | Done
    | ReloadAsked
    | ReloadAnswered
    | Pause
    | Resume
    | Release
    | Leave
    | Offered
    | Loaded
    | Go
    | Serving
)

DECODER: msgspec.msgpack.Decoder[Order] = msgspec.msgpack.Decoder(Order)
