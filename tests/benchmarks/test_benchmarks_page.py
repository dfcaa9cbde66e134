import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from benchmarks.page import _marked, main, page, spoken
from benchmarks.report import Comparison, Limit, Plot, Result, Series, Table
from benchmarks.run import Lacking, Outcome, Run
from benchmarks.verdict import verdicts

VOID = frozenset({"meta", "link", "br", "img"})
MACHINE: dict[str, object] = {"cpu": "Some <CPU>", "cores": 2, "versions": {"nginx": "1.22"}}


class Reader(HTMLParser):
    """Checks that every element is closed where it was opened; keeps ids, links and text by element."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.names: set[str] = set()
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.names.add(tag)
        self.ids += [given["id"]] if "id" in given else []
        self.links += [given[name] for name in ("href", "src", "data") if name in given]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def result(name: str, **more: Any) -> Result:
    return Result(name, f"What of {name}?", ["Measured `thus` & so."], machine=MACHINE, date="today", **more)


def run(*results: Result, **states: tuple[str, str]) -> Run:
    outcomes = [Outcome(one.name, one.question, "measured", "", 3.0) for one in results]
    outcomes = [
        Outcome(one.name, one.question, *states.pop(one.name), 3.0) if one.name in states else one
        for one in outcomes
    ]
    outcomes += [Outcome(name, f"What of {name}?", *state) for name, state in states.items()]
    return Run("2026-11-28", True, 100.0, tuple(outcomes), (Lacking("squid", "squid", ("hits",)),), results)


FAST = result(
    "fast",
    tables=[
        Table(
            ["server", "requests/s", "p50 ms"],
            [["edgeproxy", "10 (9-11)", "1"], ["nginx", "5 (4-6)", "2"]],
            "hits of 1 KiB",
        )
    ],
    comparisons=[Comparison("1 KiB hits", 10, 5, "nginx", "requests/s")],
    plots=[Plot("Hits", "bars", "", "requests/s", [Series("", [("edgeproxy", 10.0)])])],
    limits=[Limit("1 KiB hits against nginx", ">= 1x", "2.00x", True)],
    bounded=["edgeproxy, 1 KiB: load busy 99 %", "nginx, p50 ms"],
)
SLOW = result("slow", comparisons=[Comparison("purges <b>", 10, 5, "varnish", "ms", True)])


def rows(text: str, section: str) -> list[str]:
    """The text of each row of a section's first table."""
    table = text.partition(f'<section id="{section}">')[2].partition("</table>")[0]
    return [
        re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", row)).strip()
        for row in re.findall(r"<tr.*?</tr>", table)[1:]
    ]


def test_the_page_is_well_formed_and_needs_nothing_else() -> None:
    text = page(run(FAST, SLOW, gone=("skipped", "has no quick run"), dead=("failed", "exit status 1")))
    read = Reader(text)
    assert len(read.ids) == len(set(read.ids))
    for link in read.links:
        assert link.startswith("#") or re.fullmatch(r"\w+\.json|data:,", link), link
        assert not link.startswith("#") or link[1:] in read.ids
    assert read.names.isdisjoint({"script", "img", "iframe", "object"})
    assert [link for link in read.links if link.endswith(".json")] == ["fast.json", "slow.json"]
    assert re.findall(r"@import|url\(", text) == []
    assert "Some &lt;CPU&gt;" in text
    assert "purges <b>" not in text
    assert "<code>thus</code> &amp; so." in text


def test_what_is_behind_comes_first_and_is_marked_by_words_and_a_sign() -> None:
    text = page(run(FAST, SLOW))
    first, second = rows(text, "verdict")
    assert first.startswith("▼ behind 0.50x purges &lt;b&gt; slow 10 ms varnish: 5 ms")
    assert second.startswith("▲ ahead 2.00x 1 KiB hits")
    assert second.endswith("limit &gt;= 1x met")
    assert text.index('id="verdict"') < text.index('id="machine"') < text.index('id="fast"')


