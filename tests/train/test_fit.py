"""The convex fit: exact, blind to the fold it is measured on, and honest where there is nothing to learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from mtl_model.kinds._arithmetic import Family, bernoulli, categorical
from mtl_model.train import fit as module
from mtl_model.train.fit import CONSTANT, LEAST_DEVIATION, Fit, fit

COUNT, WIDTHS = 60, {"early": 12, "late": 90}
FOLDS = np.arange(COUNT) % 5


def features_of(count: int = COUNT, seed: int = 0) -> dict[str, np.ndarray]:
    """Stages of other scales and means, more numbers than pictures."""
    random = np.random.default_rng(seed)
    return {
        name: random.normal(place, 0.1 + 2 * place, (count, width))
        for place, (name, width) in enumerate(WIDTHS.items())
    }


def classes_of(features: dict[str, np.ndarray], classes: int, noise: float = 0.5) -> np.ndarray:
    """Classes that the first few features of the first stage tell, as far as the noise lets them."""
    values = features["early"][:, :classes] * 10
    return (values + np.random.default_rng(9).normal(0, noise, values.shape)).argmax(1)


def family_of(labels: np.ndarray) -> Family:
    return bernoulli(labels[:, None]) if labels.max() < 2 else categorical(np.eye(labels.max() + 1)[labels])


def answers(logits: np.ndarray) -> np.ndarray:
    return logits.argmax(1) if logits.shape[1] > 1 else (logits[:, 0] > 0).astype(int)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("penalty", [1e-3, 1e-1])
def test_the_gram_form_is_the_regression_on_the_features_themselves(
    classes: int, penalty: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STEPS", 5000)
    features = features_of()
    labels = classes_of(features, classes)
    weights = np.where(labels == 0, 2.0, 0.5)
    fitted = fit(features, family_of(labels), FOLDS, weights=weights, penalties=[penalty])
    scaled = [(part - part.mean(0)) / (part.std(0) + LEAST_DEVIATION) for part in features.values()]
    rows = np.concatenate([*scaled], 1) / np.sqrt(sum(WIDTHS.values()))
    rows = np.concatenate([rows, np.full((COUNT, 1), np.sqrt(CONSTANT))], 1)
    primal = LogisticRegression(C=1 / (penalty * weights.sum()), fit_intercept=False, tol=1e-9, max_iter=20000)
    expected = primal.fit(rows, labels, sample_weight=weights).decision_function(rows)
    assert fitted.logits(features).squeeze() == pytest.approx(expected, abs=2e-3)


def test_stages_and_penalty_are_those_under_which_pictures_left_out_are_likeliest() -> None:
    features = features_of()
    fitted = fit(
        features, family_of(classes_of(features, 2)), FOLDS, candidates=[("late",), ("early",), ("early", "late")]
    )
    assert fitted.stages == ("early",) and fitted.weight.shape == (1, WIDTHS["early"])
    assert min(fitted.losses, key=lambda one: fitted.losses[one]) == (fitted.stages, fitted.penalty)
    assert len(fitted.losses) == 3 * len(module.PENALTIES)


def test_labels_of_a_fold_have_no_part_in_its_own_answers() -> None:
    """Neither by the fit nor by the choice of stages and penalty."""
    features = features_of()
    labels = classes_of(features, 2)
    changed = np.where(FOLDS == 2, 1 - labels, labels)
    candidates = [("early",), ("late",), ("early", "late")]
    before, after = (
        fit(features, family_of(one), FOLDS, candidates=candidates).out_of_fold for one in (labels, changed)
    )
    assert (before[FOLDS == 2] == after[FOLDS == 2]).all()
    assert (before[FOLDS != 2] != after[FOLDS != 2]).any()


@pytest.mark.parametrize("classes", [2, 3])
def test_out_of_fold_answers_tell_what_new_pictures_will_get(classes: int) -> None:
    many = features_of(1000)
    labels = classes_of(many, classes, noise=0.1)
    few = {name: part[:200] for name, part in many.items()}
    fitted = fit(few, family_of(labels[:200]), np.arange(200) % 5, candidates=[("early",), ("late",)])
    promised = (answers(fitted.out_of_fold) == labels[:200]).mean()
    kept = (answers(fitted.logits({name: part[200:] for name, part in many.items()})) == labels[200:]).mean()
    assert promised > 0.8 and kept == pytest.approx(promised, abs=0.08)


def test_random_labels_are_answered_no_better_than_by_guessing() -> None:
    shares = []
    for seed in range(12):
        labels = np.random.default_rng(seed).permutation(np.arange(COUNT) % 2)
        candidates = [("early",), ("late",)]
        fitted = fit(
            features_of(seed=seed), family_of(labels), FOLDS, candidates=candidates, penalties=[1e-3, 1e-2, 1e-1]
        )
        shares.append((answers(fitted.out_of_fold) == labels).mean())
    assert np.mean(shares) < 0.53


def test_a_correction_stays_with_what_was_known_unless_pictures_speak_against_it() -> None:
    features = features_of()
    labels = classes_of(features, 2, noise=0.0)
    known = np.where(labels, 3.0, -3.0)[:, None]
    corrected = fit(features, family_of(labels), FOLDS, offset=known)
    assert np.abs(corrected.logits(features)).max() < 3
    assert (answers(corrected.out_of_fold) == labels).all()
    wrong = fit(features, family_of(labels), FOLDS, offset=-known, candidates=[("early",)])
    assert (answers(wrong.logits(features) - known) == labels).mean() > 0.8


def test_more_pictures_than_landmarks_are_learned_from_a_part_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    many = features_of(440)
    labels = classes_of(many, 3, noise=0.1)

    def fitted() -> Fit:
        few = {name: part[:240] for name, part in many.items()}
        return fit(few, family_of(labels[:240]), np.arange(240) % 5, penalties=[1e-4, 1e-3, 1e-2])

    def share(one: Fit) -> float:
        return float((answers(one.logits({name: part[240:] for name, part in many.items()})) == labels[240:]).mean())

    whole = share(fitted())
    monkeypatch.setattr(module, "LANDMARKS", 100)
    part = fitted()
    assert share(part) > whole - 0.1 and part.weight.shape == (3, sum(WIDTHS.values()))


def test_fits_that_are_worked_on_in_pieces_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    features = features_of()
    family = family_of(classes_of(features, 3))
    whole = fit(features, family, FOLDS, penalties=[1e-3, 1e-1]).out_of_fold
    monkeypatch.setattr(module, "WIDEST", 1)
    assert fit(features, family, FOLDS, penalties=[1e-3, 1e-1]).out_of_fold == pytest.approx(whole, abs=1e-4)
