"""What is loaded while clients are served already."""

from __future__ import annotations

import errno

import pytest

from edgeproxy import loading
from edgeproxy.loading import loaded


class Load:
    """Fails with each of `errors` in turn."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)

    def __call__(self) -> str:
        if self._errors:
            raise self._errors.pop(0)
        return "there"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "WAIT_SECONDS", 0.0)


async def test_want_of_descriptors_is_waited_out() -> None:
    short = OSError(errno.EMFILE, "Too many open files", "module.py")
    shared = ImportError("module.so: cannot open shared object file: Too many open files")
    assert await loaded(Load(short, OSError(errno.ENFILE, "all"), shared)) == "there"


@pytest.mark.parametrize("error", [ImportError("No module named 'absent'"), OSError(errno.EIO, "disk")])
async def test_what_will_not_get_better_is_told(error: Exception) -> None:
    with pytest.raises(type(error)):
        await loaded(Load(error))
