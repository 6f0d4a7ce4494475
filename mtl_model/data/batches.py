"""From labelled samples and cached crops to masked batches, mixed from several sources.

A batch is a function of (seed, epoch, position): every process works out the same plan and takes its own part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mtl_model import kinds
from mtl_model.card import Card, CropSettings
from mtl_model.crops import to_tensor
from mtl_model.data.augmentation import Reach, augment, moves, uniform
from mtl_model.data.cache import Crops
from mtl_model.errors import DataError
from mtl_model.inference import logits
from mtl_model.records import Quality, Sample
from mtl_model.tasks import Task


class Labelled:
    """Samples of one split with their crops and encoded labels.

    targets: {task: as its loss takes it, (N, ...)}. known: {task: bool (N,)}. sources: the source of each sample.
    answers: {task: float (N, ...)}, a teacher's prediction for each picture as it is, beside its label; NaN where it gave none.
    faces: int16 (N,), how many faces were found in each sample's picture. quality: float32 (N, Q), as in `cache.Crops`.
    """

    def __init__(self, parts: Sequence[tuple[Sequence[Sample], Crops, np.ndarray]], tasks: Sequence[Task]) -> None:
        """parts: for each source its samples, the crops of the source, and the samples' rows in them."""
        self.parts = list(parts)
        self.samples = [sample for samples, _, _ in parts for sample in samples]
        self.tasks = tuple(tasks)
        self.sources = np.array([sample.source for sample in self.samples])
        self.faces = np.concatenate([np.zeros(0, np.int16), *[crops.faces[rows] for _, crops, rows in parts]])
        self.quality = np.concatenate(
            [np.zeros((0, len(fields(Quality)))), *[crops.quality[rows] for _, crops, rows in parts]]
        )
        self._images = [crops.images for _, crops, _ in parts]
        self._part = np.concatenate([np.zeros(0, int), *[np.full(len(s), n) for n, (s, _, _) in enumerate(parts)]])
        self._row = np.concatenate([np.zeros(0, int), *[rows for _, _, rows in parts]])
        self.targets: dict[str, Tensor] = {}
        self.known: dict[str, Tensor] = {}
        self.answers: dict[str, Tensor] = {}
        for task in self.tasks:
            labels = [sample.labels.get(task.name) for sample in self.samples]
            targets, known = kinds.of(task).encode(task, labels)
            targets = kinds.of(task).place(task, targets, self._frames)
            self.targets[task.name], self.known[task.name] = torch.from_numpy(targets), torch.from_numpy(known)

    def __len__(self) -> int:
        return len(self.samples)

    def _frames(self) -> np.ndarray:
        """float64 (N, 2, 3), where each sample's crop lies in its picture; see `crops.frame`."""
        return np.concatenate([np.zeros((0, 2, 3)), *[crops.frames()[rows] for _, crops, rows in self.parts]])

    def images(self, indices: np.ndarray) -> np.ndarray:
        """uint8 RGB (B, S, S, 3)."""
        side = self._images[0].shape[1]
        result = np.empty((len(indices), side, side, 3), np.uint8)
        for number, crops in enumerate(self._images):
            mine = self._part[indices] == number
            if mine.any():
                result[mine] = crops[self._row[indices[mine]]]
        return result

    def rarity(self) -> np.ndarray:
        """float64 (N,): the product over tasks of how much rarer than even a sample's label is in its source, from 1/8 to
        8; 1 where it carries none. Its kind says what counts as one (ages by the decade)."""
        result = np.ones(len(self))
        for task in self.tasks:
            targets = self.targets[task.name].numpy()
            bins = kinds.of(task).rarity_bins(task, targets)
            for source in np.unique(self.sources):
                mine = np.flatnonzero((self.sources == source) & self.known[task.name].numpy())
                _, which, counts = np.unique(bins[mine], return_inverse=True, return_counts=True)
                result[mine] *= (len(mine) / (len(counts) * counts))[which]
        return result.clip(1 / 8, 8)

    def augmented(
        self,
        rows: np.ndarray,
        crop: CropSettings,
        draws: np.ndarray,
        strength: float,
        scatter: float = 1.0,
        device: torch.device | str = "cpu",
        reach: Reach | None = None,
    ) -> Tensor:
        """What a network learns from: float32 (B, C, S, S), each picture changed by its draws on the device; see `augment`."""
        images = torch.from_numpy(self.images(rows)).to(device)
        return augment(to_tensor(images, crop), crop, draws, strength, scatter, reach)

    def moves(
        self,
        rows: np.ndarray,
        crop: CropSettings,
        draws: np.ndarray,
        strength: float,
        scatter: float = 1.0,
        reach: Reach | None = None,
    ) -> Tensor:
        """Return where the parts of each of the `augmented` pictures came from: float32 (B, 2, 3); see `augmentation.moves`."""
        return moves(draws, strength, scatter, crop.mirror, reach)

    def logits(self, network: nn.Module, rows: np.ndarray, card: Card, device: str = "cpu") -> dict[str, Tensor]:
        """{task: float32 (B, width)} on the CPU, asked for as the card says."""
        images = to_tensor(self.images(rows), card.crop).to(device)
        return {task: one.cpu() for task, one in logits(network, images, card).items()}

    def counts(self) -> dict[str, dict[str, int]]:
        """{source: {"pictures": N, task: labelled}}"""
        result = {}
        for source in sorted(set(self.sources)):
            mine = torch.from_numpy(self.sources == source)
            known = {task: int((self.known[task] & mine).sum()) for task in self.known}
            result[str(source)] = {"pictures": int(mine.sum()), **known}
        return result


