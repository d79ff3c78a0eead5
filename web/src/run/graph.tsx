/** The picture of a run: boxes lie where the server says, and are coloured by what became of the task runs that they stand for. */

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { get, reasonOf, withQuery } from "../core/api";
import { boxPath, type Counts, type RunModel } from "../core/model";
import { ask, go, query, url } from "../core/router";
import type { Layout, LayoutBox, Phase } from "../core/types";
import { Fault } from "../parts/basics";
import { ORDER } from "../parts/phase";

const PAD = 24;

export function Graph({ model, selected }: { model: RunModel; selected: string | null }) {
  const [layout, setLayout] = useState<Layout | null>(null);
  const [fault, setFault] = useState("");
  const open = query.value.getAll("open");
  const key = open.join("\n");
  const digest = model.view.run.digest;

  useEffect(() => {
    let wanted = true;
    get<Layout>(withQuery(`/v1/plans/${digest}/layout`, { folded: true, open })).then(
      (found) => wanted && setLayout(found),
      (error: unknown) => wanted && setFault(reasonOf(error)),
    );
    return () => {
      wanted = false;
    };
  }, [digest, key]);

  const version = model.version.value;
  const counts = useMemo(() => (layout === null ? null : model.counts(layout.nodes.map((one) => one.path))), [layout, version, model]);
  if (fault) return <Fault text={fault} />;
  if (layout === null || counts === null) return <p class="dim">Drawing…</p>;
  return <Drawn layout={layout} counts={counts} selected={selected} open={open} />;
}

interface DrawnProps {
  layout: Layout;
  counts: Map<string, Counts>;
  selected: string | null;
  open: string[];
}

function Drawn({ layout, counts, selected, open }: DrawnProps) {
  const [width, height] = [layout.width + 2 * PAD, layout.height + 2 * PAD];
  const frame = useRef<HTMLDivElement>(null);
  const [zoom, setZoom] = useState<number | null>(null);
  const [room, setRoom] = useState<[number, number]>([0, 0]);
  useEffect(() => {
    const element = frame.current;
    if (element === null) return undefined;
    const watch = new ResizeObserver(() => setRoom([element.clientWidth, element.clientHeight]));
    watch.observe(element);
    return () => watch.disconnect();
  }, []);
  const fit = room[0] ? Math.min(1.25, room[0] / width, Math.max(room[1] / height, 0.35)) : 1;
  const scale = zoom ?? fit;
  const groups = useMemo(() => new Set(layout.nodes.map((one) => one.parent)), [layout]);
  const shown = selected === null ? null : boxPath(selected);

  const wheel = (event: WheelEvent): void => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    setZoom(Math.min(3, Math.max(0.05, scale * (event.deltaY < 0 ? 1.15 : 1 / 1.15))));
  };

  const choose = (box: LayoutBox): void => {
    if (box.kind === "workflow") return;
    if (box.kind === "hook") return ask({ tab: "logs", only: box.path.includes("[i]") ? null : box.path });
    if (box.kind === "loop" && !groups.has(box.id)) unfold(box);
    else if (box.kind === "loop" && open.includes(box.path)) fold(box);
    else if (!box.path.includes("[i]")) ask({ task: box.path });
    else ask({ tab: "tasks", q: box.path.split("[i]")[0]! });
  };
  const unfold = (box: LayoutBox): void => openLoops([...open, box.path]);
  const fold = (box: LayoutBox): void => openLoops(open.filter((one) => !one.startsWith(box.path)));

  return (
    <div class="graph" ref={frame} onWheel={wheel}>
      <div class="graph-tools">
        <button type="button" aria-label="smaller" onClick={() => setZoom(scale / 1.25)}>−</button>
        <button type="button" aria-label="fit" onClick={() => setZoom(null)}>{Math.round(scale * 100)}%</button>
        <button type="button" aria-label="larger" onClick={() => setZoom(scale * 1.25)}>+</button>
      </div>
      <svg width={width * scale} height={height * scale} viewBox={`0 0 ${width} ${height}`} role="group" aria-label="picture of the run">
        <g transform={`translate(${PAD} ${PAD})`}>
          {layout.nodes.filter((box) => groups.has(box.id)).map((box) => (
            <Group key={box.id} box={box} counts={counts.get(box.path)} onChoose={() => choose(box)} />
          ))}
          {layout.edges.map((edge) => (
            <path key={`${edge.source}-${edge.target}`} class={`edge ${layout.nodes[edge.target]?.kind ?? ""}`} d={curve(edge.points)} />
          ))}
          {layout.nodes.filter((box) => !groups.has(box.id)).map((box) => (
            <Box key={box.id} box={box} counts={counts.get(box.path)} on={box.path === shown} onChoose={() => choose(box)} />
          ))}
        </g>
      </svg>
    </div>
  );
}

