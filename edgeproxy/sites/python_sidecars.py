"""A core-metadata sidecar taken out of the wheel it describes, for when upstream does not have it."""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
import zlib
from dataclasses import dataclass

from edgeproxy.message import Headers
from edgeproxy.policy.stored import StoredResponse
from edgeproxy.sites.python_facts import NoSidecar
from edgeproxy.sites.site import Derived, Unacceptable

SIDECAR_BYTES_MAX = 16 << 20
# All that zipfile raises for archives that are damaged, encrypted or packed in an unknown way.
_BROKEN = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, ValueError, OSError, EOFError)
_METADATA = re.compile(r"[^/]+\.dist-info/METADATA")


@dataclass(frozen=True, slots=True)
class SidecarView:
    """METADATA of a wheel, if it has the hash the page advertised ("" if it gave none). `source` is the
    URL of the index."""

    project: str
    file: bytes
    sha256: str
    source: str = ""

    @property
    def id(self) -> str:
        return f"sidecar/1/{self.sha256}"

    @property
    def volatile(self) -> bool:
        return False

    @property
    def _missing(self) -> NoSidecar:
        return NoSidecar(self.project, self.file, self.source)

    def derive(self, stored: StoredResponse, body: bytes, previous: StoredResponse | None) -> Derived:
        try:
            data = metadata_of(body)
        except Unacceptable as error:
            raise Unacceptable(str(error), self._missing) from error
        digest = hashlib.sha256(data).hexdigest()
        if self.sha256 and digest != self.sha256:
            raise Unacceptable("the wheel's METADATA is not what was advertised", self._missing)
        fields = Headers((("Content-Type", "application/octet-stream"), ("ETag", f'"sha256-{digest}"')))
        return Derived(fields, data)


def metadata_of(wheel: bytes) -> bytes:
    """Raises Unacceptable if there is no METADATA of at most 16 MiB in it."""
    try:
        with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
            found = [info for info in archive.infolist() if _METADATA.fullmatch(info.filename)]
            if len(found) != 1 or found[0].file_size > SIDECAR_BYTES_MAX:
                raise Unacceptable("the wheel has no usable METADATA")
            with archive.open(found[0]) as member:
                data = member.read(SIDECAR_BYTES_MAX + 1)
    except _BROKEN as error:
        raise Unacceptable("the wheel is not a readable archive") from error
    if len(data) > SIDECAR_BYTES_MAX:
        raise Unacceptable("the wheel's METADATA is too large")
    return data
