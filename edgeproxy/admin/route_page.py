"""The status page of a router: one file, readable on a phone and on a wall, by day and by night."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from edgeproxy.admin.route_map_drawing import world

ROWS_MAX = 12
REFRESH_SECONDS = 10

_STYLE = """
:root { color-scheme: light dark; --page:#f6f7f9; --card:#fff; --text:#1b222c; --soft:#5b6675; --line:#dde2e9;
  --sea:#eaf0f6; --land:#c9d3de; --flow:#2f6fd0; --up:#1a7f4b; --degraded:#a86500; --down:#c22a2a;
  --draining:#6b5bb5; }
@media (prefers-color-scheme: dark) { :root { --page:#11161d; --card:#1a212b; --text:#e6ebf1; --soft:#9aa7b6;
  --line:#2d3743; --sea:#141c26; --land:#2c3947; --flow:#6ea6ff; --up:#4cc98a; --degraded:#f0b04a;
  --down:#ff7b72; --draining:#a99bf0; } }
* { box-sizing: border-box; }
body { margin:0; background:var(--page); color:var(--text); font:15px/1.45 system-ui,sans-serif; }
main { max-width:1180px; margin:0 auto; padding:16px; }
header { display:flex; flex-wrap:wrap; gap:4px 18px; align-items:baseline; margin-bottom:12px; }
h1 { font-size:22px; margin:0; } h2 { font-size:16px; margin:0 0 8px; }
.soft { color:var(--soft); } .old { color:var(--down); font-weight:600; }
.card { background:var(--card); border:1px solid var(--line); border-radius:10px; padding:14px;
  margin-bottom:14px; }
.map { padding:0; overflow:hidden; } .world { display:block; width:100%; height:auto; }
.sea { fill:var(--sea); } .grid { fill:none; stroke:var(--line); stroke-width:.3; }
.equator { stroke-width:.6; }
.land circle { fill:var(--land); opacity:.55; }
.flows path { fill:none; stroke:var(--flow); opacity:.65; stroke-linecap:round; }
.node text { font-size:4.6px; font-weight:600; fill:var(--text); paint-order:stroke; stroke:var(--sea);
  stroke-width:1.2px; }
.node .dot { fill:var(--up); } .node .ring { fill:var(--card); stroke:var(--line); stroke-width:1.4; }
.node .load { fill:none; stroke:var(--up); stroke-width:1.4; }
.degraded .dot, .degraded .load { fill:var(--degraded); } .down .dot { fill:var(--down); }
.draining .dot, .maintenance .dot { fill:var(--draining); }
.degraded .load { fill:none; stroke:var(--degraded); }
.grid2 { display:grid; grid-template-columns:repeat(auto-fit,minmax(min(100%,400px),1fr)); gap:14px; }
.grid2 .card { margin:0; } .below { margin-top:14px; } .scroll { overflow-x:auto; }
table { border-collapse:collapse; width:100%; } th { text-align:left; font-weight:600; color:var(--soft); }
th, td { padding:5px 10px 5px 0; border-top:1px solid var(--line); vertical-align:top; }
th.wide, td.wide { padding-left:14px; }
tr:first-child th { border-top:0; } .number { text-align:right; font-variant-numeric:tabular-nums; }
.state { font-weight:600; } .state.up { color:var(--up); } .state.degraded { color:var(--degraded); }
.state.down { color:var(--down); } .state.draining, .state.maintenance { color:var(--draining); }
.bar { display:inline-block; width:64px; height:8px; border-radius:4px; background:var(--line);
  overflow:hidden; }
.bar i { display:block; height:100%; background:var(--flow); }
@media (max-width:640px) { body { font-size:14px; } main { padding:10px; } .node text { font-size:10.5px;
  stroke-width:2px; } .wide { display:none; } }
"""


def page(status: dict[str, Any]) -> str:
    """`status` is that of RoutingViews."""
    nodes, known = status["nodes"], status["map"]
    up = sum(node["state"] in ("up", "degraded") for node in nodes)
    age = f"map {known['generation']}, {known['age_seconds']:.0f} s old"
    told = f'<span class="old">{age}: nothing new is heard</span>' if known["is_old"] else age
    flows = [flow for flow in status["flows"] if flow["node"] != "origin"]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="refresh" content="{REFRESH_SECONDS}">'
        f"<title>edgeproxy router</title><style>{_STYLE}</style></head><body><main>"
        f"<header><h1>Router</h1><span>{up} of {len(nodes)} nodes take clients</span>"
        f'<span class="soft">{told}</span></header>'
        f'<section class="card map">{world(nodes, flows, status["countries"])}</section>'
        f'<section class="card"><h2>Nodes</h2>{_node_table(nodes)}</section><div class="grid2">'
        f'<section class="card"><h2>Clients by country</h2>{_flow_table(status["flows"])}</section>'
        f'<section class="card"><h2>Refused and complained of</h2>{_trouble_table(status)}</section>'
        f"</div>{_shadow_card(status['shadow'])}</main></body></html>"
    )


def _table(heads: Sequence[tuple[str, str]], rows: Iterable[Sequence[str]], nothing: str) -> str:
    """`heads` are names with the class of their column; cells are HTML."""
    lines = [
        "<tr>"
        + "".join(f'<td class="{kind}">{cell}</td>' for (_, kind), cell in zip(heads, row, strict=True))
        + "</tr>"
        for row in rows
    ]
    if not lines:
        return f'<p class="soft">{nothing}</p>'
    head = "".join(f'<th class="{kind}">{escape(name)}</th>' for name, kind in heads)
    return f'<div class="scroll"><table><tr>{head}</tr>{"".join(lines)}</table></div>'


def _node_table(nodes: Iterable[dict[str, Any]]) -> str:
    heads = (
        *(("node", ""), ("state", ""), ("load", ""), ("in flight", "number"), ("sent", "number")),
        *(("region", "wide"), ("clients go to", "wide")),
    )
    rows = [
        (
            escape(node["name"]),
            f'<span class="state {escape(node["state"])}">{escape(node["state"])}</span>',
            _bar(float(node["utilisation_ratio"])),
            str(node["in_flight"]),
            str(node["sent"]),
            escape(node["region"]),
            escape(node["url"]),
        )
        for node in nodes
    ]
    return _table(heads, rows, "There are no nodes.")


def _bar(share: float) -> str:
    percent = round(100 * min(1.0, max(0.0, share)))
    return f'<span class="bar"><i style="width:{percent}%"></i></span> {percent} %'


def _flow_table(flows: Sequence[dict[str, Any]]) -> str:
    heads = (("from", ""), ("to", ""), ("clients sent", "number"))
    rows = [
        (escape(flow["country"] or "unknown"), escape(flow["node"]), str(flow["count"]))
        for flow in flows[:ROWS_MAX]
    ]
    return _table(heads, rows, "Nobody has been sent anywhere yet.")


def _shadow_card(shadows: Sequence[dict[str, Any]]) -> str:
    """What policies that are only asked would have done; nothing where there are none."""
    if not shadows:
        return ""
    heads = (
        *(("policy", ""), ("decisions", "number"), ("other node", "number")),
        *(("its mean", "number"), ("ours", "number")),
    )
    rows = [
        (
            escape(one["policy"]),
            str(one["decisions"]),
            str(one["different"]),
            f"{one['shadow_mean_ms']:.1f} ms",
            f"{one['live_mean_ms']:.1f} ms",
        )
        for one in shadows
    ]
    return f'<section class="card below"><h2>Shadow policies</h2>{_table(heads, rows, "")}</section>'


def _trouble_table(status: dict[str, Any]) -> str:
    heads = (("node", ""), ("why", ""), ("times", "number"))
    rows = [(escape(one["node"]), escape(one["reason"]), "") for one in status["refusals"]]
    rows += [
        (escape(one["node"]), f"complaint: {escape(one['how'])}", str(one["count"]))
        for one in status["complaints"]
    ]
    return _table(heads, rows[: 2 * ROWS_MAX], "All nodes take clients, and nobody complains.")
