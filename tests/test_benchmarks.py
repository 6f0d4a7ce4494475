"""What the benchmarks work out, on small made-up data; what they measure stands in docs/."""

from __future__ import annotations

import cmath
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from benchmarks import (
    average,
    celeba_list,
    curves,
    digits,
    face,
    fewshot,
    framing,
    generation,
    histograms,
    pack,
    speed,
    strangers,
    systems,
)
from benchmarks.lines import Lines
from mtl_model import checkpoint, kinds, layouts
from mtl_model.card import Card, CropSettings
from mtl_model.config import TrainConfig
from mtl_model.crops import tilt
from mtl_model.data.batches import Labelled
from mtl_model.data.cache import Crops
from mtl_model.errors import DataError
from mtl_model.events import Evaluated, Event, Finished, Noted, Step, Stopped
from mtl_model.predictor import Predictor
from mtl_model.records import Sample
from mtl_model.tasks import TASKS, Label, Task, class_task, number_task
from mtl_model.train.prepare import Data

TINY = Card("bknet", {"size_px": 16, "hidden": 8}, tuple(TASKS.values()), crop=CropSettings(size_px=16))


def data_of(labels: list[dict[str, Label]], races: list[str] | None = None) -> Labelled:
    samples = [
        Sample(str(row), one, attributes={"race": races[row]} if races else {}) for row, one in enumerate(labels)
    ]
    count = len(labels)
    crops = Crops(np.zeros((count, 16, 16, 3), np.uint8), np.ones(count, np.int16), np.zeros((count, 4)))
    return Labelled([(samples, crops, np.arange(count))], TINY.tasks)


def test_a_generation_is_shown_by_bands_with_its_bias_and_coverage() -> None:
    card = Card("bknet", {}, TINY.tasks, calibration={"age": kinds.calibration_from(TASKS["age"], {"margin": 3.0})})
    ages = [5, 5, 30, 30, 70, 70]
    answered = np.eye(101)[[7, 7, 28, 30, 60, 60]]
    gender = np.eye(2)[[0, 0, 0, 0, 1, 1]] * 0.8 + 0.1
    data = data_of(
        [{"age": float(age), "gender": TASKS["gender"].classes[0]} for age in ages],
        ["White", "White", "White", "Black", "Black", "Black"],
    )
    found = generation.figures(card, {"FairFace": (data, {"age": answered, "gender": gender, "smile": gender})})
    assert found["FairFace, age, years off, all"] == pytest.approx((2 + 2 + 2 + 0 + 10 + 10) / 6)
    assert found["FairFace, age, bias, 12 and under"] == pytest.approx(2)
    assert found["FairFace, age, bias, over 60"] == pytest.approx(-10)
    assert "FairFace, age, bias, 13 to 20" not in found
    assert found["FairFace, age, % covered"] == pytest.approx(100 * 4 / 6)
    assert found["FairFace, gender, % right"] == pytest.approx(100 * 4 / 6)
    assert found["FairFace, gender, worst race below the mean, points"] == pytest.approx(100 * (2 / 3 - 1 / 3))
    assert found["all sets, gender, calibration error"] > 0.2
    lines = list(generation.table({"one": found, "other": {"only there": 1.0}}))
    assert lines[0] == "| | one | other |" and len(lines) == 3 + len(found)
    assert "| FairFace, age, bias, over 60 | -10.00 |  |" in lines


def test_strangers_are_covered_more_often_the_wider_the_interval() -> None:
    card = Card("bknet", {}, TINY.tasks, calibration={"age": kinds.calibration_from(TASKS["age"], {"margin": 3.0})})
    data = data_of([{"age": 5.0}, {"age": (20.0, 29.0)}, {"age": 24.0}, {"age": 30.0}], ["A", "A", "A", "B"])
    data.quality[:, 1] = 0.3, 0.1, 0.4, 0.2
    logits = torch.full((4, 101), -40.0)
    logits[[0, 1, 2, 3], [5, 25, 30, 30]] = 0.0  # intervals of 7 years
    read_as = strangers.ages(card, data, dict.fromkeys(TASKS, logits), (0.0, 0.5))
    assert read_as["rows"].tolist() == [0, 2, 3]  # a range is no age that can be covered
    assert read_as["0"].tolist() == [1, 0, 1] and read_as["0.5"].tolist() == [1, 1, 1]
    parts = dict(strangers.parts(data, read_as))
    assert parts["A"].tolist() == [True, True, False] and parts["worst tenth, sharpness"].tolist() == [
        False,
        False,
        True,
    ]
    line = strangers.row("all", read_as, np.ones(3, bool), (0.0, 0.5))
    assert line == "| all | 3 | 2.00 | +2.00 | 66.7 / 100.0 |"


