"""Pictures of plans: what they show, where it lies, and that no text of a document becomes markup."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from itertools import combinations

import pytest

from aether_protocol.views.graph.ascii import as_ascii
from aether_protocol.views.graph.layout import Layout, Metrics, Rect, arrange
from aether_protocol.views.graph.markup import as_dot, as_mermaid
from aether_protocol.views.graph.picture import MAX_BOXES, Picture, picture
from aether_protocol.views.graph.svg import as_svg
from tests.unit.cli.plans import dag, everything, loop, plan, task

METRICS = Metrics(lambda box: (11, 4), (2, 2, 2, 1), lambda box: 20, 3, lambda bent: 2 + bent)


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


@pytest.mark.parametrize("draw", [as_ascii, as_svg, as_dot, as_mermaid])
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


def test_ascii_shows_tasks_groups_conditions_and_retries() -> None:
    drawn = as_ascii(picture(everything()))
    assert drawn.isascii()
    for text in ("fetch", "+- build (dag) -", "batch (loop): 3 items, 2 at once", "retry up to 2", 'env == "<prod>"'):
        assert text in drawn
    width = {len(line) for line in drawn.splitlines()}
    assert len(width) == 1, "the frame around everything is closed on the right"


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
