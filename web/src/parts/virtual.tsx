/** Lists of any length: only the rows that are seen are in the page. All rows are of one height. */

import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

export interface VirtualProps {
  count: number;
  height: number;
  row: (index: number) => ComponentChildren;
  label: string;
  role?: "list" | "rowgroup" | "log";
  /** The row that is to be seen. */
  shown?: number | null;
  /** Keep the end in sight while rows are added. */
  stick?: boolean;
  onStick?: (stick: boolean) => void;
  onEnd?: () => void;
  class?: string;
}

const SPARE = 12; // rows above and below what is seen

export function Virtual(props: VirtualProps) {
  const { count, height } = props;
  const box = useRef<HTMLDivElement>(null);
  const [range, setRange] = useState<[number, number]>([0, 60]);
  const programmed = useRef(false);

  const look = (): void => {
    const element = box.current;
    if (element === null) return;
    const first = Math.max(0, Math.floor(element.scrollTop / height) - SPARE);
    const last = Math.min(count, Math.ceil((element.scrollTop + element.clientHeight) / height) + SPARE);
    setRange((before) => (before[0] === first && before[1] === last ? before : [first, last]));
    if (last >= count - 1) props.onEnd?.();
  };

  const scrolled = (): void => {
    look();
    const element = box.current;
    if (element === null || programmed.current) {
      programmed.current = false;
      return;
    }
    props.onStick?.(element.scrollTop + element.clientHeight >= element.scrollHeight - height);
  };

  useLayoutEffect(() => {
    const element = box.current;
    if (element !== null && props.stick) {
      const end = count * height - element.clientHeight;
      if (end > 0 && Math.abs(element.scrollTop - end) > 1) {
        programmed.current = true;
        element.scrollTop = end;
      }
    }
    look();
  }, [count, props.stick, height]);

  useEffect(() => {
    const element = box.current;
    if (element === null) return undefined;
    const watch = new ResizeObserver(look);
    watch.observe(element);
    return () => watch.disconnect();
  }, [count]);

  useEffect(() => {
    const element = box.current;
    const at = props.shown;
    if (element === null || at === null || at === undefined || at < 0) return;
    const top = at * height;
    if (top < element.scrollTop || top + height > element.scrollTop + element.clientHeight) {
      programmed.current = true;
      element.scrollTop = Math.max(0, top - element.clientHeight / 2);
    }
  }, [props.shown]);

  const [first, last] = [Math.min(range[0], count), Math.min(range[1], count)];
  const rows = [];
  for (let index = first; index < last; index += 1) rows.push(props.row(index));
  return (
    <div ref={box} class={`virtual ${props.class ?? ""}`} role={props.role} aria-label={props.label} tabIndex={0} onScroll={scrolled}>
      <div style={{ height: `${count * height}px` }}>
        <div style={{ transform: `translateY(${first * height}px)` }}>{rows}</div>
      </div>
    </div>
  );
}
