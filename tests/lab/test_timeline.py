"""The picture of the locks: well-formed, static, in words, and to scale."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from mig_kit.hazards.locks import LockMode
from mig_kit.lab.blocks import Picture, View
from mig_kit.lab.html import to_html, to_markdown
from mig_kit.lab.text import to_text
from mig_kit.lab.timeline import LockSpan, lock_timeline

SVG = "{http://www.w3.org/2000/svg}"


def span(relation: str, began: float, held: float, mode: LockMode = LockMode.ACCESS_EXCLUSIVE) -> LockSpan:
    return LockSpan("blog.0005_change", relation, mode, began, held)


def texts(svg: str) -> list[str]:
    return [each.text or "" for each in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def bars(svg: str) -> list[ElementTree.Element]:
    return [each for each in ElementTree.fromstring(svg).iter(f"{SVG}rect") if each.get("height") == "13"]


def test_each_table_has_a_line_with_its_lock_and_its_time_in_words() -> None:
    said = texts(lock_timeline([span("blog_post", 0, 14), span("blog_comment", 5, 2400, LockMode.SHARE)]))
    assert [each for each in said if each.startswith("blog_")] == ["blog_post", "blog_comment"]
    assert "ACCESS EXCLUSIVE, 14 ms" in said
    assert "SHARE, 2.40 s" in said


def test_bars_are_to_one_scale() -> None:
    long, short = bars(lock_timeline([span("a", 0, 1000), span("b", 500, 250)]))
    assert float(long.get("width", 0)) == pytest.approx(4 * float(short.get("width", 0)), rel=0.01)
    assert float(short.get("x", 0)) - float(long.get("x", 0)) == pytest.approx(
        float(long.get("width", 0)) / 2, rel=0.01
    )


def test_the_shortest_lock_can_still_be_seen_and_lies_inside() -> None:
    _, shortest = bars(lock_timeline([span("a", 0, 60_000), span("b", 60_000, 0.1)]))
    assert float(shortest.get("width", 0)) >= 3
    assert float(shortest.get("x", 0)) + float(shortest.get("width", 0)) <= 960 - 20


def test_it_runs_nothing_and_loads_nothing() -> None:
    elements = {each.tag.removeprefix(SVG) for each in ElementTree.fromstring(lock_timeline([span("a", 0, 1)])).iter()}
    assert elements <= {"svg", "rect", "line", "text"}


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "a & b", "'quoted'", "\u202eevil", "x" * 200])
def test_a_hostile_name_stays_text(name: str) -> None:
    svg = lock_timeline([span(name, 0, 1)])
    assert len(bars(svg)) == 1
    assert "<script" not in svg
    assert "\u202e" not in svg


def test_what_is_left_out_is_said() -> None:
    svg = lock_timeline([span(f"t{number}", 0, 1) for number in range(90)], most=60)
    assert "… and 30 more: the table has every one" in texts(svg)


def test_nothing_locked_is_still_a_picture() -> None:
    assert "Locks held, by migration and table" in texts(lock_timeline([]))


def test_as_html_it_is_an_image_with_words_and_as_text_it_is_the_words() -> None:
    view = View((Picture(lock_timeline([span("a", 0, 1)]), 'Locks: "a" for 1 ms'),))
    for drawn in (to_html(view), to_markdown(view)):
        assert 'alt="Locks: &quot;a&quot; for 1 ms"' in drawn
        assert 'src="data:image/svg+xml;base64,' in drawn
    assert to_text(view) == 'Locks: "a" for 1 ms'
