"""Whether two pictures show one person: an embedding on the unit sphere, for the verification experiments of the literature.

It is trained and evaluated, and never shown or answered: the program does not recognise people. A label is a person's name in
the data set; a checkpoint keeps hashes in place of names.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from mtl_model.errors import DataError
from mtl_model.kinds._arithmetic import masked_mean
from mtl_model.kinds._metric import PLAIN, SHARE, Metric, Rows
from mtl_model.kinds._parts import Fitted, Kind, Loss
from mtl_model.kinds._verification import (
    best_threshold,
    pairs_of,
    similarities,
    verification_accuracy,
    verification_auc,
)
from mtl_model.names import is_text
from mtl_model.records import Estimate
from mtl_model.tasks import Label, Task

if TYPE_CHECKING:
    from torch import Tensor, nn

SIZE = 128  # of the embedding, as FaceNet's
SHARPNESS = 16.0  # times the cosine: on the unit sphere itself no softmax comes near 1
CONTRASTIVE_MARGIN = 1.5  # distance from which two people cost nothing; random vectors of length 1 are 1.4 apart
TRIPLET_MARGIN = 0.2  # of squared distances
CONTRASTIVE_SHARE = 0.05  # of the joint loss
TRIPLET_SHARE = 0.25  # of the triplet loss beside a softmax of weight 1; both are then of the same order
TOGETHER = 4  # pictures of one person that are drawn into a batch together


# -- losses: output is float (B, SIZE + people of train), target int64 (B,), the person; numbers from `people` on were not in
# train. Those over pairs are means over the pairs among the known rows


def softmax(output: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Cross-entropy over the people of train.

    Source: Wang et al., "NormFace: L2 Hypersphere Embedding for Face Verification", 2017, section 3.2."""
    people = output[:, SIZE:].float()
    seen = known & (target < people.shape[1])
    index = target.where(seen, target.new_zeros(()))
    return masked_mean(-people.log_softmax(1).gather(1, index[:, None]).squeeze(1), seen)