def test_ages_known_as_ranges_count_by_their_range() -> None:
    data = data_of([{"age": (20.0, 29.0)}, {"age": (30.0, 39.0)}])
    found = generation.figures(TINY, {"FairFace": (data, {task: np.eye(101)[[25, 25]] for task in TASKS})})
    assert found == {"FairFace, age, % in the right range": 50.0}


def test_weights_alone_can_be_averaged_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network = checkpoint.build_network(TINY)
    card = Card(**{**vars(TINY), "training": {"command": "train"}})
    checkpoint.save(tmp_path / "start", network, card)
    first = {name: value.clone().float() for name, value in checkpoint.load(tmp_path / "start")[0].state_dict().items()}
    save_file({name: value + 3 for name, value in first.items()}, tmp_path / "leg.safetensors")
    given = [tmp_path / name for name in ("new", "start", "leg.safetensors", "leg.safetensors")]
    monkeypatch.setattr("sys.argv", ["average", *map(str, given)])
    average.main()
    mean, kept = checkpoint.load(tmp_path / "new")
    for name, value in mean.state_dict().items():
        if value.is_floating_point():
            assert torch.allclose(value.float(), first[name] + 2, atol=0.01), name
    assert "leg.safetensors" in kept.training["command"]


def test_the_same_face_stands_in_other_pictures() -> None:
    picture = np.zeros((100, 100, 3), np.uint8)
    picture[40:60, 40:60] = 200
    for row, column in ((44, 44), (44, 55), (49, 50), (55, 45), (55, 54)):
        picture[row, column] = 255
    found = dict(framing.variants(picture, (40, 40, 60, 60)))
    assert [found[f"margin {margin:g}"].shape[0] for margin in framing.MARGINS] == [20, 30, 40, 50, 60]
    assert found["margin 0"].min() == 200 and found["margin 1"][20:40, 20:40].min() == 200
    corners = [complex(x, y) - (50 + 50j) for x, y in ((44, 44), (56, 44), (50, 50), (45, 56), (55, 56))]
    for degrees in framing.DEGREES:
        turned = found[f"tilted by {degrees} degrees"]
        assert turned.shape == picture.shape and turned[50, 50].min() > 150
        points = [corner * cmath.exp(1j * math.radians(degrees)) for corner in corners]
        assert math.degrees(tilt([(point.real, point.imag) for point in points])) == pytest.approx(degrees, abs=0.5)
        right = 50 + 50j + 9 * cmath.exp(1j * math.radians(degrees))
        beyond = 50 + 50j + 12 * cmath.exp(1j * math.radians(degrees))
        assert turned[int(right.imag), int(right.real)].min() > 100
        assert turned[round(beyond.imag), round(beyond.real)].max() < 60


def test_a_face_that_is_not_found_again_counts_as_such(sample_picture: np.ndarray, tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "tiny", checkpoint.build_network(TINY), TINY)
    predictor = Predictor.load("tiny", weights=tmp_path, device="cpu")
    empty = np.zeros((60, 60, 3), np.uint8)
    found = framing.distances(predictor, [sample_picture[:300, 80:380], empty])
    assert len(found) == len(framing.MARGINS) + len(framing.DEGREES)
    assert all(len(values) == 1 for values in found.values())
    table = list(
        framing.table({"tiny": {"margin 0": np.array([1.0, np.nan]), "tilted by 15 degrees": np.array([np.nan])}})
    )
    assert "| margin 0 | 1.00, 100 %, 50 % |" in table and "| all, tilted | none found |" in table


