"""Pictures of plans: what they show, where it lies, and that no text of a document becomes markup."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from itertools import combinations

import pytest
from msgspec.structs import replace

from aether_protocol.plan.model import HookEvent
from aether_protocol.views.graph.characters import as_characters
from aether_protocol.views.graph.layout import Layout, Metrics, Rect, arrange
from aether_protocol.views.graph.markup import as_dot, as_mermaid
from aether_protocol.views.graph.picture import MAX_BOXES, Picture, picture
from aether_protocol.views.graph.svg import as_svg
from aether_protocol.views.graph.tracks import STRAIGHT, tracks
from aether_protocol.views.html.page import picture_page
from aether_protocol.views.text import cells
from tests.unit.cli.plans import dag, everything, loop, plan, task

METRICS = Metrics(lambda box: (11, 4), lambda box, width: (20, 2), (2, 2, 1), 3, lambda bends: 2 + bends)


def laid_out(shown: Picture) -> Layout:
    return arrange(shown, METRICS)


def overlap(one: Rect, other: Rect) -> bool:
    apart_x = one.x + one.width <= other.x or other.x + other.width <= one.x
    apart_y = one.y + one.height <= other.y or other.y + other.height <= one.y
    return not (apart_x or apart_y)


def wide(tasks: int) -> Picture:
    """Each task waits for up to three of the twelve before it."""
    before = [sorted({max(0, i - 1 - (i * k) % 12) for k in (1, 5, 7)}) if i else [] for i in range(tasks)]
    return picture(plan(dag("main", *(task(f"t{i}", i, tuple(near)) for i, near in enumerate(before)))))


@pytest.mark.parametrize("shown", [picture(everything()), wide(60)], ids=["everything", "wide"])
def test_boxes_of_one_group_never_overlap_and_lie_inside_of_it(shown: Picture) -> None:
    rects = laid_out(shown).rects
    for box in shown.boxes:
        for one, other in combinations(box.children, 2):
            assert not overlap(rects[one], rects[other])
        for child in box.children:
            inner, outer = rects[child], rects[box.id]
            assert outer.x <= inner.x
            assert outer.y <= inner.y
            assert inner.x + inner.width <= outer.x + outer.width
            assert inner.y + inner.height <= outer.y + outer.height


def test_arrows_go_down_from_border_to_border() -> None:
    layout = laid_out(wide(60))
    for arrow in layout.arrows:
        source, target = layout.rects[arrow.source], layout.rects[arrow.target]
        assert arrow.points[0][:2] == (source.middle, source.y + source.height)
        assert arrow.points[-1] == (target.middle, target.y, target.y)
        heights = [y for _, top, bottom in arrow.points for y in (top, bottom)]
        assert heights == sorted(heights)


def test_long_arrows_pass_beside_the_boxes() -> None:
    layout = laid_out(wide(60))
    for arrow in layout.arrows:
        for x, top, bottom in arrow.points[1:-1]:
            hit = [r for r in layout.rects[1:] if r.x <= x < r.x + r.width and r.y < bottom and top < r.y + r.height]
            assert hit == []


@pytest.mark.parametrize("draw", [as_characters, as_svg, as_dot, as_mermaid, picture_page])
def test_ten_thousand_tasks_in_a_row_and_side_by_side_are_no_trouble(draw) -> None:
    chain = plan(dag("main", *(task(f"t{i}", i, (i - 1,) if i else ()) for i in range(MAX_BOXES - 2))))
    fan = plan(dag("main", *(task(f"t{i}", i, (0,) if i else ()) for i in range(MAX_BOXES - 2))))
    huge = plan(dag("main", *(task(f"t{i}", i) for i in range(10_000))))
    assert f"t{MAX_BOXES - 3}" in draw(picture(chain))
    assert f"t{MAX_BOXES - 3}" in draw(picture(fan))
    assert "10000 tasks inside" in draw(picture(huge))


def test_depth_closes_what_lies_deeper() -> None:
    shown = picture(everything(), depth=1)
    assert [box.title for box in shown.boxes] == ["main", "fetch", "build", "batch", "deploy", "report"]
    assert shown.boxes[2].lines == ["(3 tasks inside)"]
    assert len(picture(everything(), depth=0).boxes) == 1


def test_the_terminal_shows_tasks_groups_conditions_and_retries() -> None:
    drawn = as_characters(picture(everything()), plain=True)
    assert drawn.isascii()
    for text in ("fetch", "+- build (dag) -", "batch (loop): 3 items, 2", "retry up to 2", 'env == "<prod>"'):
        assert text in drawn
    width = {len(line) for line in drawn.splitlines()}
    assert len(width) == 1, "the frame around everything is closed on the right"


def hooked() -> Picture:
    """An approval with a hook, in a workflow with one; a name and a question that are longer than a box is wide."""
    question = "is version {{workflow.parameters.version}} of everything really to be published to all customers?"
    name = "approve-what-is-going-to-be-published-tonight-and-on-every-other-night"
    ask = task(name, 1, (0,), what="await", message=question)
    ask = replace(ask, hooks={HookEvent.ON_SUSPEND: task("tell")})
    return picture(replace(plan(dag("main", task("build"), ask)), hooks={HookEvent.ON_EXIT: task("clean")}))


@pytest.mark.parametrize("columns", [40, 80, 200])
@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("shown", [picture(everything()), wide(12), wide(60), hooked()], ids=["all", "dag", "big", "hooks"])
def test_no_line_is_wider_than_the_terminal_and_every_word_is_there(shown: Picture, plain: bool, columns: int) -> None:
    drawn = as_characters(shown, columns, plain=plain)
    assert max(map(cells, drawn.splitlines())) <= columns
    assert drawn.isascii() or not plain
    for box in shown.boxes:
        for part in re.split(r"[^A-Za-z0-9]+", " ".join([box.title, *box.lines])):
            assert part in drawn, "a text is folded, not cut"


def test_hooks_and_approvals_are_drawn_in_every_format() -> None:
    shown = hooked()
    assert {box.kind for box in shown.boxes} == {"workflow", "dag", "task", "approval", "hook"}
    text, svg, dot, mermaid = (write(shown) for write in (as_characters, as_svg, as_dot, as_mermaid))
    for event in ("onSuspend", "workflow onExit"):
        assert event in text
        assert event in svg
    assert "╔" in text
    assert "╌" in text
    assert svg.count('class="weak"') == 2
    assert dot.count("style=dotted") == 2
    assert "shape=hexagon" in dot
    assert mermaid.count("-.->") == 2
    assert '{{"approve-what' in mermaid


def test_lines_of_different_arrows_are_told_apart() -> None:
    """Two tasks that wait for one and the same share a line; a line that only passes is crossed, not joined."""
    shared = as_characters(picture(plan(dag("main", task("a"), task("b", 1), task("c", 2, (0, 1))))))
    assert len([line for line in shared.splitlines() if re.search("└─+┬─+┘", line) and "┘   └" not in line]) == 1
    crossing = as_characters(picture(plan(dag("main", task("a"), task("b", 1), task("c", 2, (1,)), task("d", 3, (0, 1))))))
    assert "┼" not in crossing


def test_nets_have_tracks_that_do_not_meet() -> None:
    hops = {1: frozenset({9}), 5: frozenset({5}), 9: frozenset({20}), 30: frozenset({40}), 50: frozenset({40})}
    found = tracks(hops)
    assert found[frozenset({5})] == STRAIGHT
    assert found[frozenset({20})] < found[frozenset({9})], "what leaves column 9 is above what comes down there"
    assert found[frozenset({40})] == 0, "far away from the others"


def test_phases_are_colours_and_words() -> None:
    shown = picture(everything())
    for box in shown.boxes:
        box.phase = "Failed" if box.title == "lint" else "Succeeded"
        box.lines.append(box.phase)
    shown.boxes[-1].counts = {"Failed": 1, "Succeeded": 3}
    painted = as_characters(shown, paint=lambda text, phase: f"<{phase}>{text}</>")
    assert "<Failed>│ lint    │</>" in painted
    svg, dot, mermaid = as_svg(shown), as_dot(shown), as_mermaid(shown)
    assert 'class="task failed"' in svg
    assert 'class="bar-failed"' in svg
    assert "classDef Failed stroke:#c62f2f" in mermaid
    assert 'color="#c62f2f"' in dot


def test_svg_is_well_formed_and_escaped() -> None:
    root = ET.fromstring(as_svg(picture(everything())))
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "fetch" in texts
    assert 'when inputs.parameters.env == "<prod>"' in texts
    assert len(list(root.iter("{http://www.w3.org/2000/svg}rect"))) == 1 + len(picture(everything()).boxes)


def test_mermaid_and_dot_escape_what_could_be_markup() -> None:
    shown = picture(plan(dag("main", task("a", when="'\"]; x --> y' == '<b>'"))))
    mermaid, dot = as_mermaid(shown), as_dot(shown)
    assert "#34;#93;#59; x --#62; y" in mermaid
    assert '\\"]; x' in dot
    assert mermaid.count("-->") == 0


def test_dot_joins_groups_at_their_border() -> None:
    shown = picture(plan(dag("main", dag("one", task("a")), loop("two", task("b"), [1], at=1, after=(0,)))))
    assert "n3 -> n4 [ltail=cluster1, lhead=cluster2];" in as_dot(shown)