def contrastive(output: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Half the squared distance of two pictures of one person; of two people half the square of what lacks of the margin.

    Source: Sun et al., "Deep Learning Face Representation by Joint Identification-Verification" (DeepID2), 2014, section 2."""
    distance, same, pair = _pairs(output, target, known)
    lacking = (CONTRASTIVE_MARGIN - distance.clamp(min=1e-12).sqrt()).clamp(min=0).square()
    return masked_mean((distance.where(same, lacking) / 2).flatten(), pair.flatten())


def softmax_contrastive(output: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Identification plus CONTRASTIVE_SHARE times verification.

    Source: Sun et al., 2014, section 2, with its weight."""
    return softmax(output, target, known) + CONTRASTIVE_SHARE * contrastive(output, target, known)


def triplet(output: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """What lacks of the margin between the squared distance of two pictures of one person and that to another person: the nearest
    that lies farther, or, where none does, the nearest. Mean over the pairs of one person.

    Source: Schroff, Kalenichenko and Philbin, "FaceNet", 2015, sections 3.1 and 3.2 (semi-hard negatives of the batch)."""
    distance, same, pair = _pairs(output, target, known)
    infinite = distance.new_tensor(float("inf"))
    others = distance.where(pair & ~same, infinite)
    farther = others[:, None].where(others[:, None] > distance[:, :, None], infinite).amin(2)
    nearest = farther.where(farther.isfinite(), others.amin(1, keepdim=True))
    chosen = pair & same & nearest.isfinite()
    cost = (distance - nearest.where(chosen, distance) + TRIPLET_MARGIN).clamp(min=0)
    return masked_mean(cost.flatten(), chosen.flatten())


def softmax_triplet(output: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Cross-entropy over the people of train plus TRIPLET_SHARE times the triplet loss, both on the embedding of length 1.

    Source: Zhang et al., "Embedding Label Structures for Fine-Grained Feature Representation", 2016, section 3.1; their weights
    differ, as do the triplets, which here are those of the batch."""
    return softmax(output, target, known) + TRIPLET_SHARE * triplet(output, target, known)


def _pairs(output: Tensor, target: Tensor, known: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Squared distances of the embeddings (B, B), whether two rows show one person, and which pairs count."""
    embedding = _on_sphere(output[:, :SIZE].float())
    distance = (embedding[:, None] - embedding[None]).square().sum(2)
    pair = known[:, None] & known[None]
    pair = pair & ~pair.new_ones(len(pair)).diag()
    return distance, target[:, None] == target[None], pair


def _on_sphere(vectors: Tensor) -> Tensor:
    return vectors / vectors.norm(dim=1, keepdim=True).clamp(min=1e-6)


def _unseen(rows: Rows) -> np.ndarray:
    return ~rows["seen"]


@dataclass(frozen=True)
class IdentityCalibration(Fitted):
    """threshold: the cosine of two embeddings from which on they count as one person's."""

    RANGES: ClassVar[Mapping[str, tuple[float, float, str]]] = {"threshold": (-1, 1, "a cosine, -1 to 1")}
    threshold: float = 0.5


class Identity(Kind):
    """A prediction is float (N, SIZE), vectors of length 1; the outputs for the people of train are dropped from it."""

    shape = "text"
    shown = False
    correctable = False
    least_classes = 0
    losses: ClassVar[Mapping[str, Loss]] = {
        "softmax_contrastive": softmax_contrastive,
        "softmax": softmax,
        "contrastive": contrastive,
        "triplet": triplet,
        "softmax_triplet": softmax_triplet,
    }
    headlines = ("verification_accuracy",)
    metrics: ClassVar[Mapping[str, Metric]] = {
        "verification_accuracy": Metric(
            "Pairs of people not seen told right", SHARE, verification_accuracy, part=_unseen
        ),
        "verification_auc": Metric(
            "Ranking of pairs (area under the ROC curve)", PLAIN, verification_auc, part=_unseen
        ),
    }
    Calibration = IdentityCalibration

    def hint(self, task: Task) -> str:
        return "person 17"

    def summary(self, task: Task) -> str:
        return "an embedding, never shown"

    def parse(self, task: Task, text: str) -> Label:
        if not is_text(text):
            raise DataError(f"A label of {task.name} is not UTF-8. Expected a person's name or number; correct it.")
        return text

    def person(self, label: Label) -> str:
        return str(label)

    def group_of(self, task: Task, label: Label) -> str:
        return "labelled"

    def fit(self, task: Task, labels: Sequence[Label], parent: Task | None = None) -> Task:
        """Take the people of train as classes, by hashes: a checkpoint names nobody."""
        return dataclasses.replace(task, classes=tuple(sorted({_hashed(label) for label in labels})))

    def width(self, task: Task) -> int:
        return SIZE + len(task.classes)

    def layer(self, task: Task, features: int) -> nn.Module:
        """Return the embedding with the layer for the people of train behind it."""
        from torch import cat, nn

        class Embedding(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.embedding, self.people = nn.Linear(features, SIZE), nn.Linear(SIZE, len(task.classes))

            def forward(self, inputs: Tensor) -> Tensor:
                vectors = _on_sphere(self.embedding(inputs).float())
                return cat([vectors, self.people(vectors * SHARPNESS).float()], 1)

        return Embedding()

    def encode(self, task: Task, labels: Sequence[Label | None]) -> tuple[np.ndarray, np.ndarray]:
        """targets: int64 (N,), the index among the people of train; those who are not, counted on from there."""
        known = np.array([label is not None for label in labels], bool)
        numbers = {name: number for number, name in enumerate(task.classes)}
        hashes = ["" if label is None else _hashed(label) for label in labels]
        targets = [numbers.setdefault(hashed, len(numbers)) if hashed else 0 for hashed in hashes]
        return np.array(targets, np.int64), known

    def together(self, task: Task, targets: np.ndarray, random: np.random.Generator) -> list[np.ndarray]:
        """TOGETHER pictures of one person at a time; fewer where no more are left."""
        result: list[np.ndarray] = []
        for person in np.unique(targets):
            rows = random.permutation(np.flatnonzero(targets == person))
            result += [rows[start : start + TOGETHER] for start in range(0, len(rows), TOGETHER)]
        return result

    def distil(self, output: Tensor, target: Tensor, known: Tensor) -> Tensor:
        """The squared distance from a teacher's embedding (B, SIZE)."""
        return masked_mean((_on_sphere(output[:, :SIZE].float()) - target).square().sum(1), known)

    def rarity_bins(self, task: Task, targets: np.ndarray) -> np.ndarray:
        return np.zeros(len(targets), int)

    def predict(
        self, task: Task, logits: np.ndarray, calibration: Any, quality: np.ndarray | None = None
    ) -> np.ndarray:
        vectors = logits[:, :SIZE].astype(np.float64)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-6)

    def calibrate(
        self, task: Task, logits: np.ndarray, targets: np.ndarray, quality: np.ndarray | None = None
    ) -> IdentityCalibration:
        """The threshold that tells most pairs of val right; of people not seen, if there are any."""
        calibration = IdentityCalibration()
        rows = self._judged(task, self.predict(task, logits, calibration), targets)
        pairs, same = pairs_of(rows["person"], rows["number"])
        if same.all() or not same.any():
            return calibration
        return IdentityCalibration(round(best_threshold(similarities(rows["embedding"], pairs), same), 4))

    def rows(
        self, task: Task, prediction: np.ndarray, targets: np.ndarray, calibration: Any, known: np.ndarray
    ) -> dict[str, np.ndarray]:
        count = len(targets)
        return {
            "embedding": prediction,
            "person": targets,
            "number": np.arange(count),
            "seen": targets < len(task.classes),
            "threshold": np.full(count, calibration.threshold),
        }

    def _judged(self, task: Task, prediction: np.ndarray, targets: np.ndarray) -> dict[str, np.ndarray]:
        """Rows of the people not seen; of all, where they alone make no pairs."""
        rows = self.rows(task, prediction, targets, IdentityCalibration(), targets)
        unseen = {name: values[_unseen(rows)] for name, values in rows.items()}
        same = pairs_of(unseen["person"], unseen["number"])[1]
        return unseen if same.any() and not same.all() else rows

    def epoch_figures(self, task: Task, prediction: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """error: what the area under the ROC curve lacks."""
        area = verification_auc(self._judged(task, prediction, targets))
        return {"verification_auc": area, "error": 1 - area}

    def compare(self, task: Task, prediction: np.ndarray, targets: np.ndarray) -> tuple[str, np.ndarray]:
        """Each picture's share of pairs told wrong at the best threshold; NaN for one in no pair."""
        pairs, same = pairs_of(targets, np.arange(len(targets)))
        cosine = similarities(prediction, pairs)
        wrong = ((cosine >= best_threshold(cosine, same)) != same).astype(float) if len(pairs) else np.zeros(0)
        sums, counts = np.zeros(len(targets)), np.zeros(len(targets))
        for column in (0, 1):
            np.add.at(sums, pairs[:, column], wrong)
            np.add.at(counts, pairs[:, column], 1)
        return "verification_accuracy", np.where(counts > 0, sums / counts.clip(1), np.nan)

    def estimate(self, task: Task, prediction: np.ndarray, calibration: Any) -> Estimate:
        raise AssertionError("an embedding is never shown")


def _hashed(label: Label) -> str:
    return hashlib.blake2b(str(label).encode(), digest_size=8).hexdigest()


KIND = Identity()
