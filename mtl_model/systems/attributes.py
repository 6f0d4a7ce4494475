"""C: several labels per picture, a loss per label, and weights that add up to one."""

from __future__ import annotations

from mtl_model.config import TrainConfig
from mtl_model.systems import Headline, System, Variant
from mtl_model.tasks import TASKS, class_task

FIVE = ("smile", "gender", "young", "high_cheekbones", "mouth_slightly_open")
FURTHER = ("blond_hair", "black_hair", "wearing_lipstick")
BLOCKS = {"block0": "24 x 24", "block1": "12 x 12", "block2": "6 x 6", "block3": "3 x 3"}


def each(tasks: tuple[str, ...], weight: float) -> str:
    return ",".join(f"{task}={weight:g}" for task in tasks)


def with_sgd(weight: float, **changes: object) -> dict[str, object]:
    """Return the changes for gradient descent with momentum, unclipped, at a rate that suits weights that add up to one."""
    steps = {"optimiser": "sgd", "learning_rate": 0.2, "clip": 0.0, "warmup_steps": 0}
    return {**steps, "task_weights": each(FIVE, weight), **changes}


def all_eight(block: str) -> dict[str, object]:
    """Return the changes for eight attributes that all leave the trunk at one block."""
    tasks = (*FIVE, *FURTHER)
    return {
        "attributes": "Young,High_Cheekbones,Mouth_Slightly_Open,Blond_Hair,Black_Hair,Wearing_Lipstick",
        "tasks": ",".join(tasks),
        "task_weights": each(tasks, 1 / len(tasks)),
        "leaves": ",".join(f"{task}={block}" for task in tasks),
    }


SYSTEM = System(
    title="Several labels per picture, weighted losses",
    letter="C",
    text="Each line of the list holds a picture and five labels, and each label has a branch and a loss of its own on one shared "
    "trunk. The five losses are weighted by a fifth each, so that their sum is as large as a single loss.",
    source="Shewin (HolidayXue), “An arrow N carving: Multi-task deep learning combat”, which changes Caffe's convert_imageset "
    "and slices its labels",
    papers=(
        "Caruana, “Multitask Learning”, 1997, sections 1 and 2",
        "Szegedy et al., “Going deeper with convolutions”, 2015, section 5 (losses at three depths)",
        "Kendall, Gal and Cipolla, “Multi-Task Learning Using Uncertainty to Weigh Losses”, 2018, section 3",
    ),
    lesson="The sum of the losses is what moves the trunk. Weights that add up to one keep a learning rate usable that was "
    "chosen for one task.",
    config=TrainConfig(
        source=("celeba:{data}/celeba",),
        attributes="Young,High_Cheekbones,Mouth_Slightly_Open",
        tasks=",".join(FIVE),
        task_weights=each(FIVE, 0.2),
        network="compact",
        epochs=6,
        batch_size=64,
        learning_rate=2e-3,
        warmup_steps=50,
        ema=0.99,
        augmentation=0.4,
        precision="bf16",
    ),
    tasks=tuple(TASKS.get(name) or class_task(name, ("no", "yes")) for name in FIVE),
    headlines=(
        Headline("Smiling", "smile", "accuracy", "celeba"),
        Headline("Male", "gender", "accuracy", "celeba"),
        Headline("Young", "young", "accuracy", "celeba"),
        Headline("High cheekbones", "high_cheekbones", "accuracy", "celeba"),
        Headline("Mouth slightly open", "mouth_slightly_open", "accuracy", "celeba"),
    ),
    variants={
        "together": Variant({}, "The system as it is, measured on val beside the other variants."),
        **{
            f"{task.replace('_', '-')}-alone": Variant(
                {"tasks": task, "task_weights": ""},
                "One label alone, in as many steps: what do the other four bring it?",
            )
            for task in FIVE
        },
        "sgd-fifth": Variant(
            with_sgd(0.2), "Gradient descent with momentum, weights of 1/5 each: the ground for the next four."
        ),
        "sgd-one": Variant(with_sgd(1.0), "Weights of 1 each: the trunk's gradient is five times as large."),
        "sgd-ten": Variant(with_sgd(10.0), "Weights of 10 each: fifty times as large."),
        "sgd-ten-clipped": Variant(
            with_sgd(10.0, clip=1.0), "Weights of 10 each, the norm of the gradient clipped at 1: is it stable again?"
        ),
        "sgd-ten-learned": Variant(
            with_sgd(10.0, weighting="learned"),
            "Weights of 10 each, times weights learned from each task's uncertainty.",
        ),
        "adam-ten": Variant(
            {"task_weights": each(FIVE, 10.0), "clip": 0.0},
            "Weights of 10 each with AdamW, which divides each gradient by its own size: does the sum matter at all?",
        ),
        **{
            f"leave-{block}": Variant(
                all_eight(block),
                f"Eight labels, all branches on {block}, a map of {size}: which label is read well that early?",
            )
            for block, size in BLOCKS.items()
        },
    },
    differences=(
        "The text trains a network of its own on data of its own and gives no figure; CelebA and a small network stand here.",
        "Its list, its changed converter and its two data layers are one reader here: the list layout, or CelebA's own table "
        "with --attributes.",
        "A label can be missing here, per picture and task; the text's converter needs all of them in every line.",
        "It trains by gradient descent. AdamW is used here, and gradient descent in the variants that show what the weights do.",
        "The moving average of the weights is evaluated.",
    ),
)
