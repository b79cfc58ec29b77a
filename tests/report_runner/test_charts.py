"""The charts: well-formed, the same every time, complete for those who cannot see them."""

from typing import Literal
from xml.etree import ElementTree

import pytest

from report_runner.charts import Bar, TrendPoint, bar_svg, trend_svg
from report_runner.plots import Series, curves, histogram

SVG = "{http://www.w3.org/2000/svg}"
FORMS: tuple[Literal["wide", "narrow"], ...] = ("wide", "narrow")
POINTS = [
    TrendPoint(0, "5/31", 480.0, 450.0, 510.0),
    TrendPoint(1, "6/7", 500.0, 470.0, 530.0),
    TrendPoint(3, "6/21", 520.0, 495.0, 545.0),
]


@pytest.mark.parametrize("form", FORMS)
def test_the_band_spans_one_standard_error_around_the_line(
    form: Literal["wide", "narrow"],
) -> None:
    root = ElementTree.fromstring(trend_svg(POINTS, form, "title", "description"))  # noqa: S314
    line = _points(root.find(f"{SVG}polyline"))
    band = _points(root.find(f"{SVG}polygon"))
    high, low = band[:3], band[:2:-1]
    per_point = (line[0][1] - line[2][1]) / 40
    for point, (x, y), (_, upper), (_, lower) in zip(POINTS, line, high, low, strict=True):
        assert y - upper == pytest.approx(per_point * (point.high - point.score), abs=0.11)
        assert lower - y == pytest.approx(per_point * (point.score - point.low), abs=0.11)
        assert x == pytest.approx(line[0][0] + (line[2][0] - line[0][0]) * point.week / 3, abs=0.11)


@pytest.mark.parametrize("form", FORMS)
def test_a_chart_has_title_and_description_and_the_same_bytes_again(
    form: Literal["wide", "narrow"],
) -> None:
    chart = trend_svg(POINTS, form, "점수 <1>", "a & b")
    assert chart == trend_svg(POINTS, form, "점수 <1>", "a & b")
    root = ElementTree.fromstring(chart)  # noqa: S314
    assert (root.findtext(f"{SVG}title"), root.findtext(f"{SVG}desc")) == ("점수 <1>", "a & b")
    assert root.get("role") == "img"


@pytest.mark.parametrize("form", FORMS)
def test_everything_drawn_lies_inside_the_picture(form: Literal["wide", "narrow"]) -> None:
    for points in (POINTS, POINTS[:2], [TrendPoint(0, "a", 0, 0, 0), TrendPoint(1, "b", 0, 0, 0)]):
        root = ElementTree.fromstring(trend_svg(points, form, "t", "d"))  # noqa: S314
        width, height = (float(root.attrib[name]) for name in ("width", "height"))
        for x, y in _points(root.find(f"{SVG}polygon")):
            assert 0 <= x <= width
            assert 0 <= y <= height


def test_bars_are_as_long_as_their_share_and_marked_in_words_and_lightness() -> None:
    bars = [
        Bar("strong", 1.0, "100%", "강점", is_strong=True, is_weak=False),
        Bar("plain", 0.5, "50%", None, is_strong=False, is_weak=False),
        Bar("weak", 0.0, "0%", "연습", is_strong=False, is_weak=True),
    ]
    root = ElementTree.fromstring(bar_svg(bars, "narrow", "t", "d"))  # noqa: S314
    filled = root.findall(f"{SVG}rect")[1::2]
    assert [float(bar.attrib["width"]) for bar in filled] == [338.0, 168.0, 1.0]
    assert len({bar.attrib["fill"] for bar in filled}) == 3
    texts = [text.text for text in root.findall(f"{SVG}text")]
    assert texts == ["strong", "100% · 강점", "plain", "50%", "weak", "0% · 연습"]


def _points(element: ElementTree.Element | None) -> list[tuple[float, float]]:
    assert element is not None
    pairs = (pair.split(",") for pair in element.attrib["points"].split())
    return [(float(x), float(y)) for x, y in pairs]


def test_marks_that_would_lie_upon_each_other_share_a_label() -> None:
    marks = [("10%", 340.0), ("25%", 548.0), ("50%", 548.0), ("90%", 549.0)]
    chart = histogram([(300, 350, 2), (500, 550, 8)], marks, ("score", "students"), "t", "d")
    for svg in (chart.wide, chart.narrow):
        root = ElementTree.fromstring(svg)  # noqa: S314
        words = [text.text for text in root.iter(f"{SVG}text")]
        assert [word for word in words if word and "%" in word] == ["10%", "25%\N{EN DASH}90%"]


def test_lines_are_named_below_where_there_are_several() -> None:
    points = [(0.0, 0.1), (1.0, 0.9)]
    one, two = (
        curves([Series(name, points) for name in names], ("theta", "P"), "t", "d").wide
        for names in (("item a",), ("item a", "item b"))
    )
    assert "item a" not in one
    assert two.index("item a") < two.index("item b")
