"""Verification: whether two embeddings are of one person, told by their cosine on pairs of pictures."""

from __future__ import annotations

import numpy as np

from mtl_model.kinds._metric import Rows

SHIFTS = 3  # pairs of one person that a picture takes part in, at most twice; and as many draws of pairs of two people


def pairs_of(person: np.ndarray, number: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return rows of pairs (M, 2) and whether each shows one person, bool (M,): neighbours among a person's pictures, and as many
    draws from all people. number: of each picture, since a resampled one is no pair with itself."""
    order = np.lexsort((number, person))
    neighbours = [np.stack([order[:-shift], order[shift:]], 1) for shift in range(1, SHIFTS + 1)]
    random = np.random.default_rng(0)
    drawn = [np.stack([np.arange(len(person)), random.permutation(len(person))], 1) for _ in range(SHIFTS)]
    pairs = np.concatenate([*neighbours, *drawn])
    same = person[pairs[:, 0]] == person[pairs[:, 1]]
    near = np.arange(len(pairs)) < sum(map(len, neighbours))
    kept = (number[pairs[:, 0]] != number[pairs[:, 1]]) & (same == near)
    return pairs[kept], same[kept]


def similarities(embedding: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """float (M,), the cosine of each pair."""
    return (embedding[pairs[:, 0]] * embedding[pairs[:, 1]]).sum(1)


def best_threshold(cosine: np.ndarray, same: np.ndarray) -> float:
    """Return the cosine from which on pairs count as one person, so that most pairs are right, both kinds counting the same."""
    order = np.argsort(-cosine, kind="stable")
    found, wrong = np.cumsum(same[order]) / max(1, same.sum()), np.cumsum(~same[order]) / max(1, (~same).sum())
    place = int((found - wrong).argmax())
    following = cosine[order[min(place + 1, len(order) - 1)]]
    return float(np.clip((cosine[order[place]] + following) / 2, -1, 1))


def verification_accuracy(rows: Rows) -> float:
    """Share of right answers, pairs of one person and of two counting the same; NaN without both."""
    pairs, same = pairs_of(rows["person"], rows["number"])
    if same.all() or not same.any():
        return float("nan")
    said = similarities(rows["embedding"], pairs) >= rows["threshold"][0]
    return float((said[same].mean() + (~said[~same]).mean()) / 2)


def verification_auc(rows: Rows) -> float:
    """Area under the ROC curve of the pairs' cosines; NaN without both kinds of pairs."""
    from scipy.stats import rankdata

    pairs, same = pairs_of(rows["person"], rows["number"])
    if same.all() or not same.any():
        return float("nan")
    ranks, ones = rankdata(similarities(rows["embedding"], pairs)), int(same.sum())
    return float((ranks[same].sum() - ones * (ones + 1) / 2) / (ones * (len(same) - ones)))
