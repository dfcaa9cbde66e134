"""The container image: nothing in it that should not be, and the same each time."""

import re
import shlex
import tomllib
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import pytest

SECRET = re.compile(r"(?i)(token|password|secret|credential|api_?key)[A-Z_]*\s*=")


@dataclass(frozen=True)
class Instruction:
    name: str
    text: str

    @property
    def words(self) -> list[str]:
        return shlex.split(self.text)


@pytest.fixture
def stages(configs: Path) -> list[list[Instruction]]:
    """The instructions of each stage; those before the first FROM are left out."""
    joined = re.sub(r"\\\n\s*", " ", re.sub(r"(?m)^#.*\n", "", (configs / "Dockerfile").read_text()))
    found: list[list[Instruction]] = []
    for line in filter(None, map(str.strip, joined.splitlines())):
        name, _, text = line.partition(" ")
        assert re.fullmatch("[A-Z]+", name), line
        if name == "FROM":
            found.append([])
        if found:
            found[-1].append(Instruction(name, text))
    return found


def of(stage: list[Instruction], name: str) -> list[Instruction]:
    return [one for one in stage if one.name == name]


def test_it_runs_as_nobody_of_importance_by_number(stages: list[list[Instruction]]) -> None:
    """By number, so that an orchestrator can see that it is not root."""
    assert [one.text for one in of(stages[-1], "USER")] == ["10001:10001"]
    names = [one.name for one in stages[-1]]
    assert "RUN" not in names[names.index("USER") :]


def test_what_builds_is_not_in_what_runs(stages: list[list[Instruction]]) -> None:
    assert len(stages) == 2
    assert [one.words for one in of(stages[-1], "COPY")] == [
        ["--from=build", "/opt/edgeproxy", "/opt/edgeproxy"]
    ]
    assert not [one for one in of(stages[-1], "RUN") if re.search(r"\b(pip|apt|curl)\b", one.text)]


def test_it_tells_how_it_is(stages: list[list[Instruction]]) -> None:
    (check,) = of(stages[-1], "HEALTHCHECK")
    assert "/healthz" in check.text
    assert [one.text for one in of(stages[-1], "STOPSIGNAL")] == ["SIGTERM"]
    assert [one.text for one in of(stages[-1], "ENTRYPOINT")] == ['["edgeproxy"]']


def test_nothing_in_it_is_secret_or_fetched_past_the_package_client(stages: list[list[Instruction]]) -> None:
    everything = [one for stage in stages for one in stage]
    assert not [one for one in everything if one.name in ("ARG", "ENV") and SECRET.search(one.text)]
    assert not of(everything, "ADD")
    assert not [one for one in everything if "://" in one.text and "127.0.0.1" not in one.text]
    assert not [one for one in of(everything, "FROM") if one.text.endswith(":latest")]


def test_the_same_checkout_gives_the_same_image(stages: list[list[Instruction]]) -> None:
    build = " ".join(one.text for one in stages[0])
    assert "SOURCE_DATE_EPOCH" in build
    assert "PIP_CONSTRAINT=/source/configs/constraints.txt" in build
    assert "--only-binary=:all:" in build


def test_a_start_compiles_nothing(stages: list[list[Instruction]]) -> None:
    """Bytecode is looked for where it was written; it names no time, and sets in it have one order."""
    build = " ".join(one.text for one in stages[0])
    (folder,) = re.findall(r"PYTHONPYCACHEPREFIX=(\S+)", build)
    environment = [word for one in of(stages[-1], "ENV") for word in one.words]
    assert f"PYTHONPYCACHEPREFIX={folder}" in environment
    assert folder.startswith(of(stages[-1], "COPY")[0].words[-1] + "/")
    ((pattern, packages),) = re.findall(r"-m compileall .*? -x '([^']+)'\s+(\S+) .*stdlib", build)
    left_out = re.compile(pattern)
    assert not left_out.search(f"{packages}/python3.12/site-packages/edgeproxy/node.py")
    assert not left_out.search("/usr/local/lib/python3.12/asyncio/tasks.py")
    assert left_out.search("/usr/local/lib/python3.12/site-packages/pip/__init__.py")
    assert "--invalidation-mode unchecked-hash" in build
    assert "PYTHONHASHSEED=0" in build


def test_every_dependency_has_one_version(configs: Path) -> None:
    project = tomllib.loads((configs.parent / "pyproject.toml").read_text())
    asked = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    names = {re.split(r"[<>=!~\[; ]", one)[0].lower().replace("_", "-") for one in asked}
    lines = [line for line in (configs / "constraints.txt").read_text().splitlines() if line[:1] != "#"]
    pinned = dict(line.split("==") for line in lines)
    assert names - set(pinned) == set()
    assert list(pinned) == sorted(pinned)


@pytest.mark.parametrize(
    ("path", "is_sent"),
    [
        ("pyproject.toml", True),
        ("README.md", True),
        ("edgeproxy/node.py", True),
        ("configs/constraints.txt", True),
        (".git/config", False),
        ("tests/conftest.py", False),
        ("configs/node.token", False),
        ("edgeproxy/__pycache__/node.cpython-311.pyc", False),
    ],
)
def test_only_what_is_needed_goes_to_the_builder(configs: Path, path: str, is_sent: bool) -> None:
    rules = [
        line
        for line in (configs.parent / ".dockerignore").read_text().splitlines()
        if line[:1] not in ("", "#")
    ]
    ignored = False
    for rule in rules:  # the last that fits decides
        pattern = rule.removeprefix("!").removeprefix("**/")
        parts = [
            path,
            *path.split("/"),
            *("/".join(path.split("/")[:n]) for n in range(1, path.count("/") + 2)),
        ]
        if any(fnmatch(part, pattern) for part in parts):
            ignored = not rule.startswith("!")
    assert ignored is not is_sent


def test_everything_that_is_copied_is_sent(stages: list[list[Instruction]], configs: Path) -> None:
    kept = {
        line[1:] for line in (configs.parent / ".dockerignore").read_text().splitlines() if line[:1] == "!"
    }
    copied = {word for one in of(stages[0], "COPY") for word in one.words[:-1]}
    assert copied <= kept
    assert all((configs.parent / path).exists() for path in copied)
