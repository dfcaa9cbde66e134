from pathlib import Path
from typing import Any

import click
import pytest

from edgeproxy.cli import bench_checkout
from edgeproxy.cli.bench_checkout import Checkout, Scenario, checkout, found_directory
from edgeproxy.errors import EdgeError

ROOT = Path(__file__).parents[2]


def scenario(name: str) -> Scenario:
    return Scenario(name, "How?", [], True, 5, False)


def made(directory: Path, code: str) -> Path:
    (directory / "benchmarks").mkdir(parents=True)
    (directory / "benchmarks" / "__init__.py").touch()
    (directory / "benchmarks" / "scenarios.py").write_text(code)
    return directory


def test_the_first_place_with_scenarios_is_the_checkout(tmp_path: Path) -> None:
    nothing, first, second = tmp_path / "0", made(tmp_path / "1", ""), made(tmp_path / "2", "")
    assert found_directory([nothing, first, second]) == first


def test_without_a_checkout_it_is_told_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(click.UsageError, match=r"no folder benchmarks/ in .*pip install '\.\[bench\]'"):
        found_directory([tmp_path])


def test_the_scenarios_of_this_checkout_are_told_by_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    found = checkout()
    assert found.directory == ROOT
    names = [one.name for one in found.scenarios]
    assert {"hits", "herd", "soak"} <= set(names)
    assert [one.name for one in found.scenarios if one.is_alone] == ["soak"]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("raise ImportError('no module that')", "ImportError: no module that"),
        ("print('no json')", "does not tell its scenarios"),
        ("print('{}')", "does not tell its scenarios"),
    ],
)
def test_a_checkout_that_does_not_answer_is_an_error_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, said: str
) -> None:
    monkeypatch.setattr(bench_checkout, "places", lambda: [made(tmp_path / "x", code)])
    with pytest.raises(EdgeError, match=said) as caught:
        checkout()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("names", "chosen"), [((), ["hits", "herd"]), (("herd",), ["herd"]), (("herd", "hits"), ["hits", "herd"])]
)
def test_scenarios_run_in_their_own_order(names: Any, chosen: list[str]) -> None:
    place = Checkout(Path(), (scenario("hits"), scenario("herd")), ())
    assert [one.name for one in place.chosen(names)] == chosen


@pytest.mark.parametrize(("name", "hint"), [("hitz", "did you mean hits?"), ("zzz", "there are hits, herd")])
def test_an_unknown_name_is_refused_with_a_hint(name: str, hint: str) -> None:
    with pytest.raises(click.UsageError, match=f"{name}: no such scenario; ") as caught:
        Checkout(Path(), (scenario("hits"), scenario("herd")), ()).chosen([name])
    assert hint in str(caught.value)
