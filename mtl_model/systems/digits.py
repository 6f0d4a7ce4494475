"""E: the digits of a number, by a length and a softmax per position."""

from __future__ import annotations

from dataclasses import replace

from mtl_model.config import TrainConfig
from mtl_model.systems import Headline, System, Variant
from mtl_model.tasks import class_task

BRANCHES = "label_length,label_1,label_2,label_3,label_4,label_5"
LOSSES = ",".join(
    f"{task}=unsmoothed" for task in BRANCHES.split(",")
)  # a smoothed loss would keep its logarithm from falling
APART, ABSENT = {"tasks": BRANCHES, "apart": "label", "losses": LOSSES, "join": 0.0}, "label:absent"

SYSTEM = System(
    title="The digits of a number",
    letter="E",
    text="One shared network reads a whole number at once: how many digits there are, and which digit stands at each of five "
    "positions. The answer is the likeliest whole number, so that length and digits are chosen together.",
    source="“Multitask deep learning with Tensorflow”, a question by thetna with an answer by xtt (2016)",
    papers=(
        "Goodfellow, Bulatov, Ibarz, Arnoud and Shet, “Multi-digit Number Recognition from Street View Imagery using Deep "
        "Convolutional Neural Networks”, 2014, section 4",
    ),
    lesson="An output that has nothing to say about a picture must be left out of its loss or be given a class of its own; how "
    "the losses are combined decides which outputs the shared layers serve.",
    config=TrainConfig(
        source=("csv:{data}/housenumbers",),
        columns="label:sequence",
        losses="label=length_and_symbols",
        network="narrow",
        detector="whole",
        join=1.0,
        epochs=20,
        batch_size=64,
        learning_rate=2e-3,
        warmup_steps=100,
        ema=0.99,
        augmentation=0.5,
        precision="bf16",
    ),
    tasks=(replace(class_task("label", tuple("0123456789")), kind="sequence", loss="length_and_symbols", length=5),),
    headlines=(
        Headline("Whole number right", "label", "sequence_accuracy", "housenumbers", None, "gives none"),
        Headline("Right length", "label", "length_accuracy", "housenumbers"),
        Headline("Right digits", "label", "position_accuracy", "housenumbers"),
    ),
    variants={
        "not-joined": Variant({"join": 0.0}, "Without the training pictures that are put together from two."),
        "eleventh-class": Variant(
            {"losses": "label=absent_as_symbol"},
            "A digit that is not there is an eleventh class, so that each position learns from each picture.",
        ),
        "branches": Variant(APART, "Six tasks; absent digits are not labelled; the losses are added up."),
        "branches-log": Variant(
            {**APART, "combine": "log"},
            "Six tasks; absent digits are not labelled; the logarithms of the losses are added up.",
        ),
        "branches-eleventh": Variant(
            {**APART, "apart": ABSENT}, "Six tasks; absent digits are an eleventh class; the losses are added up."
        ),
        "branches-eleventh-log": Variant(
            {**APART, "apart": ABSENT, "combine": "log"},
            "Six tasks; absent digits are an eleventh class; the logarithms of the losses are added up, as the answer has it.",
        ),
    },
    differences=(
        "A position behind the last digit teaches nothing here. The answer asks for a stand-in value X and does not say what "
        "loss it gets; the variants measure an eleventh class too.",
        "The losses are added up. The answer adds up the logarithms of clipped losses, which has no lower bound.",
        "Nearly as many training pictures again are put together from two of them, up to five digits: the text says "
        "nothing of data.",
        "No picture here has no digit or more than five, and one has five: the classes for these lengths exist and no example "
        "teaches them.",
        "The pictures are crops of one number. Finding a number in a street photo is left out.",
    ),
)
