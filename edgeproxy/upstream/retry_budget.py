"""How much may be asked twice: a share of what is asked once, so that trouble is not multiplied.

What costs the failing upstream nothing (another candidate after a refused connection) is not charged. A
budget is a value; times are seconds of a clock that is never set back."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace


class RetryBudget(Struct, frozen=True, kw_only=True):
    """`share` of each request is put aside, `per_second` besides; at most `most` is kept."""

    share: float
    per_second: float
    most: float
    left: float
    at: float = 0.0

    @classmethod
    def full(cls, *, share: float, per_second: float, most: float) -> RetryBudget:
        return cls(share=share, per_second=per_second, most=most, left=most)

    def deposited(self, now: float) -> RetryBudget:
        """After one more request."""
        earned = self.share + self.per_second * max(0.0, now - self.at)
        return replace(self, left=min(self.most, self.left + earned), at=max(now, self.at))

    def withdrawn(self, now: float) -> RetryBudget | None:
        """After one more retry; None if there is nothing left for it."""
        left = min(self.most, self.left + self.per_second * max(0.0, now - self.at))
        if left < 1:
            return None
        return replace(self, left=left - 1, at=max(now, self.at))
