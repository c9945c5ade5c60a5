/** The style of the page, light and dark. */

export const STYLE = `
:root {
  --paper: #fcfcfb; --ink: #1c1d1f; --muted: #62666d; --line: #e1e2e4; --panel: #ffffff;
  --band-0: #f4f5f6; --band-1: #ebedef; --good: #1a7f4b; --bad: #b42318;
  --series-0: #2563c9; --series-1: #d9730d; --series-2: #1a8f6e; --series-3: #8e44ad;
  --series-4: #b8860b; --series-5: #c0392b; --series-6: #5d6d7e; --series-7: #148f9f;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #141517; --ink: #e8e9eb; --muted: #9aa0a8; --line: #303338; --panel: #1b1d20;
    --band-0: #202327; --band-1: #272b30; --good: #4cc38a; --bad: #ff8b7e;
    --series-0: #6ea8ff; --series-1: #ffa657; --series-2: #56d3a8; --series-3: #c79bf2;
    --series-4: #e3c34c; --series-5: #ff8b7e; --series-6: #a9b5c2; --series-7: #5fd0de;
  }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1180px; padding: 32px 24px 48px; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
header p { margin: 0; color: var(--muted); }
h1 { margin: 2px 0; font-size: 34px; letter-spacing: -0.02em; line-height: 1.2; }
h2 { margin: 0 0 8px; font-size: 17px; }
h3 { margin: 0; font-size: 15px; }
header .verdict { font-weight: 600; }
header .good { color: var(--good); }
header .bad { color: var(--bad); }
.tiles, .charts, .tables { display: grid; gap: 16px; margin-top: 24px; }
.tiles { grid-template-columns: repeat(auto-fit, minmax(165px, 1fr)); }
.charts, .tables { grid-template-columns: repeat(auto-fit, minmax(min(100%, 480px), 1fr)); }
.tiles div, .tables > div, figure { margin: 0; padding: 16px; background: var(--panel); border: 1px solid var(--line);
  border-radius: 8px; min-width: 0; overflow-x: auto; }
.tables .wide { grid-column: 1 / -1; }
.tiles b { display: block; font-size: 24px; line-height: 1.2; font-variant-numeric: tabular-nums; }
.tiles span, .tiles small { display: block; }
.tiles small, .tables p, figcaption p, footer { color: var(--muted); font-size: 13px; margin: 4px 0 0; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 16px; margin: 6px 0 0; padding: 0; list-style: none; font-size: 13px; }
.legend i { display: inline-block; width: 10px; height: 10px; margin-right: 6px; border-radius: 2px; }
figcaption { min-height: 72px; }
svg { display: block; width: 100%; height: auto; overflow: visible; }
svg text { fill: var(--muted); font: 12px system-ui, sans-serif; font-variant-numeric: tabular-nums; }
.grid { stroke: var(--line); }
.band-0 { fill: var(--band-0); }
.band-1 { fill: var(--band-1); }
.line { fill: none; stroke: var(--color); stroke-width: 2; stroke-linejoin: round; }
.area { fill: var(--color); fill-opacity: 0.3; }
.dot { fill: var(--color); }
.hover { fill: transparent; }
.hover:hover { fill: var(--ink); fill-opacity: 0.08; }
.legend i { background: var(--color); }
${Array.from({ length: 8 }, (_, index) => `.series-${index} { --color: var(--series-${index}); }`).join('\n')}
table { width: 100%; border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums; }
th, td { padding: 4px 8px 4px 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
th { font-weight: 500; }
thead th { color: var(--muted); font-size: 13px; }
th.number, td.number { text-align: right; }
pre { overflow-x: auto; font-size: 12px; }
footer { margin-top: 24px; }
@media print { figure, .tables > div { break-inside: avoid; } }
`;
