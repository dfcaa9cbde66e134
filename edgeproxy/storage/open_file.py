"""A body file held open and shared by all who send it.

Who sends a file may do so for longer than the store wants it: a transport has it in its queue after the
store has let go. So nobody closes one; the last reference does, and the descriptor cannot come to mean
another file."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from edgeproxy.storage.body_file import Footer
from edgeproxy.storage.integrity import identity


@dataclass(frozen=True, slots=True)
class OpenedBody:
    """A body file open for reading, its footer read; ended by DiskTier.shut. `data` is all of it if that
    was asked for."""

    body: str
    fd: int
    footer: Footer
    data: bytes | None


class OpenFile:
    """A message.OpenFile. `shut` ends what `opened` began; it must not wait, for it is called wherever the
    last reference is dropped."""

    __slots__ = ("_shut", "opened")

    def __init__(self, opened: OpenedBody, shut: Callable[[OpenedBody], None]) -> None:
        self.opened = opened
        self._shut = shut

    def __del__(self) -> None:
        self._shut(self.opened)

    def fileno(self) -> int:
        return self.opened.fd

    def is_unchanged(self) -> bool:
        """Whether it is still the file whose bytes were proven when it was opened (integrity.identity)."""
        try:
            return identity(os.fstat(self.opened.fd)) == self.opened.footer.file
        except OSError:
            return False
