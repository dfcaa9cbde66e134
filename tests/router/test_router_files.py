import pytest

from edgeproxy.router import files
from edgeproxy.router.files import Files

FILES = Files(
    [
        ("python-index", "/pypi/", []),
        ("huggingface", "/hf", []),
        ("generic", "/", []),
        ("huggingface", "", ["hub.example"]),
    ]
)


@pytest.mark.parametrize(
    ("target", "authority", "is_file"),
    [
        ("/pypi/simple/a/", "", False),
        ("/pypi/simple/", "", False),
        ("/pypi/pypi/a/json", "", False),
        ("/pypi/f/files.example/a.whl", "", True),
        ("/hf/acme/m/resolve/main/a.bin?download=true", "", True),
        ("/hf/acme/m/raw/main/a", "", False),
        ("/hf/api/models/acme/m/tree/main/resolve/x", "", False),
        ("/hf/api/resolve-cache/models/a/resolve/b", "", False),
        ("/data/a.bin", "", True),
        ("/data/", "", False),
        ("/data/?a=/resolve/", "", False),
        ("/hfx/a", "", True),
        ("/acme/m/resolve/main/a", "hub.example:8080", True),
        ("/acme/m", "hub.example", False),
        ("/acme/m", "other.example", True),
    ],
)
def test_files_are_told_by_the_site_and_the_path(target: str, authority: str, is_file: bool) -> None:
    assert FILES.is_file(target, authority) is is_file


def test_without_a_site_there_are_no_files() -> None:
    assert not Files([]).is_file("/a")


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "TARGETS_MAX", 10)
    known = Files([("generic", "/f", ())])
    for number in range(100):
        assert known.is_file(f"/f/{number}")
        assert known.is_file(f"/f/{number}")
        assert not known.is_file(f"/g/{number}")
    assert known.is_file("/f/" + "a" * files.TARGET_LENGTH)
    assert len(known._known) <= 10
    assert all(len(target) <= files.TARGET_LENGTH for target, _ in known._known)