def test_one_face_takes_its_time(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "tiny", checkpoint.build_network(TINY), TINY)
    assert face.one_face_ms(Predictor.load("tiny", weights=tmp_path, device="cpu"), 5) > 0


def test_people_learned_from_are_not_tested_on() -> None:
    random = np.random.default_rng(0)
    persons = [f"person {number}" for number in random.integers(0, 40, 600)]
    classes = random.integers(0, 2, 600)
    learned, tested = fewshot.draw(persons, classes, 50, seed=1)
    assert np.bincount(classes[learned]).tolist() == [50, 50] and len(np.unique(learned)) == 100
    assert not {persons[row] for row in learned} & {persons[row] for row in tested}
    again, _ = fewshot.draw(persons, classes, 50, seed=1)
    other, _ = fewshot.draw(persons, classes, 50, seed=2)
    assert learned.tolist() == again.tolist() != other.tolist()
    with pytest.raises(ValueError, match="cannot give 500"):
        fewshot.draw(persons, classes, 500, seed=1)


def test_a_new_task_is_learned_from_features_and_their_mirror_images() -> None:
    random = np.random.default_rng(0)
    classes = random.integers(0, 2, 300)
    features = random.normal(size=(2, 300, 20)).astype(np.float16)
    features[:, :, 3] += 3 * classes
    assert fewshot.accuracy(features, classes, np.arange(100), np.arange(100, 300)) > 0.85
    assert (
        abs(fewshot.accuracy(features, random.permutation(classes), np.arange(100), np.arange(100, 300)) - 0.5) < 0.15
    )


def test_features_of_four_blocks_stand_side_by_side() -> None:
    card = Card("mobilenet", {}, TINY.tasks, crop=CropSettings(32, False, 0.0, (0.5,) * 3, (0.5,) * 3))
    network = checkpoint.build_network(card)
    crops = Crops(
        np.random.default_rng(0).integers(0, 255, (3, 32, 32, 3)).astype(np.uint8),
        np.ones(3, np.int16),
        np.zeros((3, 4)),
    )
    data = Labelled([([Sample(str(row), {}) for row in range(3)], crops, np.arange(3))], card.tasks)
    features = fewshot.features_of(network, data, card)
    assert features.shape == (2, 3, 256 * 36 + 512 * 9 + 1024 * 9 + 1024 * 4)
    assert np.isfinite(features).all() and (features[0] != features[1]).any()


def packable(count: int, source: str) -> Labelled:
    """Even pictures whose shade is the age; ages as years and as ranges."""
    random = np.random.default_rng(0)
    shades = random.integers(10, 90, count)
    images = np.broadcast_to(2 * shades[:, None, None, None], (count, 16, 16, 3)).astype(np.uint8)
    samples = [
        Sample(
            f"/somewhere/{row}.png", {"age": float(age) if row % 2 else (float(age), float(age + 9))}, source=source,
            file=f"{row}.png", attributes={"race": "Asian"},
        )
        for row, age in enumerate(shades.tolist())
    ]  # fmt: skip
    quality = np.column_stack([shades, np.full((count, 2), 0.5), np.full(count, np.nan)]).astype(np.float32)
    return Labelled([(samples, Crops(images, np.ones(count, np.int16), quality), np.arange(count))], (TASKS["age"],))


@pytest.fixture
def packed(tmp_path: Path) -> tuple[Data, Path]:
    card = Card("bknet", {"size_px": 16, "hidden": 8}, (TASKS["age"],), crop=CropSettings(size_px=16))
    data = Data(packable(40, "made"), packable(30, "made"), card, [Noted("copies_left_out", {"count": 3})])
    path = tmp_path / "crops.pack"
    assert pack.write(path, data, side=16, quality=60, val=20, most_mb=1) == path.stat().st_size < 10_000
    return data, path


def test_a_pack_brings_back_crops_labels_and_card(packed: tuple[Data, Path]) -> None:
    before, path = packed
    after = pack.read(path)
    assert len(after.train) == 40 and len(after.val) == 20 and after.card == before.card and after.notes == before.notes
    rows = np.arange(40)
    assert np.abs(after.train.images(rows).astype(int) - before.train.images(rows)).max() <= 4
    assert (after.train.targets["age"] == before.train.targets["age"]).all()
    assert [one.labels for one in after.train.samples] == [one.labels for one in before.train.samples]
    assert after.train.samples[0].path == "" and after.train.samples[0].attributes == {"race": "Asian"}
    assert np.allclose(after.train.quality, before.train.quality, equal_nan=True)
    assert "somewhere" not in str([vars(one) for one in after.train.samples])


