from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from pixelwise.formats.png import encode_rgb
from pixelwise.training.provenance import machine_event
from pixelwise.training.report import make_report
from pixelwise.training.report_page import report_page

MARKUP = "<script>alert('1')</script>\"&$body"
HOSTILE = f"{MARKUP}\x1b[31m"
SHOWN = HOSTILE.replace("\x1b", r"\x1b")
VOID = {"br", "img", "meta"}
INERT = {"html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "h3", "p", "nav",
         "a", "dl", "dt", "dd", "br", "section", "span", "div", "table", "thead", "tbody", "tr",
         "th", "td", "figure", "figcaption", "img", "footer", "small", "strong", "ul", "li",
         "code", "svg", "path", "circle", "text"}  # fmt: skip


class Page(HTMLParser):
    """Elements, attributes and texts of a page; what is not closed stays open."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.texts, self.open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def page_of(folder):
    text = report_page(make_report(folder))
    text.encode()
    return text


@pytest.fixture
def run(make_run):
    """A run in which every name and text is hostile."""
    made = make_run(names=[MARKUP, "road", "sky"], pictures=20)
    made.log[0]["notes"] = [f"note {HOSTILE}"]
    made.log[4:4] = [
        {"event": "rolled back", "step": 4, "names": [f"batch {HOSTILE}"], "why": HOSTILE},
        {"event": "quarantined", "file": f"file {HOSTILE}", "what": HOSTILE},
        {"event": "smaller batches", "micro_batch": 2},
    ]
    made.log[-1]["why"] = f"why {HOSTILE}"
    made.timing.append(machine_event(f"device {HOSTILE}"))
    made.write()
    plan = made.folder / "plan.yaml"
    plan.write_text(plan.read_text() + 'card: "<b>x</b>"  # reason <i>\'\n')
    (made.folder / "examples").mkdir()
    for place in (0, 3, int(make_report(made.folder).worst[0].place)):
        picture = np.full((40, 60, 3), place, np.uint8)
        (made.folder / "examples" / f"val_{place:06d}.png").write_bytes(encode_rgb(picture))
    return made


@pytest.fixture
def page(run):
    return page_of(run.folder)


def test_names_are_text_and_nothing_runs(page):
    parsed = Page(page)
    assert {tag for tag, _ in parsed.elements} <= INERT
    assert parsed.open == []
    for _, attributes in parsed.elements:
        assert not any(name.startswith("on") for name in attributes)
    texts = "".join(parsed.texts)
    for words in ("note ", "batch ", "file ", "why ", "device "):
        assert f"{words}{SHOWN}" in texts
    assert texts.count(MARKUP) >= 7  # the class, in table and curves, besides
    assert "<b>x</b>" in texts
    assert "reason <i>'" in texts
    assert "\x1b" not in page


def test_nothing_is_fetched(page):
    parsed = Page(page)
    for tag, attributes in parsed.elements:
        for name in ("src", "href", "action", "data", "poster", "srcset", "xlink:href"):
            if name in attributes:
                assert attributes[name].startswith("#" if tag == "a" else "data:image/jpeg;base64,")
    assert not re.search(r"url\(|@import|https?:", page)
    policy = next(
        attributes["content"]
        for _, attributes in parsed.elements
        if attributes.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'")


def test_it_fits_phones_and_dark_rooms(page):
    assert 'name="viewport" content="width=device-width' in page
    assert "prefers-color-scheme: dark" in page
    assert page.count("<style>") == 1
    assert ".charts" in page


def test_every_link_and_label_leads_somewhere(page):
    parsed = Page(page)
    ids = [attributes["id"] for _, attributes in parsed.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [a["href"][1:] for tag, a in parsed.elements if tag == "a"]
    assert set(links) == set(ids) == {"curves", "classes", "worst", "examples", "events", "plan"}


def test_every_picture_and_chart_has_words(page):
    parsed = Page(page)
    images = [attributes for tag, attributes in parsed.elements if tag == "img"]
    assert len(images) >= 2
    assert all(image["alt"] for image in images)
    charts = [attributes for tag, attributes in parsed.elements if tag == "svg"]
    assert sum("aria-label" in chart for chart in charts) == 4
    assert all("aria-label" in chart or chart.get("aria-hidden") == "true" for chart in charts)


def test_score_interval_and_bars_are_those_of_the_report(run, page):
    report = make_report(run.folder)
    texts = "".join(Page(page).texts)
    assert f"{100 * report.history.best.mean_iou:.1f} %" in texts
    assert f"95 % interval {100 * report.interval.low:.1f} %" in texts
    widths = [float(width) for width in re.findall(r'class="bar" style="width:([\d.]+)%', page)]
    assert widths == pytest.approx([100 * row.iou for row in report.classes], abs=0.01)
    red, green, blue = run.table.classes[0].colour
    assert f"background:rgb({red},{green},{blue})" in page


def test_the_worst_stand_with_their_pictures_and_the_rest_below(run, page):
    worst = make_report(run.folder).worst
    section = page.partition('id="worst"')[2].partition('id="examples"')[0]
    assert section.count("<img") == sum(
        row.place in make_report(run.folder).history.examples for row in worst
    )
    assert all(row.name in section for row in worst)


def test_reasons_stand_beside_the_choices(page):
    row = re.search(r"<tr><td><code>epochs</code>.*?</tr>", page)[0]
    assert "as many as fit: # of them" in row


@pytest.mark.parametrize("choices", [
    {"classes": 2, "epochs": 1, "pictures": 1},
    {"classes": 150, "epochs": 3, "pictures": 5},
    {"classes": 1, "epochs": 2, "pictures": 2, "ended": None},
])  # fmt: skip
def test_runs_of_any_kind_make_a_page(make_run, choices):
    run = make_run(**choices)
    parsed = Page(page_of(run.folder))
    assert parsed.open == []
    names = "".join(parsed.texts)
    assert all(name in names for name in run.table.names)


@pytest.mark.parametrize("kept", [0, 1, 3])
def test_a_run_without_a_score_makes_a_page(make_run, kept):
    run = make_run()
    del run.log[kept:]
    run.write()
    parsed = Page(page_of(run.folder))
    assert parsed.open == []
    assert "nothing scored yet" in "".join(parsed.texts)


def test_the_model_file_stands_with_its_own_scores(make_run, make_model):
    run = make_run()
    score = {"metric": "mIoU", "value": 0.713, "protocol": "toy val, 3 pictures"}
    make_model(scores=(score,)).rename(run.folder / "model.onnx")
    texts = "".join(Page(page_of(run.folder)).texts)
    assert "mIoU 71.3 %: toy val, 3 pictures" in texts
    assert re.search(r"SHA-256 [0-9a-f]{64}", texts)


def test_a_broken_example_is_left_out(run):
    for file in (run.folder / "examples").iterdir():
        file.write_bytes(b"no picture")
    assert "<img" not in page_of(run.folder)