Teacher = Callable[[Tensor], Mapping[str, Tensor]]
"""Images (B, C, S, S) -> {task: its prediction of each, as `Kind.distil` takes it}."""


@dataclass(frozen=True)
class Answers:
    """A teacher's answers to one task: values, float (B, ...), as `Kind.distil` takes them; given: bool (B,), the samples that
    carry one; count: samples of the whole batch, over all processes, that do."""

    values: Tensor
    given: Tensor
    count: int


@dataclass(frozen=True)
class Batch:
    """images: float32 (B, C, S, S). targets, known: {task: (B, ...)}, this process's part.
    labelled: {task: samples of the whole batch, over all processes, that carry the label}. answers: {task: a teacher's}, for
    the tasks that it answers."""

    images: Tensor
    targets: Mapping[str, Tensor]
    known: Mapping[str, Tensor]
    labelled: Mapping[str, int]
    answers: Mapping[str, Answers] = field(default_factory=dict)

    def teaches(self, task: str) -> bool:
        """Return whether any sample of the whole batch carries a label or a teacher's answer."""
        return bool(self.labelled[task] or (task in self.answers and self.answers[task].count))


@dataclass(frozen=True)
class Plan:
    """Rows of the whole batch over all processes, and the one task it teaches (None: all)."""

    rows: np.ndarray
    task: str | None = None