def test_a_pack_that_is_too_large_or_none_gets_a_sentence(packed: tuple[Data, Path], tmp_path: Path) -> None:
    data, path = packed
    with pytest.raises(DataError, match=r"at most 0\.001; give --fraction 0\.[0-9]+"):
        pack.write(tmp_path / "large", data, side=16, quality=60, val=20, most_mb=0.001)
    assert not (tmp_path / "large").exists()
    path.write_bytes(b"something else")
    with pytest.raises(DataError, match="no pack"):
        pack.read(path)


def test_a_run_from_a_pack_learns_stops_and_goes_on(packed: tuple[Data, Path], tmp_path: Path) -> None:
    config = TrainConfig(
        name="leg", epochs=4, batch_size=16, warmup_steps=2, learning_rate=2e-3, augmentation=0.2, mix="made=1",
        precision="bf16",
    )  # fmt: skip
    folder = tmp_path / "runs" / "leg"

    def events(**options: float) -> list:
        return list(pack.train(pack.read(packed[1]), config, folder, device="cpu", **options))  # type: ignore[arg-type]

    stopped = events(minutes=0)[-1]
    assert isinstance(stopped, Stopped) and stopped.step == 1
    seen = events(resume=True)
    assert isinstance(seen[-1], Finished) and len([one for one in seen if isinstance(one, Evaluated)]) == 4
    _, card = checkpoint.load(folder)
    assert "pack" in card.training["command"] and card.tasks == (TASKS["age"],)


def test_labels_are_permuted_within_a_source_and_stay_together() -> None:
    data = data_of([{"age": float(age), "gender": ("female", "male")[age % 2]} for age in range(40)])
    moved = systems.permuted(data, 0)
    ages, before = (of.targets["age"][:, 0].tolist() for of in (moved, data))
    assert ages != before and sorted(ages) == sorted(before)
    even = [float(str(sample.labels["age"])) % 2 == 0 for sample in moved.samples]
    assert [sample.labels["gender"] == "female" for sample in moved.samples] == even
    assert [sample.path for sample in moved.samples] == [sample.path for sample in data.samples]
    assert systems.permuted(data, 0).targets["age"][:, 0].tolist() == ages


def test_curves_have_one_number_per_epoch() -> None:
    """A run that went on wrote an epoch twice."""
    stream: list[Event] = [
        Step(1, 0, {"age": 3.0}, 1e-3, 1, 1),
        Step(2, 0, {"age": 1.0}, 1e-3, 1, 1),
        Evaluated(0, 2, {"age": {"error": 9.0}}, 0.1, True),
        Evaluated(1, 4, {"age": {"error": 8.0}}, 0.2, True),
        Evaluated(1, 4, {"age": {"error": 7.2}}, 0.2, True),
    ]
    curves = systems.curves_of(stream)
    assert curves == {"age": {"loss": [2.0], "error": [9.0, 7.2]}}
    assert systems.last_change(curves["age"]) == -0.2 and systems.last_change({"error": [9.0]}) is None
    cut_short = systems.curves_of(stream[:2])
    assert cut_short == {"age": {"loss": [2.0], "error": []}} and systems.last_change(cut_short["age"]) is None


