"""How the page of a report looks: light and dark by the reader's own setting, from a phone's width on."""

from __future__ import annotations

STYLE = """
:root{color-scheme:light dark;--ground:#fff;--raised:#f5f7f9;--text:#1b2430;--soft:#55606e;--rule:#d9dfe6;
--link:#1f5fbf;--bad:#a3232b;--bad-ground:#fdf0f0;--good:#1d6b40;--ours:#eef4fd;
--sans:system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","DejaVu Sans",sans-serif;
--mono:ui-monospace,"SF Mono",Menlo,Consolas,"DejaVu Sans Mono",monospace}
@media(prefers-color-scheme:dark){:root{--ground:#0f1318;--raised:#161b22;--text:#e8edf3;--soft:#a4afbc;
--rule:#323b46;--link:#7db0ff;--bad:#ff9a9a;--bad-ground:#331c1f;--good:#6fd6a0;--ours:#1a2637}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--ground);color:var(--text);font:1rem/1.55 var(--sans)}
main{max-width:80rem;margin:0 auto;padding:1.5rem 1rem 4rem}
h1{font-size:1.75rem;line-height:1.2;margin:0 0 .35rem;letter-spacing:-.01em}
h2{font-size:1.3rem;line-height:1.3;margin:0 0 .5rem;letter-spacing:-.005em}
h3{font-size:1rem;margin:1.5rem 0 .4rem}
section{margin-top:2.25rem;padding-top:1.5rem;border-top:1px solid var(--rule);scroll-margin-top:.5rem}
p,ul,dl{margin:.5rem 0;max-width:46rem}
ul{padding-left:1.2rem}
li{margin:.2rem 0}
a{color:var(--link)}
code{font:.9em var(--mono);background:var(--raised);padding:.05em .3em;border-radius:3px;
overflow-wrap:anywhere}
.soft,.note{color:var(--soft)}
.note{font-size:.875rem}
.lead{font-size:1.1rem}
.scroll{overflow-x:auto;margin:.6rem 0;border:1px solid var(--rule);border-radius:6px;
-webkit-overflow-scrolling:touch}
.scroll:focus-visible{outline:2px solid var(--link)}
table{border-collapse:separate;border-spacing:0;width:100%;font-size:.875rem;line-height:1.4;
font-variant-numeric:tabular-nums}
th,td{padding:.45rem .7rem;text-align:left;vertical-align:top;border-bottom:1px solid var(--rule)}
tr:last-child>*{border-bottom:0}
thead th{background:var(--raised);font-weight:600;white-space:nowrap}
td.n,th.n{text-align:right;white-space:nowrap}
tbody th{font-weight:600;white-space:nowrap;position:sticky;left:0;background:var(--ground)}
.wide{min-width:16rem}
.what{min-width:9.5rem}
.short{min-width:4rem}
.yes,.no{white-space:nowrap}
tr.ours>*{background:var(--ours)}
tr.bad,tr.bad>*{background:var(--bad-ground)}
.verdict .times{font-weight:700;white-space:nowrap}
.verdict .remarks{min-width:11rem}
small{color:var(--soft);white-space:nowrap}
.none{color:var(--soft)}
.standing{font-weight:700;white-space:nowrap}
.bad .standing,.no{color:var(--bad);font-weight:700}
.good .standing,.yes{color:var(--good)}
.failed{border-left:4px solid var(--bad);background:var(--bad-ground);padding:.6rem .9rem;margin:.8rem 0;
max-width:46rem;overflow-wrap:anywhere}
.failed p,.failed ul{margin:.2rem 0}
details{margin:.6rem 0;max-width:46rem}
summary{cursor:pointer;font-weight:600}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.25rem 1rem}
dt{color:var(--soft)}
dd{margin:0;overflow-wrap:anywhere}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,26rem),1fr));gap:1rem;
margin:1rem 0;align-items:start}
.plots svg{display:block;width:100%;max-width:38rem;height:auto;border:1px solid var(--rule);
border-radius:6px}
@media(max-width:40rem){main{padding:1rem .8rem 3rem}h1{font-size:1.45rem}h2{font-size:1.15rem}
th,td{padding:.4rem .5rem}dl{grid-template-columns:1fr;gap:0}dd{margin:0 0 .4rem}
.verdict,.verdict tbody,.verdict tr,.verdict td{display:block}
.verdict tr{padding:.5rem .6rem;border-bottom:1px solid var(--rule)}.verdict tr:last-child{border-bottom:0}
.verdict td{padding:.05rem 0;border:0}
.verdict .standing,.verdict .times{display:inline-block;margin-right:.8rem}
.verdict .figure{font-size:.95rem}
.verdict thead,.verdict td.none{display:none}
.verdict td[data-label]::before{content:attr(data-label) ": ";color:var(--soft)}}
@media print{.scroll{overflow:visible}}
"""
