"""The report of a run as one page that needs nothing else: the verdict first, what is bad at its top; then
machine and versions; then each scenario with method, tables and plots.

`python -m benchmarks.page DIR` writes DIR/index.html and prints the verdict's bad news."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from benchmarks import plots
from benchmarks.page_style import STYLE
from benchmarks.report import Result, Table
from benchmarks.run import Outcome, Run, load_run
from benchmarks.verdict import EQUAL_WITHIN, Standing, Verdict, counted, times_shown, verdicts

SIGNS = {
    Standing.FAILED: "✗",
    Standing.BEHIND: "▼",
    Standing.MISSED: "!",
    Standing.EQUAL: "=",
    Standing.AHEAD: "▲",
    Standing.MET: "✓",
    Standing.NONE: "·",
}
BAD = (Standing.FAILED, Standing.BEHIND, Standing.MISSED)
BUSY_FROM = 2.0  # times as many at work as there are cores
GOOD = (Standing.AHEAD, Standing.MET)
BOUNDED = "†"
_FIGURE = re.compile(r"^[<>=+~-]{0,2} ?[\d.]|^-?$")


def page(run: Run) -> str:
    """The whole document."""
    found = verdicts(run.results, run.failed())
    results = {result.name: result for result in run.results}
    sections = [_scenario(one, results.get(one.name)) for one in run.outcomes if one.state != "skipped"]
    title = "edgeproxy beside other caches"
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<link rel="icon" href="data:,"><title>{title}</title><style>{STYLE}</style></head>\n<body><main>\n'
        f"<header><h1>{title}</h1>{_lead(run, found)}</header>\n"
        + "\n".join([_verdict(found, run), _machine(run), _ran(run), *sections])
        + "\n</main></body></html>\n"
    )


def _lead(run: Run, found: Sequence[Verdict]) -> str:
    states = [one.state for one in run.outcomes]
    ran = ", ".join(f"{states.count(state)} {state}" for state in ("measured", "failed", "skipped"))
    length = "Quick run: short rounds, so spreads are wide. " if run.is_quick else ""
    took = f" in {run.seconds:.0f} s" if run.seconds else ""
    return (
        f'<p class="lead">{escape(counted(found).capitalize())}.</p><p class="soft">{escape(run.date)}. '
        f"{length}Scenarios: {ran}{took}.</p>{_busy(run)}"
    )


def _busy(run: Run) -> str:
    """A warning where something else had the machine: a scenario itself keeps two cores busy at most."""
    cores = run.results[0].machine.get("cores") if run.results else None
    most = max(_loads(run), default=0.0)
    if not isinstance(cores, int) or most <= max(cores, 2) * BUSY_FROM:
        return ""
    return (
        f'<div class="failed" role="note"><p><strong>! The machine was busy with something else</strong> '
        f"(load average {most:.1f} on {cores} cores). Times are too long then and rates too low, and not for "
        "all alike: measure again on a quiet one.</p></div>"
    )


def _loads(run: Run) -> list[float]:
    """The load average of the last minute at the end of each scenario."""
    averages = [one.machine.get("load_average") for one in run.results]
    return [float(one[0]) for one in averages if isinstance(one, list) and one]


def _verdict(found: Sequence[Verdict], run: Run) -> str:
    bounded = {result.name: result.bounded for result in run.results}
    questions = {one.name: one.question for one in run.outcomes}
    rows = [_verdict_row(one, questions, bounded.get(one.scenario, ())) for one in found]
    columns = ("standing", "times as good", "figure", "edgeproxy", "best peer", "limits, remarks")
    head = "".join(f'<th scope="col" role="columnheader">{column}</th>' for column in columns)
    # Rows become blocks at a phone's width; the roles keep what a screen reader tells of a table.
    table = (
        f'<table class="verdict" role="table"><thead role="rowgroup"><tr role="row">{head}</tr></thead>'
        f'<tbody role="rowgroup">{"".join(rows)}</tbody></table>'
    )
    return (
        '<section id="verdict"><h2>How edgeproxy stands</h2>'
        + _scroll(table, "verdict")
        + '<p class="note">Each figure against the best peer that was measured in the same run. Times as '
        "good: above 1 edgeproxy is better, for rates and for times alike. Equal: within "
        f"{EQUAL_WITHIN:.0%} of the better one. Of a scenario that failed no figure is told. {BOUNDED} The "
        "load generator, not the server, was the limit of at least one of the two.</p></section>"
    )


def _verdict_row(one: Verdict, questions: Mapping[str, str], bounded: Sequence[str]) -> str:
    kind = "bad" if one.standing in BAD else "good" if one.standing in GOOD else ""
    what = questions.get(one.scenario, one.what) if one.standing is Standing.FAILED else one.what
    mark = f" {BOUNDED}" if _is_bounded(one, bounded) else ""
    cells = (
        ("standing", "", f"{SIGNS[one.standing]} {one.standing}"),
        ("times", "", "" if one.times is None else times_shown(one)),
        ("figure", "", f'<a href="#{one.scenario}">{escape(what)}</a>{mark} <small>{one.scenario}</small>'),
        ("", "edgeproxy", escape(one.ours)),
        ("", "best peer", escape(f"{one.peer}: {one.theirs}" if one.theirs else one.peer)),
        ("remarks", "", _inline(one.note)),
    )
    told = "".join(
        f'<td role="cell" class="{name}{"" if text else " none"}"'
        + (f' data-label="{label}"' if label else "")
        + f">{text or '-'}</td>"
        for name, label, text in cells
    )
    return f'<tr role="row" class="{kind}">{told}</tr>'


def _machine(run: Run) -> str:
    if not run.results:
        return ""
    on = run.results[0].machine
    versions = on.get("versions")
    told = (
        ", ".join(f"{name} {version}" for name, version in versions.items())
        if isinstance(versions, dict)
        else ""
    )
    facts = {
        "processor": f"{on.get('cpu')}, {on.get('cores')} cores",
        "memory": f"{on.get('memory_gib')} GiB",
        "system": str(on.get("system")),
        "cores used": f"servers on {on.get('server_core')}, load and origin on {on.get('load_core')}",
        "load average": " to ".join(dict.fromkeys(f"{one:.1f}" for one in (min(loads), max(loads))))
        if (loads := _loads(run))
        else "-",
        "versions": told,
    }
    others = {
        one.name for one in run.results if any(one.machine.get(k) != on.get(k) for k in ("cpu", "versions"))
    }
    note = (
        f'<p class="note">Measured elsewhere or with other versions: {escape(", ".join(sorted(others)))}.</p>'
    )
    listed = "".join(f"<dt>{name}</dt><dd>{escape(fact)}</dd>" for name, fact in facts.items())
    return (
        f'<section id="machine"><h2>Machine and versions</h2><dl>{listed}</dl>{note if others else ""}'
        "<p>All on one machine, over loopback: each server under test alone on one core, load and origin on "
        "another, rounds interleaved. Absolute figures move with the machine and with what else it does; the "
        "ratios are the point. How each figure was come by is told with it.</p></section>"
    )


def _ran(run: Run) -> str:
    rows = [
        f'<tr class="{"bad" if one.state == "failed" else ""}"><th scope="row">'
        + (f"{one.name}" if one.state == "skipped" else f'<a href="#{one.name}">{one.name}</a>')
        + f'</th><td class="standing">{one.state}</td>'
        f'<td class="n">{f"{one.seconds:.1f}" if one.seconds else "-"}</td>'
        f'<td class="wide">{_inline(one.reason or one.question)}</td></tr>'
        for one in sorted(run.outcomes, key=lambda one: one.state == "skipped")
    ]
    lacking = "".join(
        f"<li>{escape(one.program)} (Debian package <code>{escape(one.package)}</code>), used by "
        f"{escape(', '.join(one.scenarios))}</li>"
        for one in run.lacking
    )
    absent = f"<p>Not installed, and so left out:</p><ul>{lacking}</ul>" if lacking else ""
    head = _head(["scenario", "", "seconds", "question, or why not"], {2})
    return (
        '<section id="scenarios"><h2>What ran</h2>'
        + _scroll(f"<table>{head}<tbody>{''.join(rows)}</tbody></table>", "scenarios")
        + f"{absent}</section>"
    )


def _scenario(outcome: Outcome, result: Result | None) -> str:
    name = outcome.name
    parts = [f'<section id="{name}"><h2>{escape(" ".join(outcome.question.split()))}</h2>']
    told = f"<code>python -m benchmarks.{name}</code>"
    if result is not None:
        told += f', {escape(result.date)}; <a href="{name}.json">every figure</a>'
    parts.append(f'<p class="note">{told}</p>')
    failures = list(
        dict.fromkeys([*([outcome.reason] if outcome.state == "failed" else []), *_failures(result)])
    )
    if failures:
        parts.append(
            '<div class="failed" role="note"><p><strong>✗ Failed.</strong> Its figures are no measure.</p>'
            f"<ul>{''.join(f'<li>{_inline(one)}</li>' for one in failures)}</ul></div>"
        )
    if result is not None:
        parts += _figures(result)
    return "".join(parts) + "</section>"


def _failures(result: Result | None) -> list[str]:
    return [] if result is None else result.failures


def _figures(result: Result) -> list[str]:
    parts = [f"<details><summary>Method</summary>{_list(result.method)}</details>"]
    if result.skipped:
        parts.append(f'<p class="note">Left out:</p><div class="note">{_list(result.skipped)}</div>')
    parts += [_table(table, result.bounded) for table in result.tables]
    if result.bounded:
        parts.append(
            f'<p class="note">{BOUNDED} The load generator was the limit, so the server may do better: '
            f"{_inline('; '.join(result.bounded))}.</p>"
        )
    if result.plots:
        parts.append(f'<div class="plots">{"".join(plots.svg(plot) for plot in result.plots)}</div>')
    if result.limits:
        parts.append("<h3>Limits</h3>" + _limits(result))
    return parts


def _limits(result: Result) -> str:
    met = {
        True: '<td class="yes">✓ met</td>',
        False: '<td class="no">✗ missed</td>',
        None: "<td>not judged</td>",
    }
    rows = [
        f'<tr class="{"bad" if one.met is False else ""}">{met[one.met]}'
        f'<td class="what">{escape(one.what)}</td><td class="short">{escape(one.limit)}</td>'
        f"<td>{escape(one.measured)}</td></tr>"
        for one in result.limits
    ]
    head = _head(["", "what", "limit", "measured"], set())
    return _scroll(f"<table>{head}<tbody>{''.join(rows)}</tbody></table>", f"limits of {result.name}")


def _table(table: Table, bounded: Sequence[str]) -> str:
    """Columns of figures stand to the right; our own row is tinted, and what the load bounded is marked."""
    numbers = {
        column
        for column in range(1, len(table.columns))
        if all(_FIGURE.match(row[column]) for row in table.rows if column < len(row))
    }
    rows = []
    for row in table.rows:
        marked = _marked(table, row, bounded)
        cells = [_inline(cell) + (f" {BOUNDED}" if at in marked else "") for at, cell in enumerate(row)]
        others = (f"<td{_aligned(at, numbers)}>{cell}</td>" for at, cell in enumerate(cells[1:], 1))
        ours = ' class="ours"' if row[0] == "edgeproxy" else ""
        rows.append(f'<tr{ours}><th scope="row">{cells[0]}</th>{"".join(others)}</tr>')
    whole = f"<table>{_head(table.columns, numbers)}<tbody>{''.join(rows)}</tbody></table>"
    title = f"<h3>{escape(table.title)}</h3>" if table.title else ""
    return title + _scroll(whole, table.title or table.columns[0])


def _marked(table: Table, row: Sequence[str], bounded: Sequence[str]) -> set[int]:
    """The columns of a row that a bounded figure names, in parts such as "server, what": one part is a word
    of the row, the others are words of the row too, or in the table's title, or in the name of the column
    that is marked. The first column is, where no other is named."""
    found: set[int] = set()
    for parts in map(_parts, bounded):
        elsewhere = [part for part in parts if part not in row]
        columns = {at for at, column in enumerate(table.columns) if any(part in column for part in elsewhere)}
        titled = [part for part in elsewhere if part in table.title or (table.title and table.title in part)]
        named = [part for part in elsewhere if any(part in column for column in table.columns)]
        if len(elsewhere) < len(parts) and set(elsewhere) == {*titled, *named}:
            found |= columns - {0} or {0}
    return found


def _is_bounded(one: Verdict, bounded: Sequence[str]) -> bool:
    """Whether the load bounded one of the two sides that are compared."""
    return any(
        parts[0] in ("edgeproxy", one.peer) and all(part in one.what for part in parts[1:])
        for parts in map(_parts, bounded)
        if len(parts) > 1
    )


def _parts(entry: str) -> list[str]:
    """What stands before a colon, at its commas: "nginx, 1 KiB from RAM: load busy 99 %"."""
    return [part for part in entry.partition(": ")[0].split(", ") if part]


def _head(columns: Sequence[str], numbers: set[int]) -> str:
    cells = [
        f'<th scope="col"{_aligned(number, numbers)}>{escape(column)}</th>'
        for number, column in enumerate(columns)
    ]
    return f"<thead><tr>{''.join(cells)}</tr></thead>"


def _aligned(column: int, numbers: set[int]) -> str:
    return ' class="n"' if column in numbers else ""


def _scroll(table: str, label: str) -> str:
    """A table that is too wide for the page moves within its own box, also by the keys of a keyboard."""
    return f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(label)}">{table}</div>'


def _list(sentences: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{_inline(one)}</li>' for one in sentences)}</ul>"


def _inline(text: str) -> str:
    """Text of a result: what stands in backticks is code; all else is taken as it is."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def spoken(found: Sequence[Verdict]) -> list[str]:
    """The verdict in lines for a terminal: what is bad one by one, then the count of all."""
    lines = []
    for one in found:
        if one.standing in BAD:
            what = [one.scenario] if one.standing is Standing.FAILED else [one.scenario, one.what]
            figure = one.ours if one.times is None else f"{times_shown(one)} of {one.peer}"
            line = f"{SIGNS[one.standing]} {': '.join([one.standing, *what, *([figure] if figure else [])])}"
            lines.append(f"{line}: {one.note}" if one.note else line)
    return [*lines, f"verdict: {counted(found)}"]


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the page of a report.")
    parser.add_argument("directory", type=Path, help="with run.json and the results")
    options = parser.parse_args()
    try:
        run = load_run(options.directory)
        (options.directory / "index.html").write_text(page(run), encoding="utf-8")
    except (OSError, ValueError) as error:
        raise SystemExit(f"no page: {error}") from None
    print("\n".join(spoken(verdicts(run.results, run.failed()))))


if __name__ == "__main__":
    main()
