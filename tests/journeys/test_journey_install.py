"""pip and uv, old and new, install through a node."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from stands.clients import Installed, Installer
from stands.index import Index
from stands.node import Node, eventually

ServeIndex = Callable[..., Node]
TREE = {f"leaf{n}": "1.0" for n in range(8)} | {
    "tree": "1.0", "odd_name_project": "3.0", "beta": "1.0", "alpha": "1.1", "gamma": "0.2"
}  # fmt: skip
ALPHA = "alpha-1.1-py3-none-any.whl"


def simple(node: Node) -> str:
    return node.url("/pypi/simple/")


def good(installed: Installed, expected: dict[str, str]) -> None:
    assert installed.status == 0, installed.output
    found = {name.lower(): version for name, version in installed.packages.items()}
    assert found == expected, installed.output


def test_cold_then_warm_without_asking_again_and_all_of_it_through_the_node(
    serve_index: ServeIndex, index: Index, installer: Installer, tmp_path: Path
) -> None:
    node = serve_index(index)
    good(installer.install(simple(node), tmp_path / "cold", "tree"), TREE)
    assert index.repeated() == {}
    asked = len(index.requests())
    warm = installer.install(simple(node), tmp_path / "warm", "tree")
    good(warm, TREE)
    assert "WARNING" not in warm.output.upper()
    # Old releases of pip always revalidate pages; what is fresh here must still not go further.
    new = index.requests()[asked:]
    assert [target for _, target in new if "/packages/" in target] == [], node.access_log()
    assert new == [] or "pip==2" in installer.name
    files = [e for e in index.files_server.journal.exchanges if not e.path.endswith(".metadata")]
    assert all(e.method == "GET" for e in files)
    assert files
    # All links lead back to the node: nobody goes past it.
    exchanges = index.pages_server.journal.exchanges + index.files_server.journal.exchanges
    assert [e.target for e in exchanges if not e.all("via")] == []


def test_a_source_distribution_is_built(
    serve_index: ServeIndex, index: Index, current: Installer, tmp_path: Path
) -> None:
    node = serve_index(index)
    good(current.install(simple(node), tmp_path / "source", "delta"), {"delta": "1.0"})


def test_a_yanked_release_is_installed_only_by_its_version(
    serve_index: ServeIndex, index: Index, current: Installer, tmp_path: Path
) -> None:
    node = serve_index(index)
    good(current.install(simple(node), tmp_path / "any", "alpha"), {"alpha": "1.1"})
    good(current.install(simple(node), tmp_path / "pinned", "alpha==2.0"), {"alpha": "2.0"})


def test_a_release_for_another_python_is_passed_over(
    serve_index: ServeIndex, index: Index, current: Installer, tmp_path: Path
) -> None:
    good(current.install(simple(serve_index(index)), tmp_path / "gamma", "gamma"), {"gamma": "0.2"})


@pytest.mark.parametrize("form", ["html only", "no sidecars"])
def test_an_index_of_less_is_enough(
    serve_index: ServeIndex, index: Index, installer: Installer, tmp_path: Path, form: str
) -> None:
    index.faults.html_only = form == "html only"
    index.faults.no_sidecars = form == "no sidecars"
    node = serve_index(index)
    good(installer.install(simple(node), tmp_path / "less", "tree"), TREE)


def test_what_was_installed_once_installs_with_the_origin_down(
    serve_index: ServeIndex, index: Index, installer: Installer, tmp_path: Path
) -> None:
    node = serve_index(index, page_ttl="0s", page_timeout="1s")
    good(installer.install(simple(node), tmp_path / "up", "tree"), TREE)
    index.down()
    good(installer.install(simple(node), tmp_path / "down", "tree"), TREE)


def test_what_was_installed_once_installs_offline(
    serve_index: ServeIndex, index: Index, current: Installer, tmp_path: Path
) -> None:
    node = serve_index(index, page_ttl="0s")
    good(
        current.install(simple(node), tmp_path / "online", "beta", "alpha==1.0"),
        {"beta": "1.0", "alpha": "1.0", "gamma": "0.2"},
    )
    node.stop()
    node.arguments.append("--offline")
    node.start()
    asked = len(index.requests())
    # The page lists what is stored, so an older release is chosen instead of one that is not here.
    good(
        current.install(simple(node), tmp_path / "offline", "beta"),
        {"beta": "1.0", "alpha": "1.0", "gamma": "0.2"},
    )
    refused = current.install(simple(node), tmp_path / "absent", "tree")
    assert refused.status != 0
    assert len(index.requests()) == asked


def test_wrong_bytes_never_install_and_right_ones_do_afterwards(
    serve_index: ServeIndex, index: Index, installer: Installer, tmp_path: Path
) -> None:
    index.faults.wrong_files.add(ALPHA)
    node = serve_index(index, {"upstream": {"connect_timeout": "1s"}})
    bad = installer.install(simple(node), tmp_path / "bad", "alpha", retries=1)
    assert bad.status != 0
    assert bad.packages == {}
    assert node.metric("digest_mismatch_total") >= 1
    index.faults.wrong_files.clear()
    good(installer.install(simple(node), tmp_path / "good", "alpha"), {"alpha": "1.1"})


def test_advertised_sidecars_that_fail_break_nothing(
    serve_index: ServeIndex, index: Index, installer: Installer, tmp_path: Path
) -> None:
    index.faults.missing_sidecars.add(ALPHA)
    index.faults.wrong_sidecars.update({"beta-1.0-py3-none-any.whl", "gamma-0.2-py3-none-any.whl"})
    node = serve_index(index)
    expected = {"beta": "1.0", "alpha": "1.1", "gamma": "0.2"}
    good(installer.install(simple(node), tmp_path / "sidecar", "beta"), expected)


def test_a_body_cut_in_the_middle_is_not_noticed(
    serve_index: ServeIndex, index: Index, installer: Installer, tmp_path: Path
) -> None:
    index.faults.cut_files[ALPHA] = 1
    good(installer.install(simple(serve_index(index)), tmp_path / "cut", "alpha"), {"alpha": "1.1"})


def test_a_body_that_is_always_cut_never_installs_and_does_when_it_is_whole(
    serve_index: ServeIndex, index: Index, installer: Installer, tmp_path: Path
) -> None:
    index.faults.cut_files[ALPHA] = 1000
    node = serve_index(index)
    assert installer.install(simple(node), tmp_path / "cut", "alpha", retries=1).packages == {}
    index.faults.cut_files.clear()
    good(installer.install(simple(node), tmp_path / "whole", "alpha"), {"alpha": "1.1"})


@pytest.mark.slow
def test_an_origin_that_fails_three_times_in_ten_still_installs(
    serve_index: ServeIndex, index: Index, current: Installer, tmp_path: Path
) -> None:
    index.faults.error_share = 0.3
    node = serve_index(index)
    good(current.install(simple(node), tmp_path / "shaky", "tree"), TREE)


def test_parallel_cold_clients_ask_for_each_url_once(
    serve_index: ServeIndex, index: Index, current: Installer, tmp_path: Path
) -> None:
    index.faults.page_delay = 0.2
    node = serve_index(index)
    results: list[Installed] = []

    def install(number: int) -> None:
        results.append(current.install(simple(node), tmp_path / f"parallel{number}", "beta"))

    threads = [threading.Thread(target=install, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        good(result, {"beta": "1.0", "alpha": "1.1", "gamma": "0.2"})
    assert index.repeated() == {}


def test_a_kill_in_the_middle_of_a_big_wheel_costs_a_download_and_nothing_else(
    serve_index: ServeIndex, big_index: Index, current: Installer, tmp_path: Path
) -> None:
    big = big_index.file("big-1.0-py3-none-any.whl")
    big_index.faults.file_delay = 0.02
    node = serve_index(big_index)
    first = threading.Thread(
        target=current.install, args=(simple(node), tmp_path / "first", "big"), kwargs={"retries": 1}
    )
    first.start()
    journal = big_index.files_server.journal
    assert eventually(lambda: journal.sent(big.path) > 10_000_000)
    node.kill()
    first.join()
    big_index.faults.file_delay = 0
    node.start()
    done = current.install(simple(node), tmp_path / "second", "big")
    good(done, {"big": "1.0"})
    noise = (done.target / "big" / "noise.bin").read_bytes()
    assert noise in big.content


def test_a_new_release_appears_when_the_page_is_no_longer_fresh(
    serve_index: ServeIndex, index: Index, current: Installer, tmp_path: Path
) -> None:
    from stands.wheels import wheel

    node = serve_index(index, page_ttl="0s", revalidate_floor="0s")
    good(current.install(simple(node), tmp_path / "old", "alpha"), {"alpha": "1.1"})
    index.add(wheel("alpha", "1.2"))
    good(current.install(simple(node), tmp_path / "new", "alpha"), {"alpha": "1.2"})


def test_an_older_backend_does_not_take_a_release_away(
    serve_index: ServeIndex, index: Index, current: Installer, tmp_path: Path
) -> None:
    node = serve_index(index, page_ttl="0s", revalidate_floor="0s")
    good(current.install(simple(node), tmp_path / "old", "alpha"), {"alpha": "1.1"})
    index.files["alpha"] = [d for d in index.files["alpha"] if d.version == "1.0"]
    index.serials["alpha"] -= 1
    good(current.install(simple(node), tmp_path / "new", "alpha"), {"alpha": "1.1"})
