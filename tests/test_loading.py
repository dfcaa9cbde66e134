"""What is loaded while clients are served already."""

from __future__ import annotations

import errno

import pytest

from edgeproxy import loading
from edgeproxy.loading import IMPORTS_MAX, loaded


class Load:
    """Fails with each of `errors` in turn."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)

    def __call__(self) -> str:
        if self.errors:
            raise self.errors.pop(0)
        return "there"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "WAIT_SECONDS", 0.0)


async def test_what_may_get_better_is_waited_out() -> None:
    short = OSError(errno.EMFILE, "Too many open files", "module.py")
    shared = ImportError("module.so: cannot open shared object file: Too many open files")
    disk = OSError(errno.EIO, "Input/output error", "module.pyc")
    assert await loaded(Load(*[short, shared, disk] * 5)) == "there"


async def test_what_will_not_get_better_is_told() -> None:
    load = Load(*[ImportError("No module named 'absent'")] * 100)
    with pytest.raises(ImportError):
        await loaded(load)
    assert len(load.errors) == 100 - IMPORTS_MAX
    with pytest.raises(ValueError, match="other"):
        await loaded(Load(ValueError("other")))
