"""B: one network per task, with nothing shared but the picture."""

from __future__ import annotations

from dataclasses import replace

from mtl_model.config import TrainConfig
from mtl_model.systems import Headline, System, Variant
from mtl_model.tasks import TASKS, number_task

AGE_ALONE = {"tasks": "age", "task_weights": "", "columns": "", "select": "age"}


def _by(loss: str, text: str) -> Variant:
    """Age alone, as a distribution over years, taught by a loss of that kind."""
    return Variant({**AGE_ALONE, "losses": f"age={loss}"}, text)


SYSTEM = System(
    title="Independent branches",
    letter="B",
    text="Age, gender and, where it is asked for, race are each answered by a network of their own; only the picture is common "
    "to them. The network for age is deep, the others are shallow, and one optimiser learns the sum of their losses.",
    source="phamdinhkhanh, “Bài 35 - Multitask Learning - Multi Branch”, 5 May 2020",
    papers=(
        "Gao et al., “Age Estimation Using Expectation of Label Distribution Learning” (DLDL-v2), 2018, section 3",
        "Pan et al., “Mean-Variance Loss for Deep Age Estimation from a Face”, 2018, section 3.2",
    ),
    lesson="Branches that share nothing cannot disturb each other, whatever the weights of their losses; nor can they help each "
    "other, and each costs a whole network.",
    config=TrainConfig(
        source=("utkface:{data}/utkface",),
        columns="age (years):number,gender:binary",
        network="smallvgg",
        network_options="deep=age",
        separate=True,
        task_weights="age=12",  # 0.03 per square year: the loss is in deviations of 19.9 years here
        epochs=6,
        batch_size=32,
        optimiser="adam",
        learning_rate=0.005,
        weight_decay=0.0,
        schedule="inverse",
        warmup_steps=0,
        clip=0.0,
        ema=0.99,
        augmentation=0.0,
        select="loss",
        save_steps=20,
        fraction=0.25,
        precision="bf16",
    ),
    tasks=(
        number_task("age", "years"),
        replace(TASKS["gender"], kind="binary", loss="binary_cross_entropy"),
    ),
    headlines=(
        Headline("Age, mean error", "age", "mean_error", "utkface"),
        Headline("Gender", "gender", "accuracy", "utkface", 0.7436, "on its training pictures, in the fourth epoch"),
    ),
    variants={
        "augmented": Variant(
            {"augmentation": 1.0, "reach": "turn=25,shift=0.1,shear=0.2,zoom=0.2"},
            "With the augmentation that the text defines and never hands to the training.",
        ),
        "last-weights": Variant(
            {"ema": 0.0},
            "Without the moving average of the weights, as in the text: at this learning rate the error of age jumps.",
        ),
        "shared": Variant({"separate": False}, "One deep trunk for all tasks: what does sharing cost or bring?"),
        "race": Variant({"attributes": "race"}, "With race as a third branch, which is evaluated and never shown."),
        "equal-weights": Variant(
            {"task_weights": "age=400"},
            "The squared error in years with weight 1 in place of 0.03: with nothing shared, does the weight matter?",
        ),
        "years": _by("soft_years", "Age alone, as a distribution over years (DLDL-v2)."),
        "cross-entropy": _by("years_cross_entropy", "Age alone, as classes by cross-entropy."),
        "mean-variance": _by("mean_variance", "Age alone, by cross-entropy with the mean-variance loss."),
        "expected-square": _by("expected_square", "The first exercise: the squared error of the expected year."),
        "decomposed": _by("decomposed_age", "The second exercise, as printed: sum of p_j (j - p_j y)²."),
        "decomposed-log": _by("decomposed_log_age", "The third, as printed: sum of p_j (log j - p_j log y)²."),
    },
    differences=(
        "UTKFace's three parts are used; the text splits 80 to 20 and has no test part.",
        "Race is learned only where it is asked for (--attributes race), and is never shown.",
        "The squared error is taken in deviations of the ages of train (19.9 years): 0.03 per square year is a weight of 12.",
        "The text defines an augmentation and never hands it to the training; so it is off here, but for --variant augmented.",
        "A name that cannot be read is skipped and counted. In the text its picture takes the labels of the one before it.",
        "The checkpoint is that of the least loss on val. The text says so and saves after every 20 batches whatever the loss; "
        "here the state to go on from is saved as often.",
        "The moving average of the weights is evaluated. One step of 0.005 on the 262,144 inputs of the last layer moves an age "
        "by years, so that the error of the last weights jumps from epoch to epoch (--variant last-weights).",
        "A quarter of the training pictures and 6 epochs fit into an hour of one core; --fraction 1 --epochs 50 is the whole.",
    ),
)
