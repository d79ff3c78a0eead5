/** Charts over time. Loaded only where one is drawn; all that they show is in a table beside them, too. */

import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { spanOf } from "../core/time";
import { countOf, PIECES, type Insights } from "./types";

export interface Drawn {
  destroy: () => void;
}

/** Called with the number of the period under the pointer; null where there is none. */
type Hover = (index: number | null) => void;

const HEIGHT = 190;
/** Steps of an axis of seconds that people read: no 1h 23m. */
const STEPS = [0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400, 172_800, 604_800];
const WHOLE = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000];

/** The colours of now: a canvas knows no variables, and `light-dark()` is said by an element that is drawn with it. */
function painted(box: HTMLElement, name: string): string {
  const probe = document.createElement("i");
  probe.style.color = `var(${name})`;
  box.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

export function drawRuns(box: HTMLElement, found: Insights, hover: Hover): Drawn {
  const sums: number[][] = [];
  for (const piece of PIECES) {
    const below = sums.at(-1);
    sums.push(found.periods.map((period, index) => (below?.[index] ?? 0) + countOf(period, piece.phases)));
  }
  const bars = uPlot.paths.bars!({ size: [0.8, 40], gap: 1 });
  // The highest sums first: each lower piece is drawn over the ones above it.
  const series = [...PIECES].reverse().map((piece) => ({
    label: piece.name, paths: bars, points: { show: false }, width: 0,
    fill: painted(box, piece.colour), stroke: painted(box, piece.colour),
  }));
  return draw(box, found, hover, series, [...sums].reverse(), { incrs: WHOLE, size: 44 });
}

export function drawDurations(box: HTMLElement, found: Insights, hover: Hover): Drawn {
  const few = found.periods.filter((one) => one.medianSeconds !== null).length <= 40;
  const line = { spanGaps: true, width: 2, points: { show: few, size: 5 } }; // one alone makes no line
  const series = [
    { ...line, label: "p95", stroke: painted(box, "--asks"), dash: [5, 4] },
    { ...line, label: "median", stroke: painted(box, "--busy") },
  ];
  const data = [found.periods.map((one) => one.p95Seconds), found.periods.map((one) => one.medianSeconds)];
  return draw(box, found, hover, series, data, { incrs: STEPS, size: 64, values: (_, values) => values.map((one) => (one === 0 ? "0" : spanOf(one).replace(/\.?0+s$/, "s"))) });
}

function draw(
  box: HTMLElement, found: Insights, hover: Hover, series: uPlot.Series[], data: (number | null)[][], upwards: uPlot.Axis,
): Drawn {
  const ink = painted(box, "--dim");
  const grid = { stroke: painted(box, "--line"), width: 1 };
  const axis = { stroke: ink, grid, ticks: { show: false }, font: `12px ${getComputedStyle(box).fontFamily}` };
  const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", ...(found.period === "hour" ? {} : { timeZone: "UTC" }) });
  const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hour12: false });
  const named = (at: number): string => {
    const date = new Date(at * 1e3);
    return found.period === "hour" && (date.getHours() || date.getMinutes()) ? clock.format(date) : day.format(date);
  };
  const inUtc = (at: number): Date => uPlot.tzDate(new Date(at * 1e3), "Etc/UTC");
  const made = new uPlot(
    {
      width: box.clientWidth || 300, height: HEIGHT,
      series: [{}, ...series],
      axes: [{ ...axis, grid: { show: false }, size: 30, space: 64, values: (_, values) => values.map(named) }, { ...axis, ...upwards }],
      scales: { x: { range: (_, least, most) => edges(found, least, most) }, y: { range: (_, __, most) => [0, most > 0 ? most * 1.05 : 1] } },
      cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
      legend: { show: false },
      ...(found.period === "hour" ? {} : { tzDate: inUtc }),
      hooks: { setCursor: [(plot) => hover(plot.cursor.idx ?? null)] },
    },
    [found.periods.map((one) => Date.parse(one.from) / 1000), ...data],
    box,
  );
  const watch = new ResizeObserver(() => made.setSize({ width: box.clientWidth, height: HEIGHT }));
  watch.observe(box);
  return { destroy: () => (watch.disconnect(), made.destroy()) };
}

/** Half a period more at both ends, for the bars there. */
function edges(found: Insights, least: number, most: number): [number, number] {
  const half = { hour: 1800, day: 43_200, week: 302_400 }[found.period];
  return [least - half, most + half];
}
