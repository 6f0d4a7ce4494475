"""F: landmarks learned together with the pose of the head and a smile."""

from __future__ import annotations

from dataclasses import replace

from mtl_model.config import TrainConfig
from mtl_model.systems import Headline, System, Variant
from mtl_model.tasks import DETECTED, TASKS, number_task

SYSTEM = System(
    title="Landmarks with pose and attributes",
    letter="F",
    text="Five points of a face, the three angles of the head and the smile share one small network. The points are the "
    "detector's own answers (pseudo-labels), so their error says how near the network comes to the detector.",
    source="“An arrow N carving: Multi-task deep learning combat”, section 3.4, which cites the paper below",
    papers=(
        "Zhang, Luo, Loy and Tang, “Facial Landmark Detection by Deep Multi-task Learning” (TCDCN), 2014, sections 3.1 and 3.2",
    ),
    lesson="A task with plenty of cheap labels can shape the features for one with few; whether it does has to be measured, with "
    "several seeds.",
    config=TrainConfig(
        source=("genki4k:{data}/genki4k",),
        attributes="yaw,pitch,roll",
        tasks="smile,landmarks,yaw,pitch,roll",
        task_weights="landmarks=0.2",
        network="narrow",
        epochs=10,
        batch_size=64,
        learning_rate=2e-3,
        warmup_steps=40,
        ema=0.98,
        augmentation=0.4,
        precision="bf16",
    ),
    tasks=(
        TASKS["smile"],
        DETECTED["landmarks"],
        *(replace(number_task(angle, "°"), axis=angle) for angle in ("yaw", "pitch", "roll")),
    ),
    headlines=(
        Headline("Smile", "smile", "accuracy", "genki4k"),
        Headline("Landmarks", "landmarks", "nme", "genki4k", None, "on AFLW and AFW"),
        Headline("Yaw", "yaw", "mean_error", "genki4k"),
        Headline("Pitch", "pitch", "mean_error", "genki4k"),
        Headline("Roll", "roll", "mean_error", "genki4k"),
    ),
    variants={
        "smile": Variant(
            {"tasks": "smile", "attributes": "", "task_weights": ""},
            "The smile alone: what do the other tasks bring to it?",
        ),
        "smile-landmarks": Variant({"tasks": "smile,landmarks", "attributes": ""}, "The smile with the points."),
        "landmarks": Variant(
            {"tasks": "landmarks", "attributes": "", "task_weights": ""},
            "The points alone: do smile and pose help them, as in the paper?",
        ),
    },
    differences=(
        "The points are pseudo-labels of MTCNN. The paper's are set by hand.",
        "The angles are numbers in degrees. In the paper the pose is one of five classes.",
        "No task is stopped early: the paper takes an auxiliary task out of the training once it no longer helps the points.",
        "The attributes are the smile alone, as GENKI-4K labels it; the paper has gender and glasses too.",
    ),
)
