"""A: one network for three tasks, each picture labelled for the tasks of its own data set."""

from __future__ import annotations

from mtl_model.config import TrainConfig
from mtl_model.systems import Headline, System, Variant
from mtl_model.tasks import TASKS, class_task

GROUPS = ("1-13", "14-23", "24-39", "40-55", "56-80")

SYSTEM = System(
    title="Shared network over combined data sets",
    letter="A",
    text="Four convolution blocks are shared by the branches for age group, gender and smile. No data set labels all three: each "
    "picture is labelled for the tasks of its own set, and the other branches do not learn from it.",
    source="Tram Ho, “Multitask Learning training combines multiple datasets with Tensorflow” (Viblo), which describes the "
    "repository truongnmt/multi-task-learning",
    papers=(
        "Sang, Cuong and Ha, “Multi-task learning for smile detection, emotion recognition and gender classification”, 2017, "
        "section III",
    ),
    lesson="A branch can learn from pictures that lack the labels of all other branches, if its loss leaves out what is not "
    "labelled.",
    config=TrainConfig(
        source=("utkface:{data}/utkface", "genki4k:{data}/genki4k"),
        columns=f"age:classes={'|'.join(GROUPS)}",
        network="bknet",
        epochs=8,
        batch_size=256,
        optimiser="adam",
        learning_rate=1e-3,
        weight_decay=1e-4,
        schedule="constant",
        warmup_steps=50,
        ema=0.98,
        augmentation=0.4,
        precision="bf16",
    ),
    tasks=(class_task("age", GROUPS), TASKS["gender"], TASKS["smile"]),
    headlines=(
        Headline("Smile", "smile", "accuracy", "genki4k", 0.9280),
        Headline("Gender", "gender", "accuracy", "utkface", 0.9358, "on IMDB-WIKI"),
        Headline("Age group, one of five", "age", "accuracy", "utkface", 0.6136, "on IMDB-WIKI"),
    ),
    variants={
        "separate": Variant({"separate": True}, "A network per task with nothing shared: what does sharing bring?"),
        "smile-alone": Variant(
            {"tasks": "smile", "columns": "", "source": ("genki4k:{data}/genki4k",)},
            "Smile alone, from GENKI-4K alone: what do the pictures of the other set bring to the smallest task?",
        ),
        "even-mix": Variant(
            {"mix": "utkface=0.5,genki4k=0.5"},
            "As many pictures of each set in a batch, though one is seven times larger.",
        ),
        "no-decay": Variant({"weight_decay": 0.0}, "Without the L2 term of the loss."),
    },
    differences=(
        "Learns from UTKFace in place of IMDB-WIKI, whose labels were read from web pages; the reader for IMDB-WIKI is there "
        "(--source imdbwiki:DIR).",
        "The text names seven ages as the longest label and lists five groups; the five are used. Age 0 counts as 1-13, ages "
        "over 80 as 56-80.",
        "Softmax is applied once. The ancestor's branches end in softmax and its loss applies it again.",
        "A picture without a detected face keeps its own label. In the ancestor it is dropped from the pictures alone, which "
        "shifts every label after it.",
        "Nothing is clipped inside the logarithm: the loss is computed from logits. Clipped probabilities have no gradient just "
        "where the answer is most wrong.",
        "The moving average of the weights is evaluated.",
    ),
)