class Batches:
    """The training batches of a run."""

    def __init__(
        self,
        data: Labelled,
        crop: CropSettings,
        *,
        size: int,
        seed: int,
        augmentation: float = 0.0,
        scatter: float = 1.0,
        reach: Reach | None = None,
        mix: Mapping[str, float] | None = None,
        balance: float = 0.0,
        even: float = 0.0,
        alternate: bool = False,
        rank: int = 0,
        processes: int = 1,
        device: torch.device | str = "cpu",
        teacher: Teacher | None = None,
    ) -> None:
        """size: pictures of a batch over all processes. mix: {source: share of each batch}; None: by size.
        balance: how far each source's rarer labels are drawn more often, 0 to 1; even: how far the rarer ages of all sources
        together are. device: where the pictures are augmented. teacher: asked about each augmented crop."""
        self.data, self.crop, self.size, self.seed = data, crop, size, seed
        self.augmentation, self.scatter, self.reach, self.device = augmentation, scatter, reach, device
        self.mix, self.alternate, self.rank, self.processes = dict(mix or {}), alternate, rank, processes
        self.teacher = teacher
        if size % processes:
            raise DataError(
                f"A batch of {size} cannot be shared by {processes} processes. Give a multiple of {processes}."
            )
        if len(data) < size:
            self.size = max(processes, len(data) // processes * processes)
        if not len(data):
            raise DataError("No labelled picture is left to learn from. Add pictures to the train split.")
        self.steps = max(1, len(data) // self.size)
        self.often = data.rarity() ** balance * self._ages() ** even

    def _ages(self) -> np.ndarray:
        """float64 (N,): how much rarer than even a sample's decade of age is in what is drawn from all sources together, from 1/8
        to 8; 1 where no age is known."""
        drawn = np.ones(len(self.data))
        for name in np.unique(self.data.sources):
            mine = self.data.sources == name
            drawn[mine] = self.mix.get(name, 0.0) / mine.sum() if self.mix else 1.0
        result = np.ones(len(self.data))
        for task in self.data.tasks:
            rows = np.flatnonzero(self.data.known[task.name].numpy() & (drawn > 0))
            kind, targets = kinds.of(task), self.data.targets[task.name].numpy()[rows]
            if not len(rows) or kind.ages(targets) is None:
                continue
            _, which = np.unique(kind.rarity_bins(task, targets), return_inverse=True)
            shares = np.bincount(which, weights=drawn[rows]) / drawn[rows].sum()
            result[rows] *= 1 / (len(shares) * shares[which])
        return result.clip(1 / 8, 8)

    def plans(self, epoch: int) -> list[Plan]:
        """The batches of an epoch: `steps` of them, each of `size` rows."""
        if self.alternate:
            return self._alternate(epoch)
        return [Plan(rows) for rows in self._mixed(epoch)]

    def _stream(self, rows: np.ndarray, epoch: int, key: int) -> Iterator[int]:
        """Rows in random order, over and over, each order anew; a row of rare labels stands several times in an order, and rows
        that a task's kind wants in one batch follow each other."""
        often = self.often[rows] / self.often[rows].mean()
        for turn in range(1_000_000):
            random = np.random.default_rng([self.seed, epoch, key, turn])
            copies = np.floor(often + random.random(len(rows))).astype(int) if np.ptp(often) else 1
            yield from self._shuffled(np.repeat(rows, copies), random).tolist()

    def _shuffled(self, rows: np.ndarray, random: np.random.Generator) -> np.ndarray:
        for task in self.data.tasks:
            known = self.data.known[task.name].numpy()[rows]
            labelled = rows[known]
            groups = kinds.of(task).together(task, self.data.targets[task.name].numpy()[labelled], random)
            if groups is not None:
                parts = [*(labelled[group] for group in groups), *rows[~known, None]]
                return np.concatenate([parts[place] for place in random.permutation(len(parts))])
        return random.permutation(rows)

    def _mixed(self, epoch: int) -> list[np.ndarray]:
        if not self.mix:
            stream = self._stream(np.arange(len(self.data)), epoch, 0)
            return [np.array([next(stream) for _ in range(self.size)]) for _ in range(self.steps)]
        names = [name for name, share in self.mix.items() if share > 0]
        total = sum(self.mix[name] for name in names)
        wanted = np.array([self.mix[name] / total for name in names])
        streams = []
        for key, name in enumerate(names):
            rows = np.flatnonzero(self.data.sources == name)
            if not len(rows):
                raise DataError(f"Source {name} has no training pictures. Leave it out of --mix, or add pictures.")
            streams.append(self._stream(rows, epoch, key))
        plans, given = [], np.zeros(len(names))
        for step in range(1, self.steps + 1):
            due = wanted * self.size * step - given  # what rounding kept back is given by a later batch
            take = np.floor(due).astype(int).clip(0)
            for index in np.argsort(-(due - take))[: self.size - take.sum()]:
                take[index] += 1
            given += take
            rows = [next(stream) for stream, count in zip(streams, take, strict=True) for _ in range(count)]
            plans.append(np.array(rows[: self.size]))
        return plans

    def _alternate(self, epoch: int) -> list[Plan]:
        names = [name for name, known in self.data.known.items() if bool(known.any())]
        streams = {
            name: self._stream(np.flatnonzero(self.data.known[name].numpy()), epoch, key)
            for key, name in enumerate(names)
        }
        turns = [names[step % len(names)] for step in range(self.steps)]
        return [Plan(np.array([next(streams[name]) for _ in range(self.size)]), name) for name in turns]

    def load(self, plan: Plan, epoch: int, size_px: int = 0) -> Batch:
        """This process's part of a batch, augmented, then shrunk to size_px if that is given."""
        rows = plan.rows[self.rank :: self.processes]
        draws = uniform(self.seed, epoch, rows)
        images = self.data.augmented(rows, self.crop, draws, self.augmentation, self.scatter, self.device, self.reach)
        taught = [plan.task] if plan.task else list(self.data.known)
        places = self.data.moves(rows, self.crop, draws, self.augmentation, self.scatter, self.reach)
        answers = self._answers(plan.rows, rows, images, places, taught)
        if size_px and size_px != images.shape[-1]:
            images = functional.interpolate(images, size=(size_px, size_px), mode="bilinear", antialias=True)
        everywhere, mine = torch.from_numpy(plan.rows), torch.from_numpy(rows)
        known = {
            task: self.data.known[task][mine] if task in taught else torch.zeros(len(mine), dtype=torch.bool)
            for task in self.data.known
        }
        labelled = {
            task: int(self.data.known[task][everywhere].sum()) if task in taught else 0 for task in self.data.known
        }
        targets = {
            task.name: kinds.of(task).move(task, self.data.targets[task.name][mine], places) for task in self.data.tasks
        }
        return Batch(images, targets, known, labelled, answers)

    def _answers(
        self, everywhere: np.ndarray, rows: np.ndarray, images: Tensor, places: Tensor, taught: Sequence[str]
    ) -> dict[str, Answers]:
        """What was answered about the pictures as they are, moved with them, and what the teacher says of the very crops that are
        learned from."""
        result = {}
        for task in self.data.tasks:
            if task.name in taught and (kept := self.data.answers.get(task.name)) is not None:
                values, others = kept[torch.from_numpy(rows)], kept[torch.from_numpy(everywhere)]
                moved = kinds.of(task).move(task, values.nan_to_num(0.0), places)
                result[task.name] = Answers(moved, _is_given(values), int(_is_given(others).sum()))
        for task, values in (self.teacher(images) if self.teacher else {}).items():
            if task in taught:
                result[task] = Answers(values, _is_given(values), len(everywhere))
        return result


def _is_given(answers: Tensor) -> Tensor:
    """bool (B,), the rows of answers (B, ...) that are there."""
    return ~answers.flatten(1).isnan().any(1)
