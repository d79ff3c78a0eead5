/** The two charts over time, with the same as a table for those who do not see them. */

import { useEffect, useRef, useState } from "preact/hooks";
import { spanOf } from "../core/time";
import { countOf, nameOf, PIECES, type Insights, type Period } from "./types";

type Kind = "runs" | "durations";

export function Charts({ found }: { found: Insights }) {
  const durations = found.periods.some((one) => one.medianSeconds !== null);
  return (
    <>
      <div class="charts">
        <Chart found={found} kind="runs" title={`Runs per ${found.period}`}>
          {PIECES.map((piece) => <span key={piece.name} class="key"><i class={`dot ${piece.name}`} />{piece.name}</span>)}
        </Chart>
        {durations && (
          <Chart found={found} kind="durations" title="How long they took">
            <span class="key"><i class="dot solid" />median</span><span class="key"><i class="dot dashed" />95 % are faster</span>
          </Chart>
        )}
      </div>
      <details class="as-table">
        <summary>The same as a table</summary>
        <Table found={found} />
      </details>
    </>
  );
}

function Chart({ found, kind, title, children }: { found: Insights; kind: Kind; title: string; children: preact.ComponentChildren }) {
  const box = useRef<HTMLDivElement>(null);
  const [at, setAt] = useState<number | null>(null);
  const [scheme, setScheme] = useState(0);
  useEffect(() => {
    const again = (): void => setScheme((before) => before + 1);
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", again);
    const theme = new MutationObserver(again);
    theme.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    return () => (dark.removeEventListener("change", again), theme.disconnect());
  }, []);
  useEffect(() => {
    let drawn: { destroy: () => void } | undefined;
    let gone = false;
    void import("./chart").then((charts) => {
      if (gone || box.current === null) return;
      const draw = kind === "runs" ? charts.drawRuns : charts.drawDurations;
      drawn = draw(box.current, found, setAt);
    });
    return () => {
      gone = true;
      drawn?.destroy();
    };
  }, [found, kind, scheme]);
  const period = at === null ? undefined : found.periods[at];
  return (
    <figure class="chart">
      <figcaption><h2>{title}</h2>
        <span class="keys-of">{period === undefined ? children : <span>{told(period, found, kind)}</span>}</span></figcaption>
      <div ref={box} class="plot" role="img" aria-label={`${title}; the same is in the table below`} />
    </figure>
  );
}

function told(period: Period, found: Insights, kind: Kind): string {
  const when = nameOf(period, found.period);
  if (kind === "durations") {
    if (period.medianSeconds === null) return `${when}: none succeeded`;
    return `${when}: median ${spanOf(period.medianSeconds)}, 95 % in ${spanOf(period.p95Seconds ?? 0)}`;
  }
  const parts = PIECES.map((piece) => [countOf(period, piece.phases), piece.name] as const).filter(([count]) => count > 0);
  return `${when}: ${parts.length ? parts.map(([count, name]) => `${count} ${name}`).join(", ") : "no runs"}`;
}

function Table({ found }: { found: Insights }) {
  const shown = found.periods.filter((period) => period.runs > 0);
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="runs over time">
      <table class="grid">
        <thead><tr><th scope="col">{found.period === "hour" ? "Hour" : `${found.period} (UTC)`}</th><th scope="col" class="num">Runs</th>
          {PIECES.map((piece) => <th key={piece.name} scope="col" class="num">{piece.name}</th>)}
          <th scope="col" class="num">Median</th><th scope="col" class="num">95 %</th></tr></thead>
        <tbody>
          {[...shown].reverse().map((period) => (
            <tr key={period.from}><th scope="row">{nameOf(period, found.period)}</th><td class="num">{period.runs}</td>
              {PIECES.map((piece) => <td key={piece.name} class="num">{countOf(period, piece.phases) || ""}</td>)}
              <td class="num">{spanOr(period.medianSeconds)}</td><td class="num">{spanOr(period.p95Seconds)}</td></tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

export function spanOr(seconds: number | null): string {
  return seconds === null ? "" : spanOf(seconds);
}