def test_a_failed_run_is_shown_as_failed_and_none_of_its_figures_as_fast() -> None:
    lying = result("lying", comparisons=[Comparison("hits", 99, 1, "nginx", "/s")], failures=["wrong bytes"])
    text = page(run(FAST, lying, lying=("failed", "wrong bytes"), dead=("failed", "not done within 30 s")))
    first, second, third = rows(text, "verdict")
    assert first.startswith("✗ failed - What of lying? lying")
    assert first.endswith("wrong bytes")
    assert second.startswith("✗ failed - What of dead? dead")
    assert third.startswith("▲ ahead 2.00x 1 KiB hits")
    assert "99.00x" not in text
    assert text.count("✗ Failed.") == 2
    assert "<li>not done within 30 s</li>" in text


def test_a_figure_that_the_load_bounded_has_a_sign_and_a_footnote() -> None:
    text = page(run(FAST))
    table = rows(text, "fast")
    assert table == ["edgeproxy † 10 (9-11) 1", "nginx 5 (4-6) 2 †"]
    assert rows(text, "verdict")[0].startswith("▲ ahead 2.00x 1 KiB hits †")
    assert "† The load generator was the limit" in text
    assert "†" not in "".join(rows(page(run(SLOW)), "verdict"))


@pytest.mark.parametrize(
    ("entry", "marked"),
    [
        ("nginx, 1 KiB from RAM", {0}),
        ("nginx, 1 KiB from RAM: load busy 99 %", {0}),
        ("HTTP/2, 1 KiB", {0}),  # another cell of the row
        ("nginx, p50", {2}),
        ("nginx, HTTP/2, p50", {2}),
        ("nginx", {0}),
        ("nginx, 64 KiB", set()),
        ("haproxy, 1 KiB from RAM", set()),
        ("", set()),
    ],
)
def test_a_bounded_figure_is_found_by_its_parts(entry: str, marked: set[int]) -> None:
    row = ["nginx", "HTTP/2", "5"]
    table = Table(["server", "protocol", "p50 ms"], [row], "hits of 1 KiB from RAM")
    assert _marked(table, row, [entry]) == marked


def test_what_was_skipped_and_what_is_not_installed_is_named() -> None:
    text = page(run(FAST, gone=("skipped", "has no quick run")))
    assert "gone skipped - has no quick run" in rows(text, "scenarios")
    assert "squid (Debian package <code>squid</code>), used by hits" in text
    assert 'id="gone"' not in text


@pytest.mark.parametrize(
    ("load", "is_warned"), [([0.5, 1, 1], False), ([4.0, 1, 1], False), ([9.5, 1, 1], True)]
)
def test_a_machine_that_was_busy_with_something_else_is_told(load: list[float], is_warned: bool) -> None:
    one = result("fast")
    one.machine = MACHINE | {"load_average": load}
    text = page(run(one))
    assert ("busy with something else" in text) is is_warned
    assert f"<dd>{load[0]}</dd>" in text


def test_nothing_measured_is_a_page_too() -> None:
    text = page(run(dead=("failed", "exit status 1")))
    Reader(text)
    assert rows(text, "verdict") == ["✗ failed - What of dead? dead - - exit status 1"]


def test_the_terminal_is_told_the_bad_news_and_the_count() -> None:
    one = run(FAST, SLOW, dead=("failed", "exit status 1"))
    assert spoken(verdicts(one.results, one.failed())) == [
        "✗ failed: dead: exit status 1",
        "▼ behind: slow: purges <b>: 0.50x of varnish",
        "verdict: failed 1, behind 1, ahead 1",
    ]


def test_the_command_says_why_there_is_no_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run.json").write_text("{}")
    monkeypatch.setattr("sys.argv", ["page", str(tmp_path)])
    with pytest.raises(SystemExit, match=r"no page: .*is not the record of a run"):
        main()
