"""The page about many photos: figures add up probabilities, and lead to the pictures behind them."""

from __future__ import annotations

import re

import numpy as np
import pytest

from mtl_model.card import Card
from mtl_model.kinds import of
from mtl_model.records import PICTURE, Face, Photo, Quality, Reading
from mtl_model.tasks import TASKS, Task, class_task
from mtl_model.ui.faces import summary
from mtl_model.ui.faces.summary import Figure, summarised

CARD = Card("bknet", {}, tuple(TASKS.values()))
GOOD = Quality(100, 0.2, 0.5, 0.0)


def reading(
    age: float = 33, female: float = 0.9, smile: float = 0.8, quality: Quality = GOOD, spread: float = 1
) -> Reading:
    years = np.exp(-((np.arange(101) - age) ** 2) / (2 * spread**2))
    rows = {"age": years / years.sum(), "gender": np.array([female, 1 - female]), "smile": np.array([1 - smile, smile])}
    estimates = {
        name: of(TASKS[name]).estimate(TASKS[name], row, CARD.calibration_of(name)) for name, row in rows.items()
    }
    return Reading(Face((0, 0, 9, 9), 1.0), estimates, quality)


def page(*photos: Photo, tasks: tuple[Task, ...] = CARD.tasks) -> str:
    return summarised(photos, tasks, "Faces", lambda name: f"there/{name}")


def text(html: str) -> str:
    """What a person reads, without its lists."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL)))


def test_figures_add_up_probabilities_with_their_doubt() -> None:
    figure = Figure("x", "x")
    for chance in [0.5] * 100:
        figure.add(chance, None)
    assert figure.mean == 50 and figure.between(100) == pytest.approx((43.6, 56.4), abs=0.05)
    sure = Figure("x", "x")
    for _ in range(9):
        sure.add(1.0, None)
    assert sure.between(9) == (9, 9)


def test_the_page_says_how_many_and_of_which() -> None:
    photos = [Photo(f"{number}.jpg", None, (reading(), reading(62, 0.1, 0.3))) for number in range(10)]
    shown = text(page(*photos, Photo("none.jpg"), Photo("cut.jpg", "It is cut off.")))
    assert "12 photos, 20 faces, no face in 1 of the photos, 1 could not be read" in shown
    assert "11 (9 to 13) · 55 % (43 to 67)" in shown  # smiling: ten at 0.8 and ten at 0.3
    assert "10 (8 to 12) · 50 % (41 to 59)" in shown  # female
    assert re.search(r"9 \(8 to 10\) 30–39 1 \(0 to 2\)", shown) and re.search(
        r"1 \(0 to 2\) 60–69 9 \(8 to 10\)", shown
    )
    assert "cut.jpg : It is cut off." in shown


def test_a_figure_leads_to_the_pictures_and_unsure_ones_come_first() -> None:
    photos = [
        Photo("sure.jpg", None, (reading(smile=0.99),)),
        Photo("doubtful.jpg", None, (reading(smile=0.99), reading(smile=0.6))),
    ]
    html = page(*photos)
    keys = re.findall(r'href="#(faces-[0-9-]+)"', html)
    assert len(keys) == 3 == len(set(keys))  # of an age, a gender and a smile: nobody was answered otherwise
    listed = html.split(f'id="{keys[-1]}"')[1].split("</ul>")[0]
    assert re.findall(r'href="there/([a-z]+).jpg"', listed) == ["doubtful", "sure", "doubtful"]
    assert listed.count("unsure") == 2 and "face 2" in listed.split("</li>")[0]  # its class and its word


def test_what_can_hardly_be_told_is_left_out_and_counted() -> None:
    poor = [
        Quality(10, 0.2, 0.5, 0.0),
        Quality(100, 0.001, 0.5, 0.0),
        Quality(100, 0.2, 0.5, 70.0),
        Quality(11, 0.2, 0.5),
    ]
    shown = text(page(Photo("a.jpg", None, (reading(), *(reading(quality=quality) for quality in poor)))))
    assert "5 faces" in shown and "2 too small to tell much, 1 out of focus, 1 turned away" in shown
    assert "They count 1." in shown and "Age 1 face " in shown


def test_names_are_escaped() -> None:
    name = '"><script>alert(1)</script>\u202e.jpg'
    html = page(Photo(name, None, (reading(),)), Photo(name, name))
    assert "<script" not in html and html.count("&lt;script&gt;") >= 2
    assert "default-src 'none'" in html


def test_without_genders_ages_are_one_column_and_many_classes_are_many_rows() -> None:
    shown = text(page(Photo("a.jpg", None, (reading(),)), tasks=(TASKS["age"],)))
    assert "30–39" in shown and "female" not in shown
    colour = class_task("colour", ("red", "green", "blue"))
    estimate = of(colour).estimate(colour, np.array([0.2, 0.3, 0.5]), of(colour).Calibration())
    photo = Photo("a.jpg", None, (Reading(Face((0, 0, 1, 1), 1.0), {"colour": estimate}),), subject=PICTURE)
    html = page(photo, tasks=(colour,))
    assert "1 picture" in text(html) and "face" not in text(html) and "blue" in html


def test_long_lists_are_cut_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summary, "LISTED", 3)
    html = page(*(Photo(f"{number}.jpg", None, (reading(),)) for number in range(5)))
    assert "5 faces answered so, of which the 3 least sure stand here" in html


def test_no_photo_is_a_page_too() -> None:
    assert "0 photos, 0 faces" in text(page())
