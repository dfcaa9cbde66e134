"""What an object takes in a tier, beside its bytes."""

from __future__ import annotations

from array import array
from dataclasses import dataclass

from edgeproxy.simulation.trace import Trace

NEVER = -1


@dataclass(frozen=True, slots=True)
class Tier:
    """`overhead` bytes for each object, rounded up to whole blocks of `block` bytes together with the body;
    objects with more than `body_max` bytes (None: any) are not kept."""

    name: str
    overhead: int = 0
    block: int = 1
    body_max: int | None = None

    def costs(self, trace: Trace) -> array[int]:
        """Bytes each object takes, by number; NEVER for those that are not kept."""
        most, overhead, block = self.body_max, self.overhead, self.block
        return array(
            "q",
            (
                NEVER if most is not None and size > most else -(-(size + overhead) // block) * block
                for size in trace.sizes
            ),
        )


def ram(body_max: int) -> Tier:
    """The RAM tier: a head ready to be sent, of ten fields or so, lies beside each body (storage.memory)."""
    return Tier("memory", overhead=3500, body_max=body_max)


DISK = Tier("disk", overhead=1400, block=4096)
"""The disk tier: a body is a file, with its record behind it (storage.body_file)."""

PLAIN = Tier("bytes")
"""Bodies alone, for comparisons."""
