"""D: two labels of a flower on SqueezeNet 1.1, split behind fire8."""

from __future__ import annotations

from mtl_model.config import TrainConfig
from mtl_model.systems import Headline, System, Variant
from mtl_model.tasks import class_task

SYSTEM = System(
    title="Two tasks on SqueezeNet, split behind fire8",
    letter="D",
    text="A flower's kind and its colour are read by one SqueezeNet 1.1, shared up to fire8. Behind it each task has a fire9 and "
    "a 1 x 1 convolution of its own, whose map is averaged.",
    source="“Multi-Task Learning with Deep Neural Networks”, a tutorial with TensorFlow-Slim; its copy here names no author",
    papers=(
        "Iandola et al., “SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size”, 2016, table 1",
        "Caruana, “Multitask Learning”, 1997, section 2",
    ),
    lesson="Two labels of one picture are learned by summing their losses, and where many pictures lack the second label it "
    "still learns, from a trunk that all of them teach.",
    config=TrainConfig(
        source=("list:{data}/flowers",),
        columns="kind=rose|daisy,colour=red|pink|white",
        detector="whole",
        network="squeezenet",
        epochs=40,
        batch_size=32,
        learning_rate=4e-4,
        warmup_steps=60,
        ema=0.99,
        augmentation=0.5,
        precision="bf16",
    ),
    tasks=(class_task("kind", ("rose", "daisy")), class_task("colour", ("red", "pink", "white"))),
    headlines=(
        Headline("Kind", "kind", "accuracy", "flowers"),
        Headline("Colour", "colour", "accuracy", "flowers"),
    ),
    variants={
        "joint": Variant({}, "The system as it is, measured on val beside the other variants."),
        "alternate": Variant(
            {"mode": "alternate"},
            "A batch for one task, then a batch for the other, in as many steps: the text's first way.",
        ),
        "kind-alone": Variant({"tasks": "kind"}, "The kind alone: does the colour help it?"),
        "colour-alone": Variant(
            {"tasks": "colour"}, "The colour alone, from a third of the pictures: does the kind help it?"
        ),
        "pictures": Variant(
            {
                "network": "lite0",
                "network_options": "branch=fire",
                "start": "pictures",
                "epochs": 6,
                "learning_rate": 5e-4,
            },
            "The same branches on EfficientNet-Lite0's trunk, which knows ImageNet: what is a start worth?",
        ),
    },
    differences=(
        "The text gathered 3,200 pictures and labelled both tasks in all of them; 1,469 pictures stand here, and 556 of them "
        "have a colour. The others teach the kind alone.",
        "The text has a max-pooling behind fire8. SqueezeNet 1.0 has one there and 1.1 has none; it is kept, as the text has it.",
        "The text's last convolution ends in a ReLU, by the default of its library, and SqueezeNet's own does too. A negative "
        "logit is then 0 and learns nothing; the ReLU is left out.",
        "The text squeezes a tensor that it never made for the colour (a slip in a name); the colour's own map is used.",
        "The map is averaged before the 1 x 1 convolution, not after it: without a ReLU between them both orders give the same.",
        "Crops of 128 px, and the mean over whatever map they give; the text's averaging over 10 x 10 fits some 320 px.",
        "The text splits into 60, 25 and 15 % and gives no accuracy; its three lists are there, and test figures are given here.",
    ),
)