function openLoops(paths: string[]): void {
  const search = new URLSearchParams(query.value);
  search.delete("open");
  for (const path of paths) search.append("open", path);
  const text = search.toString();
  go(url.value.pathname + (text ? `?${text}` : ""));
}

/** What one box says of its task runs: the phase that wants attention most. */
function leading(counts: Counts | undefined): Phase | null {
  if (counts === undefined) return null;
  return ORDER.find((phase) => counts[phase]) ?? null;
}

function total(counts: Counts | undefined): number {
  return Object.values(counts ?? {}).reduce((sum, count) => sum + count, 0);
}

function said(box: LayoutBox, counts: Counts | undefined): string {
  const several = total(counts);
  const phases = ORDER.filter((phase) => counts?.[phase]).map((phase) => (several > 1 ? `${counts![phase]} ${phase}` : phase));
  return `${box.path}: ${phases.join(", ") || "not begun"}`;
}

interface BoxProps {
  box: LayoutBox;
  counts: Counts | undefined;
  onChoose: () => void;
  on?: boolean;
}

function keyed(act: () => void) {
  return (event: KeyboardEvent): void => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    event.stopPropagation();
    act();
  };
}

function Group({ box, counts, onChoose }: BoxProps) {
  return (
    <g class={`group ${leading(counts) ?? "none"}`}>
      <rect x={box.x} y={box.y} width={box.width} height={box.height} rx={8} />
      <g role="button" tabIndex={0} aria-label={said(box, counts)} onClick={onChoose} onKeyDown={keyed(onChoose)}>
        <title>{said(box, counts)}</title>
        <rect class="hit" x={box.x} y={box.y} width={box.width} height={30} rx={8} />
        <Lines box={box} x={box.x + 14} anchor="start" />
      </g>
    </g>
  );
}

function Box({ box, counts, onChoose, on = false }: BoxProps) {
  const several = total(counts);
  const phase = leading(counts);
  const isClosed = box.kind === "dag" || box.kind === "loop";
  return (
    <g class={`box ${phase ?? "none"} ${box.kind} ${on ? "on" : ""} ${box.optional ? "optional" : ""}`} role="button" tabIndex={0}
      aria-label={said(box, counts)} onClick={onChoose} onKeyDown={keyed(onChoose)}>
      <title>{said(box, counts)}</title>
      {isClosed && <rect class="behind" x={box.x + 4} y={box.y + 4} width={box.width} height={box.height} rx={6} />}
      <rect x={box.x} y={box.y} width={box.width} height={box.height} rx={box.kind === "approval" ? Math.min(box.height / 2, 22) : 6} />
      {(several > 1 || isClosed) && counts !== undefined && <Bar box={box} counts={counts} several={several} />}
      <Lines box={box} x={box.x + box.width / 2} anchor="middle" />
    </g>
  );
}

/** The texts of a box, as the server has folded them so that they fit. */
function Lines({ box, x, anchor }: { box: LayoutBox; x: number; anchor: "start" | "middle" }) {
  const lines = [...box.titleLines.map((text) => ["title", text]), ...box.detailLines.map((text) => ["sub", text])];
  return (
    <>
      {lines.map(([style, text], index) => (
        <text key={index} x={x} y={box.y + 21 + index * 17} text-anchor={anchor} class={style}>{text}</text>
      ))}
    </>
  );
}

/** A bar at the foot of a box: how many of its task runs are in which phase. */
function Bar({ box, counts, several }: { box: LayoutBox; counts: Counts; several: number }) {
  const [left, width, y] = [box.x + 8, box.width - 16, box.y + box.height - 7];
  let x = left;
  return (
    <g class="bar">
      {ORDER.filter((phase) => counts[phase]).map((phase) => {
        const piece = (width * counts[phase]!) / several;
        const drawn = <rect key={phase} class={`fill ${phase}`} x={x} y={y} width={Math.max(piece, 1)} height={4} rx={1} />;
        x += piece;
        return drawn;
      })}
    </g>
  );
}

function curve(points: [number, number, number][]): string {
  const [first] = points;
  if (first === undefined) return "";
  let drawn = `M${first[0]} ${first[1]}V${first[2]}`;
  for (let index = 1; index < points.length; index += 1) {
    const [x0, , bottom] = points[index - 1]!;
    const [x1, top, end] = points[index]!;
    const middle = (bottom + top) / 2;
    drawn += x0 === x1 ? `V${top}` : `C${x0} ${middle} ${x1} ${middle} ${x1} ${top}`;
    if (end !== top) drawn += `V${end}`;
  }
  return drawn;
}
