from __future__ import annotations

import json

import pytest

from mtl_model import events
from mtl_model.events import Event, from_line, to_line

EXAMPLES: list[Event] = [
    events.Started("a run", steps=100, epochs=2, first_step=51, counts={"utkface": {"pictures": 7, "age": 5}}),
    events.Step(3, 1, {"age": 2.5, "smile": 0.0}, 0.001, 310.5, 42.0),
    events.Evaluated(1, 50, {"age": {"mae": 6.1}}, score=-6.1, best=True),
    events.Saved("state", 50),
    events.Noted("label_unknown", {"task": "‘ä’", "names": ["a", "b"], "count": 12}),
    events.Stopped(70, "no_better_epoch", {"epochs": 3, "best": 9}),
    events.Finished(100, 61.5, best_epoch=2),
    events.Failed("disk", {"message": "The disk is full."}),
    events.Progressed(events.Stage.READING, 3, 9, 2.5),
]


def test_every_kind_has_an_example():
    assert {type(event) for event in EXAMPLES} == set(events.KINDS.values())


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: type(event).__name__)
def test_an_event_survives_its_line(event: Event):
    line = to_line(event)
    assert "\n" not in line
    assert json.loads(line)["event"] == type(event).__name__.lower()
    assert from_line(line) == event
    assert from_line(line + "\n") == event


@pytest.mark.parametrize(
    ("line", "event"),
    [
        ('{"event": "noted", "text": "12 pictures."}', events.Noted("12 pictures.")),
        ('{"event": "stopped", "step": 7, "reason": "It was asked to."}', events.Stopped(7, "It was asked to.")),
        ('{"event": "failed", "text": "The disk is full."}', events.Failed("The disk is full.")),
    ],
)
def test_the_sentence_of_an_older_version_stands_for_its_code(line: str, event: Event):
    assert from_line(line) == event


@pytest.mark.parametrize(
    "line",
    ["", "{", to_line(EXAMPLES[1])[:-5], "[]", "5", "null", "{}", '{"event": "grown"}', '{"event": "saved"}',
     '{"event": "saved", "kind": "state", "step": 1, "more": 2}', '{"event": "noted"}',
    '{"event": "step", "text": "1"}', '{"event": ["saved"]}'],
)  # fmt: skip
def test_a_line_that_is_no_event_is_a_value_error(line: str):
    with pytest.raises(ValueError):  # noqa: PT011 - JSON's own and ours, the caller takes both
        from_line(line)


def test_events_are_written_as_they_pass(tmp_path):
    file = tmp_path / "events.jsonl"
    seen = []
    for event in events.written(iter(EXAMPLES), file):
        seen.append(event)
        assert len(file.read_text(encoding="utf-8").splitlines()) == len(seen)
    assert seen == EXAMPLES == [from_line(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_no_event_makes_no_file(tmp_path):
    assert list(events.written(iter([]), tmp_path / "events.jsonl")) == [] and not list(tmp_path.iterdir())
