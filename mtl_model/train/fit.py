"""Fit a linear branch on frozen features: a convex regression, chosen and measured by nested cross-validation.

The features of several stages, each of mean 0 and deviation 1, stand side by side: tens of thousands of numbers per picture, more
than there are pictures. The fit therefore goes through their Gram matrix: the best weights are a combination of the pictures (the
representer theorem), so n pictures leave n unknowns per output however many features there are. Beyond LANDMARKS pictures the
weights are a combination of that many of them, drawn at random.

Source: Schoelkopf, Herbrich and Smola, "A Generalized Representer Theorem", 2001, section 2; Williams and Seeger, "Using the
Nystroem Method to Speed Up Kernel Machines", 2001; Varma and Simon, "Bias in error estimation when using cross-validation for
model selection", 2006 (nested cross-validation).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mtl_model.events import Progress, Stage, silent
from mtl_model.kinds import Family

LANDMARKS, WIDE = 1000, 20  # with more outputs than WIDE a quarter of the landmarks
PENALTIES = tuple(10.0 ** (power / 2) for power in range(-10, 1))
CONSTANT = 100.0  # what the intercept adds to the product of two pictures; that of a picture with itself is about 1
LEAST_DEVIATION = 1e-3
KEPT = 1e-6  # of the largest eigenvalue: smaller ones are rounding
STEPS = 100
PARTS = (0.25, 0.5)  # of the pictures, for the learning curve
WIDEST = 20_000_000  # logits that are worked on at once, over pictures, fits and outputs

Features = Mapping[str, np.ndarray]
"""{stage: float (N, F)}"""


@dataclass(frozen=True)
class Fit:
    """A branch, and what is known of it.

    stages: those it leaves from. weight: float32 (width, F), for the features of these stages side by side, as the network
    gives them. bias: float32 (width,). penalty: the one chosen. out_of_fold: float32 (N, width), the logits of each picture by a
    fit that neither saw its fold nor was chosen by it. losses: {(stages, penalty): mean negative log likelihood out of fold}.
    curve: {pictures: out_of_fold as it would be with so many}.
    """

    stages: tuple[str, ...]
    weight: np.ndarray
    bias: np.ndarray
    penalty: float
    out_of_fold: np.ndarray
    losses: Mapping[tuple[tuple[str, ...], float], float]
    curve: Mapping[int, np.ndarray]

    def logits(self, features: Features) -> np.ndarray:
        """Return float32 (N, width), without the offset that the fit corrects."""
        ends = np.cumsum([features[stage].shape[1] for stage in self.stages])
        parts = np.split(self.weight, ends[:-1], axis=1)
        products = [features[stage].astype(np.float32) @ part.T for stage, part in zip(self.stages, parts, strict=True)]
        return np.sum(products, axis=0) + self.bias


def fit(
    features: Features,
    family: Family,
    folds: np.ndarray,
    *,
    weights: np.ndarray | None = None,
    offset: np.ndarray | None = None,
    candidates: Sequence[tuple[str, ...]] = (),
    penalties: Sequence[float] = PENALTIES,
    seed: int = 0,
    progress: Progress = silent,
) -> Fit:
    """Fit a branch to N pictures by the stages and the penalty under which pictures left out are likeliest.

    Args:
        features: of the pictures.
        family: their labels as a convex regression.
        folds: int (N,), the fold of each picture, from 0. Copies of one picture, and pictures of one person, share one.
        weights: float (N,), how much each picture counts; alike if not given.
        offset: float (N, width), logits that the fit corrects, without an intercept: the larger the penalty, the less it changes.
        candidates: sets of stages to choose from; all side by side if not given.
        penalties: to choose from, of the squared weights as a share of the mean loss; every other if there are many pictures.
        seed: of the landmarks.
    """
    count = len(folds)
    shares = np.ones(count, np.float32) if weights is None else weights.astype(np.float32)
    start = np.zeros_like(family.targets) if offset is None else offset.astype(np.float32)
    most = LANDMARKS if family.targets.shape[1] <= WIDE else LANDMARKS // 4
    if count > most:
        penalties = penalties[::2]
    landmarks = np.sort(np.random.default_rng(seed).permutation(count)[:most])
    stages = {name: _Stage(values, landmarks) for name, values in features.items()}
    bases: list[_Basis] = []
    errors: list[dict[tuple[int, ...], np.ndarray]] = []  # a candidate: {folds left out: (folds, penalties)}
    outside: list[np.ndarray] = []  # a candidate: the logits of each picture without its fold, (N, penalties, width)
    number = int(folds.max()) + 1
    for names in candidates or [tuple(features)]:
        progress(Stage.FITTING, len(bases), len(candidates) or 1)
        bases.append(_Basis(names, stages, landmarks, shares, CONSTANT if offset is None else 0.0))
        found = _cross_validate(bases[-1], family, folds, number, shares, start, penalties)
        errors.append(found[0])
        outside.append(found[1])
    progress(Stage.FITTING, len(bases), len(bases))

    out_of_fold = np.zeros_like(family.targets)
    for fold in range(number):
        others = [other for other in range(number) if other != fold]
        sums = np.array([sum(one[tuple(sorted((fold, other)))][other] for other in others) for one in errors])
        which, penalty = divmod(int(sums.argmin()), len(penalties))
        out_of_fold[folds == fold] = outside[which][folds == fold, penalty]
    sums = np.array([sum(one[(fold,)][fold] for fold in range(number)) for one in errors])
    which, penalty = divmod(int(sums.argmin()), len(penalties))
    basis, chosen = bases[which], float(penalties[penalty])
    beta = _solve(basis, family, shares, start, np.ones((count, 1), np.float32), [chosen])[:, 0]
    weight, bias = basis.fold_back(beta, stages, landmarks)
    losses = {
        (one.names, float(value)): float(loss / shares.sum())
        for one, row in zip(bases, sums, strict=True)
        for value, loss in zip(penalties, row, strict=True)
    }
    curve = _curve(basis, family, folds, shares, start, penalties, seed) | {count: out_of_fold}
    return Fit(basis.names, weight, bias, chosen, out_of_fold, losses, curve)


def _curve(
    basis: _Basis,
    family: Family,
    folds: np.ndarray,
    shares: np.ndarray,
    start: np.ndarray,
    penalties: Sequence[float],
    seed: int,
) -> dict[int, np.ndarray]:
    """{pictures: logits (N, width) of each picture by a fit to that share of the others}, by the penalty that is best for it."""
    place = np.random.default_rng(seed).permutation(len(folds)) / len(folds)
    result = {}
    for part in PARTS:
        masks = np.stack([(folds != fold) & (place < part) for fold in range(int(folds.max()) + 1)], 1)
        beta = _solve(basis, family, shares, start, masks.astype(np.float32), penalties)
        logits = np.zeros((len(folds), len(penalties), family.targets.shape[1]), np.float32)
        for fold in range(masks.shape[1]):
            rows, fits = folds == fold, beta[:, fold * len(penalties) : (fold + 1) * len(penalties)]
            logits[rows] = np.tensordot(basis.coordinates[rows], fits, 1) + start[rows, None]
        best = int((shares[:, None] * family.cost(logits)).sum(0).argmin())
        result[round(part * len(folds))] = logits[:, best]
    return result


class _Stage:
    """The features of one stage: their scale, and their products with those of the landmarks."""

    def __init__(self, values: np.ndarray, landmarks: np.ndarray) -> None:
        self.values, self.width = values, values.shape[1]
        taken = values[landmarks].astype(np.float32)
        self.mean, self.deviation = taken.mean(0), taken.std(0) + LEAST_DEVIATION
        self.taken = (taken - self.mean) / self.deviation
        self.products = np.concatenate(
            [
                ((values[at : at + LANDMARKS].astype(np.float32) - self.mean) / self.deviation) @ self.taken.T
                for at in range(0, len(values), LANDMARKS)
            ]
        )


class _Basis:
    """Coordinates (N, R) of the pictures in which the penalty is even and the curvature of the loss is diagonal."""

    def __init__(
        self,
        names: tuple[str, ...],
        stages: Mapping[str, _Stage],
        landmarks: np.ndarray,
        shares: np.ndarray,
        constant: float,
    ) -> None:
        self.names, self.constant = names, constant
        self.width = sum(stages[name].width for name in names)
        products = np.stack([stages[name].products for name in names])
        gram = products.sum(0, dtype=np.float64) / self.width + constant
        square, turn = _eigen(gram[landmarks])
        root = turn / np.sqrt(square)
        reduced = gram @ root
        self.curvature, turn = _eigen(reduced.T @ (reduced * shares[:, None]))
        self.back = root @ turn
        self.coordinates = (gram @ self.back).astype(np.float32)

    def fold_back(
        self, beta: np.ndarray, stages: Mapping[str, _Stage], landmarks: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return weight (width, F) and bias (width,) for features as the network gives them. beta: (R, width)."""
        dual = self.back @ beta  # (landmarks, width)
        bias = self.constant * dual.sum(0)
        parts = []
        for name in self.names:
            stage = stages[name]
            part = (dual.T @ stage.taken) / self.width / stage.deviation
            bias = bias - part @ stage.mean
            parts.append(part)
        return np.concatenate(parts, 1).astype(np.float32), bias.astype(np.float32)