def test_curves_and_table_are_those_of_the_longest_runs(tmp_path: Path) -> None:
    lines = Lines(tmp_path / "runs.jsonl")

    def add(variant: str, seed: int, epochs: int, errors: dict[str, list[float]], **further: object) -> None:
        key = {"system": "x", "variant": variant, "seed": seed, "shuffled": False, "epochs": epochs, "fraction": 1.0}
        lines.add(
            {**key, "curves": {task: {"loss": error, "error": error} for task, error in errors.items()}, **further}
        )

    add("", 0, 1, {"age": [0.9]})
    add("", 0, 2, {"age": [0.5, 0.4], "hat_on": [0.2, 0.1]})
    add("early", 1, 2, {"age": [0.5, 0.3]})
    add("early", 0, 2, {"age": [0.5, 0.1]})
    add("late", 0, 2, {"age": [0.7], "hat_on": [0.1, 0.2]}, failed="The loss overflowed.")
    assert curves.series(lines, "x", [""], "error") == {"": [pytest.approx(0.35), pytest.approx(0.25)]}
    drawn = curves.series(lines, "x", ["early", "late"], "error")
    assert drawn == {"early": [0.5, 0.1], "late (failed)": [pytest.approx(0.4)]}
    rows = [*curves.table(lines, "x", ["early", "late"])]
    assert rows[2:] == ["| age | 20.0 (10.0 to 30.0) | - |", "| hat on | - | - |"]
    for file in (tmp_path / "a.svg", tmp_path / "b.svg"):
        curves.draw(drawn, "error", file)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_a_finished_run_is_not_made_again(tmp_path: Path) -> None:
    lines = Lines(tmp_path / "runs.jsonl")
    assert not lines.has({"system": "x", "seed": 0})
    lines.add({"system": "x", "seed": 0, "value": 0.5})
    for again in (lines, Lines(tmp_path / "runs.jsonl")):
        assert again.has({"system": "x", "seed": 0}) and not again.has({"system": "x", "seed": 1})


def test_the_blind_answer_is_the_majority_or_the_median() -> None:
    ages, numbers = [1.0, 2.0, 3.0, 10.0], ["12", "7", "7", "7"]
    samples = [
        Sample("", {"age": age, "smile": "smiling", "house": number}) for age, number in zip(ages, numbers, strict=True)
    ]
    years = kinds.fit(number_task("age", "years"), samples)
    house = Task("house", "House", "sequence", "length_and_symbols", tuple("0123456789"), length=2)
    crops = Crops(np.zeros((4, 16, 16, 3), np.uint8), np.ones(4, np.int16), np.zeros((4, 4)))
    data = Labelled([(samples, crops, np.arange(4))], (years, TASKS["smile"], house))
    assert systems.blind(years, "mean_error", data) == pytest.approx((1.5 + 0.5 + 0.5 + 7.5) / 4)
    assert systems.blind(TASKS["smile"], "accuracy", data) == 1
    assert systems.blind(house, "sequence_accuracy", data) == 0.75


def test_a_list_holds_the_labels_that_the_set_itself_holds(tmp_path: Path) -> None:
    """Both roads lead to the same samples: CelebA's own table, and one line per picture with a digit per label."""
    folder, into, rows = tmp_path / "celeba", tmp_path / "list", []
    (folder / "img_celeba").mkdir(parents=True)
    for number in range(12):
        Image.new("RGB", (8, 8)).save(folder / "img_celeba" / f"{number:06d}.jpg")
        rows.append(f"{number:06d}.jpg {(-1, 1)[number % 2]} {(-1, 1)[number % 3 == 0]} {(-1, 1)[number > 5]}")
    (folder / "list_attr_celeba.txt").write_text("\n".join(["12", "Male Smiling Young", *rows]))
    split = [f"{number:06d}.jpg,{('train', 'val', 'test')[number % 3]}" for number in range(12)]
    (folder / "splits.csv").write_text("\n".join(["file,split", *split]))
    source, names = layouts.read(f"celeba:{folder}", {"attributes": "Young"}), ["young", "smile", "gender"]
    assert celeba_list.write_lists(source, names, into) == {"train": 4, "val": 4, "test": 4}
    assert (into / "train.txt").read_text().splitlines()[0] == "images/000000.jpg 0 1 0"
    again = layouts.read(f"list:{into}", {"columns": celeba_list.columns_of(source, names)})
    before, after = (
        {Path(sample.path).name: (sample.split, sample.labels) for sample in read.samples} for read in (source, again)
    )
    assert after == before and not again.left_out
    assert {name: task.classes for name, task in again.tasks.items()} == {
        name: task.classes for name, task in source.tasks.items()
    }


