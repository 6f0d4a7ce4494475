"""Step 2: the promise, labels that look wrong, pictures that harm, pictures to label next."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest

from mtl_model import promises
from mtl_model.card import Card
from mtl_model.data.dataset_edits import Changes
from mtl_model.layouts import Source
from mtl_model.records import Sample
from mtl_model.run_records import Forecast
from mtl_model.runs import CHANGES, FORECAST, REPORT
from mtl_model.tasks import class_task
from mtl_model.ui.teach import forecast_views, outcome_views, picture_views
from mtl_model.ui.teach.dataset import Labelled
from mtl_model.ui.teach.teaching import Record, Run

TASK = class_task("hat", ("off", "on"))
FIGURES: dict[str, Any] = {
    "title": "Hat",
    "metric": "accuracy",
    "unit": "share",
    "new": True,
    "before": None,
    "after": 0.84,
    "interval": [0.79, 0.88],
    "difference": None,
    "n": 100,
    "folds": 5,
    "guess": 0.5,
    "beats_guess": True,
    "curve": [[25, 0.7], [50, 0.78], [100, 0.84]],
    "twice": 0.87,
    "classes": ["off", "on"],
    "confusion_after": [[45, 5], [11, 39]],
    "reliability": {"sure": 80, "n": 100, "said": 0.9, "right": 0.91},
}
NO_EDITS = {"left_out": [], "labels": {}, "renamed": {}, "kept": {}}
FOUND: dict[str, Any] = {
    "parent": "default",
    "seconds": 2.0,
    "tasks": {"hat": FIGURES},
    "refused": {},
    "traps": {},
    "suspects": [
        {"file": "on/1.png", "task": "hat", "label": "on", "likelier": "off", "suspicion": 0.9},
        {"file": "off/0.png", "task": "hat", "label": "off", "likelier": "on", "suspicion": 0.4},
    ],
    "harmful": [
        {
            "code": "too_blurred",
            "count": 2,
            "files": ["on/3.png", "on/5.png"],
            "values": {"task": "Hat", "much": {"on": [25, 50]}},
        }
    ],
    "suggestions": [{"file": "unlabelled/<b>.png", "task": "hat", "guess": "on", "certain": 0.51}],
    "edits": NO_EDITS,
}


def shown_of(edits: Changes | None = None) -> Labelled:
    folder = Path("/data")
    names = [f"{'on' if number % 2 else 'off'}/{number}.png" for number in range(100)]
    samples = tuple(Sample(str(folder / name), {"hat": name.split("/")[0]}, file=name) for name in names)
    source = Source("folders", folder, samples, {"hat": TASK})
    return Labelled(source, edits or Changes(), ["unlabelled/<b>.png"])


@pytest.fixture
def run(tmp_path: Path) -> Run:
    (tmp_path / REPORT).write_text(json.dumps({"pictures": 100, "no_face": 0}))
    tell(tmp_path)
    return Run(tmp_path, Record("mine", parent="default"), None, "checked")


def tell(folder: Path, **more: Any) -> None:
    (folder / FORECAST).write_text(json.dumps({**FOUND, **more}))


def test_the_promise_its_growth_and_what_is_confused_stand_in_step_2(run: Run) -> None:
    html = forecast_views.forecast(run, shown_of(), None)
    assert "right for about 84 of 100 new pictures (79 to 88)" in html
    assert "with twice as many it may be about 87" in html
    assert "Of 50 on, 11 for off" in re.sub("[\u2068\u2069]", "", html)
    assert "left:84.0%" in html and "left:50.0%" in html, "this and guessing on one bar"
    assert "each of 100 pictures was answered by what the others taught" in html


@pytest.mark.parametrize(
    ("figures", "there", "absent"),
    [
        ({"beats_guess": False, "after": 0.52, "interval": [0.42, 0.62]}, "no better than guessing", "twice"),
        (
            {"unit": "years", "after": 4.2, "interval": [3.9, 4.6], "guess": 9.0, "twice": 4.0},
            "off by 4.2 years",
            "100 new",
        ),
    ],
)
def test_nothing_is_promised_that_was_not_measured(figures: dict, there: str, absent: str) -> None:
    said = f"{promises.promise({**FIGURES, **figures})} {promises.growth({**FIGURES, **figures})}"
    assert there in said and absent not in said


def test_a_figure_of_another_checkpoint_says_so(run: Run) -> None:
    other = dataclasses.replace(run, record=Record("mine", parent="bknet"))
    html = forecast_views.forecast(other, shown_of(), None)
    assert "learning from default brings" in html and 'data-do="forecast"' in html


def test_changes_since_are_counted_and_can_be_worked_in_at_once(run: Run) -> None:
    assert 'data-do="forecast"' not in forecast_views.forecast(run, shown_of(), None)
    (run.folder / CHANGES).write_text(json.dumps({"left_out": ["on/1.png"], "labels": {"off/0.png": {"hat": "on"}}}))
    assert "2 pictures changed since" in forecast_views.forecast(run, shown_of(), None)


def test_classes_that_the_parent_calls_otherwise_are_asked_about(run: Run) -> None:
    theirs = Card("bknet", {}, (class_task("hat", ("hat off", "hat on", "cap")),))
    html = forecast_views.forecast(run, shown_of(), theirs)
    assert (
        'data-do="rename"' in html and '<option value="hat on" selected>' in html and 'value="">none of these' in html
    )
    same = Card("bknet", {}, (TASK,))
    assert 'data-do="rename"' not in forecast_views.forecast(run, shown_of(), same)


@pytest.mark.parametrize(
    ("edits", "left"),
    [
        (Changes(), ["on/1.png", "off/0.png"]),
        (Changes(left_out=("on/1.png",)), ["off/0.png"]),
        (Changes(labels={"on/1.png": {"hat": "off"}}), ["off/0.png"]),
        (Changes(kept={"on/1.png": ["hat"]}), ["off/0.png"]),
        (Changes(kept={"on/1.png": ["hat"]}, left_out=("off/0.png",)), []),
    ],
)
def test_labels_that_look_wrong_are_gone_once_a_person_decided(run: Run, edits: Changes, left: list[str]) -> None:
    html = forecast_views.suspects(run, shown_of(edits))
    assert [name for name in ("on/1.png", "off/0.png") if f'data-file="{name}"' in html] == left
    places = [html.index(f'data-file="{name}"') for name in left]
    assert places == sorted(places), "the worst first"
    if left:
        assert 'data-key="c"' in html and 'data-key="k"' in html and 'data-key="x"' in html


def test_a_picture_to_label_has_a_key_per_class_and_goes_once_it_has_a_label(run: Run) -> None:
    html = forecast_views.suggestions(run, shown_of())
    assert 'data-key="1"' in html and 'data-word="on"' in html and "&lt;b&gt;.png" in html and "<b>.png" not in html
    labelled = shown_of(Changes(labels={"unlabelled/<b>.png": {"hat": "on"}}))
    assert forecast_views.suggestions(run, labelled) == "" and labelled.counts()["hat"]["on"] == 51


def test_pictures_that_harm_are_left_out_by_one_click_and_a_class_that_suffers_is_said(run: Run) -> None:
    html = picture_views.found(run, shown_of())
    assert "A whole class suffers." in html and 'data-key="too_blurred/Hat"' in html and "Leave all 2 out" in html
    gone = picture_views.found(run, shown_of(Changes(left_out=("on/3.png", "on/5.png"))))
    assert "too_blurred" not in gone


def test_a_trap_is_a_warning_with_the_number_that_gives_it_away(run: Run) -> None:
    trap = {"title": "Hat", "right": 0.93, "fact": "saturation", "alone": 0.91, "means": {"off": 0.02, "on": 0.31}}
    tell(run.folder, traps={"hat": trap})
    html = forecast_views.forecast(run, shown_of(), None)
    assert "93 of 100" in html and "how strong its colours are" in html and "0.31" in html


def test_bars_and_limits_count_faces_that_can_be_used(run: Run) -> None:
    names = [f"on/{number}.png" for number in range(1, 85, 2)]
    shown = Labelled(shown_of().source, Changes(), (), names)
    assert shown.counts()["hat"] == {"off": 50, "on": 8}
    assert "2 more of on (there are 8)" in picture_views.unlearnable(shown)["hat"]


def test_the_record_is_what_the_page_reads(tmp_path: Path) -> None:
    from mtl_model import typed

    assert typed.parse(Forecast, json.dumps(FOUND))["tasks"]["hat"].get("after") == 0.84


def test_the_line_of_the_step_counts_what_is_learned_from(run: Run) -> None:
    shown = Labelled(shown_of().source, Changes(left_out=("on/1.png",)), ["unlabelled/a.png"], ["on/3.png"])
    assert picture_views.line(shown) == "98 pictures to learn from, 1 left out"


@pytest.mark.parametrize(("frames", "warned"), [(60, True), (40, False)])
def test_a_figure_of_a_recording_says_what_it_is_worth(run: Run, frames: int, warned: bool) -> None:
    folder = Path("/data")
    names = [f"on/{'webcam ' if number < frames else ''}{number}.jpg" for number in range(100)]
    samples = tuple(Sample(str(folder / name), {"hat": "on"}, file=name) for name in names)
    html = forecast_views.forecast(run, Labelled(Source("folders", folder, samples, {"hat": TASK}), Changes()), None)
    assert (forecast_views.RECORDED in html) is warned
    assert (forecast_views.RECORDED in outcome_views.summary({"tasks": {"hat": FIGURES}}, warned)) is warned
