"""Three test pictures of a system, with their labels and what a checkpoint of it answers."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path
from typing import Any

from markupsafe import Markup

from mtl_model import crops, kinds, layouts, systems
from mtl_model.errors import DataError
from mtl_model.pictures import read_picture, turn
from mtl_model.predictor import Predictor
from mtl_model.records import Sample
from mtl_model.tasks import Task
from mtl_model.ui.faces.face_cards import data_url
from mtl_model.ui.render import render

COUNT, CROP_PX = 3, 160


def answered(name: str, predictor: Predictor, data: Path, chance: random.Random) -> Markup:
    """Return three test pictures of a system's data sets with labels and answers. Raises DataError where there are none."""
    tasks = kinds.shown(predictor.card.tasks)
    rows = [_row(sample, predictor, tasks) for sample in chosen(name, tasks, data, chance)]
    return render("systems/pictures.html", pictures=rows, checkpoint=predictor.name)


def chosen(name: str, tasks: tuple[Task, ...], data: Path, chance: random.Random) -> list[Sample]:
    """Draw three test pictures that are labelled for a task, in turn from each data set. Raises DataError."""
    config, asked = systems.recipe(name, data=data), {task.name for task in tasks}
    drawn: list[list[Sample]] = []
    for spec in config.source:
        source = layouts.read_as(layouts.read(spec, layouts.options_for(spec, config.layout_options)), tasks)
        labelled = [sample for sample in source.in_split("test") if asked & set(sample.labels)]
        drawn.append(chance.sample(labelled, min(COUNT, len(labelled))))
    samples = [part[place] for place in range(COUNT) for part in drawn if place < len(part)]
    if not samples:
        raise DataError(
            f"The data sets of '{systems.named(name).title}' hold no labelled test picture. Expected some in the split test; "
            "copy the sets again."
        )
    return samples[:COUNT]


def _row(sample: Sample, predictor: Predictor, tasks: tuple[Task, ...]) -> dict[str, Any]:
    rgb = read_picture(sample.path)
    photo = predictor.photo(rgb, Path(sample.path).name)
    if not photo.readings:
        return {"picture": data_url(rgb, CROP_PX), "answers": [], "fault": photo.error or "No face was found in it."}
    reading = max(photo.readings, key=lambda reading: _area(reading.face.box))
    upright = turn(rgb, photo.turned)
    seen = dataclasses.replace(predictor.card.crop, size_px=CROP_PX)
    answers = [
        {
            "title": task.title,
            "answer": reading.estimates[task.name].text,
            "label": _label(task, sample),
        }
        for task in tasks
    ]
    return {"picture": data_url(crops.cut(upright, [reading.face], seen)[0], CROP_PX), "answers": answers, "fault": ""}


def _area(box: tuple[float, float, float, float]) -> float:
    left, top, right, bottom = box
    return (right - left) * (bottom - top)


def _label(task: Task, sample: Sample) -> str:
    label = sample.labels.get(task.name)
    return "" if label is None else kinds.of(task).label_text(task, label)