def test_colours_alone_tell_red_from_white(tmp_path: Path) -> None:
    whole = histograms.histogram(np.full((5, 4, 3), (255, 0, 64), np.uint8))
    assert whole.sum() == 1 and whole[3 * 16 + 0 * 4 + 1] == 1
    for part, every in (("train", 4), ("test", 2)):
        rows = []
        for number in range(20):
            shade = (200 + number, 10, 20) if number % every else (250, 250, 250 - number)
            Image.new("RGB", (6, 5), shade).save(tmp_path / f"{part}{number}.png")
            rows.append(f"{part}{number}.png, {int(number % every == 0)}")
        (tmp_path / f"{part}.txt").write_text("\n".join(rows))
    source = layouts.read(f"list:{tmp_path}", {"columns": "colour=red|white"})
    found = histograms.measure(source, "colour", "test")
    assert found["colour histograms"]["value"] == 1
    assert found["majority class"]["value"] == 0.5 and found["majority class"]["n"] == 20


def test_a_block_of_a_page_is_made_anew_and_the_rest_stays(tmp_path: Path) -> None:
    lines = Lines(tmp_path / "runs.jsonl")
    figure = {"label": "Smile", "unit": "share", "value": 0.9, "low": 0.88, "high": 0.92, "blind": 0.54}
    common = {"system": "combined", "seed": 0, "epochs": 4, "fraction": 0.5, "pictures": 1000, "seconds": 120}
    more = {"command": "python -m x", "last_change": {"smile": -0.05}}
    lines.add({**common, **more, "variant": "", "shuffled": False, "figures": [figure]})
    lines.add({**common, **more, "variant": "", "shuffled": True, "figures": [{**figure, "value": 0.53}]})
    for seed, value in enumerate((0.8, 0.9)):
        figures = [{**figure, "value": value}]
        lines.add({**common, **more, "seed": seed, "variant": "even-mix", "shuffled": False, "val": figures})
    page = (
        "a\n<!-- table: systems combined -->\nold\n<!-- end -->\nb\n<!-- table: variants combined -->\n<!-- end -->\n"
    )
    made = systems.with_blocks(page, lines)
    assert made.startswith("a\n<!--") and "old" not in made and "\nb\n" in made
    assert "| A combined | Smile | 90.0 % (88.0 to 92.0; blind 54.0 %) | 92.8 % | 53.0 % | 1,000 x 4 | 2 min |" in made
    assert "| even-mix | 2 | 85.0 % (80.0 to 90.0) | - | - | smile -5 % |" in made and "`python -m x`" in made
    assert systems.with_blocks(made, lines) == made


@pytest.mark.parametrize(
    ("answers", "text"),
    [
        (("2", "1", "2", "none"), "12"),
        (("2", "1", "none", "none"), "1!"),
        (("3", "1", "2", "none"), "12!"),
        (("1", "1", "2", "none"), "1"),
        (("more", "1", "2", "3"), "!"),
    ],
)
def test_the_branches_for_length_and_digits_give_one_number(answers: tuple[str, ...], text: str) -> None:
    lengths = class_task("label_length", ("0", "1", "2", "3", "more"))
    tasks = (lengths, *(class_task(f"label_{place}", (*"0123456789", "none")) for place in (1, 2, 3)))
    predicted = {
        task.name: np.eye(len(task.classes))[[task.classes.index(answer)]]
        for task, answer in zip(tasks, answers, strict=True)
    }
    assert digits.texts_of(Card("bknet", {}, tasks), predicted) == [text]


def test_numbers_are_right_as_a_whole_by_their_length_and_by_their_digits() -> None:
    figures = digits.figures_of(["12", "7", "31", "5"], ["12", "71", "3!", "5"])
    values = {name: figure["value"] for name, figure in figures.items()}
    assert values == {"whole": 0.5, "length": 0.75, "digits": 0.8333, "whole_1": 0.5, "whole_2": 0.5}


def test_a_ratio_is_that_of_turns_and_not_of_medians() -> None:
    """A machine that is four times slower in one turn slows both."""
    figures, baselines = iter([8.0, 2.0, 9.0]), iter([4.0, 1.0, 4.0])
    row = speed.in_turn("x", "1/s", lambda: next(figures), lambda: next(baselines), 3)
    assert row == speed.Row("x", 8.0, "1/s", 4.0, 2.0)