def _eigen(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues (R,) and vectors (M, R) of a symmetric matrix, without those that are rounding."""
    values, vectors = np.linalg.eigh(matrix)
    kept = values > KEPT * values[-1]
    return values[kept], vectors[:, kept]


def _cross_validate(
    basis: _Basis,
    family: Family,
    folds: np.ndarray,
    number: int,
    shares: np.ndarray,
    start: np.ndarray,
    penalties: Sequence[float],
) -> tuple[dict[tuple[int, ...], np.ndarray], np.ndarray]:
    """Fit without each fold, and without each two.

    Returns {folds left out: summed loss (folds, penalties)}, and the logits of each picture by the fits without its fold alone,
    (N, penalties, width)."""
    left_out = [*itertools.combinations(range(number), 1), *itertools.combinations(range(number), 2)]
    errors: dict[tuple[int, ...], np.ndarray] = {}
    outside = np.zeros((len(folds), len(penalties), family.targets.shape[1]), np.float32)
    at_once = max(1, WIDEST // (len(penalties) * family.targets.size))
    members = (folds[:, None] == np.arange(number)) * shares[:, None]
    for at in range(0, len(left_out), at_once):
        some = left_out[at : at + at_once]
        masks = np.stack([~np.isin(folds, out) for out in some], 1).astype(np.float32)
        beta = _solve(basis, family, shares, start, masks, penalties)
        for place, out in enumerate(some):
            mine = beta[:, place * len(penalties) : (place + 1) * len(penalties)]
            logits = np.tensordot(basis.coordinates, mine, 1) + start[:, None]
            errors[out] = members.T @ family.cost(logits)
            if len(out) == 1:
                outside[folds == out[0]] = logits[folds == out[0]]
    return errors, outside


def _solve(
    basis: _Basis,
    family: Family,
    shares: np.ndarray,
    start: np.ndarray,
    masks: np.ndarray,
    penalties: Sequence[float],
) -> np.ndarray:
    """Minimise the mean loss of each mask's pictures + penalty / 2 * |beta|^2, for all masks and penalties at once.

    masks: float32 (N, M), 1 for the pictures that count. Returns float32 (R, M * P, width).
    Accelerated gradient steps, scaled by a bound of the curvature (Boehning and Lindsay, "Monotonicity of Quadratic-Approximation
    Algorithms", 1988) that holds for all masks, and restarted where they overshoot (O'Donoghue and Candes, "Adaptive Restart for
    Accelerated Gradient Schemes", 2015, section 3.2)."""
    coordinates, width = basis.coordinates, family.targets.shape[1]
    counted = np.repeat(masks * shares[:, None], len(penalties), 1)
    counted /= counted.sum(0).clip(1e-9)  # (N, J)
    pull = np.tile(np.array(penalties, np.float32), masks.shape[1])
    bound = family.curvature * basis.curvature[:, None] / shares.sum()
    scale = (shares.sum() / (masks * shares[:, None]).sum(0).clip(1e-9)).repeat(len(penalties))
    step = (1 / (bound * scale + pull)).astype(np.float32)[:, :, None]
    fits = counted.shape[1]
    beta = np.zeros((coordinates.shape[1], fits, width), np.float32)
    ahead, age = beta, np.ones(fits, np.float32)
    for _ in range(STEPS):
        logits = np.tensordot(coordinates, ahead, 1) + start[:, None]
        residual = (family.expected(logits) - family.targets[:, None]) * counted[:, :, None]
        gradient = np.tensordot(coordinates.T, residual, 1) + pull[:, None] * ahead
        moved = ahead - step * gradient
        change = moved - beta
        age = np.where((gradient * change).sum((0, 2)) > 0, 1, age)
        later = (1 + np.sqrt(1 + 4 * age**2)) / 2
        ahead = moved + ((age - 1) / later)[:, None] * change
        beta, age = moved, later
    return beta
