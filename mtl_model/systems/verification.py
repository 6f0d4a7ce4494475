"""F: identification with verification, to compare losses. Never shown, never shipped: this program does not recognise people."""

from __future__ import annotations

from dataclasses import replace

from mtl_model.config import TrainConfig
from mtl_model.systems import Headline, System, Variant
from mtl_model.tasks import class_task

PEOPLE = tuple(map(str, range(230)))
"""As many as have 12 or more pictures in the training part; their names stand nowhere."""

SYSTEM = System(
    title="Identification with verification",
    letter="F",
    text="A softmax over the people of the training part and a loss on pairs of pictures shape one vector per face. It is "
    "measured by pairs of people who were not seen, and nothing of it is ever shown: it serves to compare losses.",
    source="“An arrow N carving: Multi-task deep learning combat”, sections 3.1 and 3.2, which cites the papers below",
    papers=(
        "Sun, Wang and Tang, “Deep Learning Face Representation by Joint Identification-Verification” (DeepID2), 2014, section 2",
        "Zhang, Zhou, Lin and Zhang, “Embedding Label Structures for Fine-Grained Feature Representation”, 2016, section 3.1",
        "Schroff, Kalenichenko and Philbin, “FaceNet”, 2015, section 3 (the triplet loss)",
    ),
    lesson="Two losses on one output are a multi-task network too: the softmax parts people, the loss on pairs draws the "
    "pictures of one person together.",
    config=TrainConfig(
        source=("celeba:{data}/celeba",),
        attributes="identity:12",
        tasks="identity",
        losses="identity=softmax_contrastive",
        network="narrow",
        epochs=10,
        batch_size=64,
        learning_rate=2e-3,
        warmup_steps=24,
        ema=0.98,
        augmentation=0.4,
        precision="bf16",
    ),
    tasks=(replace(class_task("identity", PEOPLE), kind="identity", loss="softmax_contrastive", shown=False),),
    headlines=(
        Headline(
            "Pairs of people not seen",
            "identity",
            "verification_accuracy",
            "celeba",
            0.9915,
            "on LFW, from 200,000 pictures",
        ),
    ),
    variants={
        "softmax": Variant({"losses": "identity=softmax"}, "Identification alone."),
        "softmax-triplet": Variant({"losses": "identity=softmax_triplet"}, "Identification with the triplet loss."),
    },
    differences=(
        "Its 230 people are those with 12 or more pictures in the training part: 3,027 pictures, where DeepID2 learned from "
        "8,192 people of CelebFaces+.",
        "One network on the aligned face. DeepID2 joins the vectors of many networks, each on another part of the face.",
        "A pair counts by the cosine of its vectors against one threshold that is set on val; DeepID2 learns a joint Bayesian "
        "model.",
        "The margin of the contrastive loss is fixed; DeepID2 sets it anew during training.",
    ),
)
