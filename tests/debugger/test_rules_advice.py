"""No rule advises what the job already does."""

from collections.abc import Mapping

import pytest

from debugger import rules
from debugger.records import Start


def advice(rule: str, facts: Mapping[str, object]) -> str:
    results = rules.evaluate([Start(1.0, "j", 1, 0.0, facts)], rules.make({}))
    return next(item.advice for item in results if item.rule == rule)


def hyper(**given: object) -> dict[str, object]:
    return {"hyperparameters": given}


@pytest.mark.parametrize(
    ("rule", "facts", "absent"),
    [
        ("Dataloader", {"workers": 4, "cores": 4}, "Raise `workers`"),
        ("Dataloader", {"workers": 1, "cores": 4, **hyper(augment="none")}, "augment"),
        ("LowGPUUtilization", hyper(precision="auto"), "precision=auto"),
        ("ClassImbalance", hyper(class_weights="balanced"), "class_weights=balanced"),
        ("ExplodingTensor", hyper(clip_gradient_norm=1.0), "clip_gradient_norm"),
        ("ExplodingTensor", hyper(warmup_epochs=1), "warmup_epochs"),
        ("ExplodingTensor", {"precision": "bfloat16"}, "fp16"),
        ("VanishingGradient", {"precision": "float32"}, "fp16"),
        ("VanishingGradient", hyper(weights="pretrained"), "pretrained"),
        ("PoorWeightInitialization", hyper(weights="pretrained"), "pretrained"),
        ("Overfit", hyper(patience=3), "`patience`"),
        ("Overfit", hyper(trainable="head"), "`trainable`"),
        ("Overfit", hyper(mixup=0.2, label_smoothing=0.1, weight_decay=0.01), "label_smoothing"),
        ("Overtraining", hyper(patience=3), "`patience`"),
        ("MaxInitializationTime", {"input_modes": ["FastFile"]}, "FastFile"),
    ],
)
def test_what_the_job_does_is_not_advised(rule: str, facts: dict[str, object], absent: str) -> None:
    assert absent in advice(rule, {})
    assert absent not in advice(rule, facts)
    assert advice(rule, facts).strip().endswith(".")
