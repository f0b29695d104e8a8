from __future__ import annotations

import os
import re
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from pixelwise.classes import ClassInfo, ClassTable
from pixelwise.data.check import check
from pixelwise.data.dataset import Dataset, Entry
from pixelwise.data.layouts.mask_files import MaskFiles
from pixelwise.data.report_page import report_page

HOSTILE = "<script>alert('1')<-script>\"&$body"
TABLE = ClassTable(
    "toy",
    (
        ClassInfo(0, "background", (0, 0, 0)),
        ClassInfo(1, f"{HOSTILE} class", (200, 30, 30)),
        ClassInfo(2, "dog", (30, 200, 30)),
    ),
    9,
    "made for a test",
)
VOID = {"br", "img", "meta"}
INERT = {"html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "h3", "p", "nav",
         "a", "dl", "dt", "dd", "br", "section", "details", "summary", "span", "div", "table",
         "thead", "tbody", "tr", "th", "td", "figure", "figcaption", "img", "footer"}  # fmt: skip


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

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def photo(seed):
    random = np.random.default_rng(seed)
    rows, columns = np.indices((24, 36)) / 36
    waves = [a * rows + b * columns for a, b in random.uniform(1, 6, (3, 2))]
    return (127 + 120 * np.sin(2 * np.pi * np.stack(waves, axis=-1))).astype(np.uint8)


@pytest.fixture
def dataset(tmp_path):
    """Pictures of odd names, among them a copy, a look-alike and one with a bad mask."""
    odd = os.fsdecode(b"\xff\xfe") if sys.platform == "linux" else "odd"
    names = [HOSTILE, odd, "copy", "alike", "bad", "\x1b[31m\u202e"]
    entries = []
    for number, name in enumerate(names):
        pixels = photo({2: 0, 3: 1}.get(number, number))
        if name == "alike":
            pixels = np.clip(pixels.astype(int) + 9, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
        mask = np.random.default_rng(number).integers(0, 3, (24, 36), np.uint8)
        mask[0, 0] = 77 if name == "bad" else 9
        Image.fromarray(mask).save(tmp_path / f"{name}_mask.png")
        entries.append(Entry(f"{name}.png", f"{name}_mask.png", ("train", "val")[number % 2]))
    return Dataset(
        tmp_path, "by hand", TABLE, tuple(entries), MaskFiles(), notes=(f"a note {HOSTILE}",)
    )


@pytest.fixture
def page(dataset):
    text = report_page(check(dataset))
    text.encode()
    return text


def test_names_are_text_and_nothing_runs(page):
    parsed = Page(page)
    assert {tag for tag, _ in parsed.elements} <= INERT
    assert parsed.open == []
    for _, attributes in parsed.elements:
        assert not any(name.startswith("on") for name in attributes)
    texts = "".join(parsed.texts)
    assert f"{HOSTILE}.png" in texts
    assert f"{HOSTILE} class" in texts
    assert f"a note {HOSTILE}" in texts
    assert r"\x1b[31m\u202e" in texts
    assert "\u202e" not in page


def test_a_name_of_bytes_that_are_no_text_is_written_out(page):
    if sys.platform == "linux":
        assert r"\udcff\udcfe.png" in page


def test_nothing_is_fetched(page):
    parsed = Page(page)
    for tag, attributes in parsed.elements:
        for name in ("src", "href", "action", "data", "poster", "srcset"):
            if name in attributes:
                assert attributes[name].startswith("#" if tag == "a" else "data:image/jpeg;base64,")
    assert not re.search(r"url\(|@import|https?:", page)
    policy = next(
        attributes["content"]
        for tag, attributes in parsed.elements
        if attributes.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'")


def test_it_fits_phones_and_dark_rooms(page):
    assert 'name="viewport" content="width=device-width' in page
    assert "prefers-color-scheme: dark" in page
    assert '<html lang="en">' in page


def test_every_link_and_label_leads_somewhere(page):
    parsed = Page(page)
    ids = [attributes["id"] for _, attributes in parsed.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [a["href"][1:] for tag, a in parsed.elements if tag == "a"]
    labels = [a["aria-labelledby"] for _, a in parsed.elements if "aria-labelledby" in a]
    assert links
    assert set(links) | set(labels) == set(ids)
    assert set(ids) >= {"faults", "classes", "samples", "examples", "duplicates"}


def test_every_picture_has_words(page):
    images = [attributes for tag, attributes in Page(page).elements if tag == "img"]
    assert len(images) > 12
    assert all(image["alt"] for image in images)


def test_faults_stand_with_file_value_and_fix(page):
    texts = "".join(Page(page).texts)
    assert "the mask holds values that are no class ids (1)" in texts
    assert "bad_mask.png" in texts
    assert "77 × 1" in texts
    assert "Fix: " in texts
    assert "2 copies" in texts
    assert "of 64 bits apart" in texts


def test_each_class_has_its_colour_and_share(page):
    for colour in ("rgb(200,30,30)", "rgb(30,200,30)"):
        assert f"background:{colour}" in page
    widths = [float(width) for width in re.findall(r"width:([\d.]+)%", page)]
    assert max(widths) == 100
    assert len(widths) >= 3


def test_a_data_set_without_anything_makes_a_page(tmp_path):
    empty = check(Dataset(tmp_path, "by hand", TABLE, (), MaskFiles()))
    parsed = Page(report_page(empty))
    assert parsed.open == []
    assert "No faults found." in "".join(parsed.texts)
