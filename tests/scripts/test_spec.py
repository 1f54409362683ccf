"""An experiment file is read strictly; all problems are reported at once, each with its fix."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from pictures.layouts.splits import ACCEPTED
from scripts import spec
from tests.scripts.experiments import ENDPOINTS, REGISTRY, fullest, smallest, training, tuning

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
GRID = {"strategy": "grid", "ranges": {"learning_rate": [0.01, 0.1], "epochs": [2, 3]}}


def refusal(content: dict[str, Any]) -> list[str]:
    with pytest.raises(spec.SpecError) as caught:
        spec.check(content, "pets.toml")
    first, *problems = str(caught.value).splitlines()
    assert first == "pets.toml is not valid:"
    return [line.strip() for line in problems]


def test_the_dogs_job_is_a_grid_of_eighteen() -> None:
    dogs = spec.load(EXPERIMENTS / "dogs.toml")
    assert dogs.tuning
    assert dogs.tuning.jobs == 18
    assert {name: one.values for name, one in dogs.tuning.ranges.items()} == {
        "learning_rate": [0.001, 0.01, 0.1],
        "batch_size": [32, 64, 128],
        "epochs": [2, 3],
    }
    assert dogs.hyperparameters["architecture"] == "resnet50"


@pytest.mark.parametrize("file", sorted(EXPERIMENTS.glob("*.toml")), ids=lambda file: file.stem)
def test_every_experiment_in_the_repository_is_valid(file: Path) -> None:
    assert spec.load(file).name == file.stem


@pytest.mark.parametrize("kind", ENDPOINTS)
def test_the_fullest_experiment_sets_every_key(kind: str) -> None:
    def unset(model: BaseModel, where: str) -> list[str]:
        found = [
            f"{where}{name}" for name in type(model).model_fields.keys() - model.model_fields_set
        ]
        for name in model.model_fields_set:
            value = getattr(model, name)
            inner = list(value.values()) if isinstance(value, dict) else [value]
            for one in inner:
                if isinstance(one, BaseModel):
                    found += unset(one, f"{where}{name}.")
        return found

    left = set(unset(spec.check(fullest(kind), "test"), ""))
    # Keys that conflict with others that are set, or are another form of them.
    excluded = {"training.keep_alive_seconds", "tuning.hyperband"}
    excluded |= {"vpc"} if kind == "serverless" else set()
    forms = {"data.type", "data.mode", "data.distribution"}
    assert {key for key in left if not key.startswith("tuning.ranges.")} - forms == excluded


def _ends(kind: str, machine: str | None) -> dict[str, str]:
    return {"kind": kind} | ({"instance_type": machine} if machine else {})


@pytest.mark.parametrize(
    ("endpoint", "image"),
    [
        (_ends("serverless", None), "kennel-serve-cpu"),
        (_ends("realtime", "ml.m5.large"), "kennel-serve-cpu"),
        (_ends("realtime", "ml.g5.xlarge"), "kennel-serve"),
        (_ends("multi-model", "ml.c7i.large") | {"models": "s3://models/m/"}, "kennel-serve-cpu"),
    ],
)
def test_the_small_image_serves_where_there_is_no_gpu(endpoint: dict[str, str], image: str) -> None:
    images = {name: f"{REGISTRY}/kennel-{name}:1" for name in ("train", "serve", "serve-cpu")}
    given = {name.replace("-", "_"): uri for name, uri in images.items()}
    chosen = spec.check(smallest(images=given, endpoint=endpoint), "test").serving_image
    assert chosen == f"{REGISTRY}/{image}:1"
    # Without it, the one serving image serves everywhere.
    del given["serve_cpu"]
    alone = spec.check(smallest(images=given, endpoint=endpoint), "test").serving_image
    assert alone == images["serve"]


def test_all_problems_are_reported_at_once_each_with_its_key() -> None:
    content = fullest(
        role="kennel",
        trainning={},
        hyperparameters={"epochs": 0, "lr": "fast"},
        data={"train": {"uri": "s3://a-bucket/x", "modee": "File"}},
        endpoint={"kind": "serverless", "instance_type": "ml.g5.xlarge", "memory_mb": 1000},
    )
    content["images"]["train"] = "kennel-train:local"
    del content["output"]
    del content["training"]["instance_type"]
    problems = refusal(content)
    assert problems == [
        "role: 'kennel' is not a role's ARN, such as arn:aws:iam::111122223333:role/kennel",
        "output: missing: add it",
        "images.train: 'kennel-train:local' is not an ECR URI with a tag or digest, or name@alias",
        "data.train.modee: no such key: did you mean mode?",
        "hyperparameters.epochs: Input should be greater than or equal to 1 (given 0)",
        "hyperparameters.learning_rate: Input should be a valid number, unable to parse string "
        "as a number (given 'fast')",
        "training.instance_type: missing: add it",
        "endpoint.memory_mb: input should be 1024, 2048, 3072, 4096, 5120 or 6144 (given 1000)",
        "endpoint.instance_type: serverless endpoints have no instances and no GPU: remove it, "
        'or use kind = "realtime"',
        "trainning: no such key: did you mean training?",
    ]


SERVERLESS = {"kind": "serverless"}
CONFLICTS: dict[str, tuple[dict[str, Any], str]] = {
    "grid with a continuous range": (
        {"tuning": GRID | {"ranges": {"learning_rate": {"min": 0.001, "max": 0.1}}}},
        "tuning.ranges.learning_rate: a grid needs lists of values: list them, "
        'or use strategy "random" or "bayesian"',
    ),
    "sweep without a frozen backbone": (
        {"tuning": GRID | {"strategy": "sweep"}, "hyperparameters": {"trainable": "all"}},
        "tuning.strategy: sweep trains many heads on one frozen backbone, but trainable is all: "
        "set trainable=head, or use a tuning job",
    ),
    "sweep over a hyperparameter that changes features": (
        {"tuning": {"strategy": "sweep", "ranges": {"augment": ["crop", "none"]}}},
        "tuning.strategy: augment cannot be swept, only learning_rate, batch_size, epochs, "
        "momentum, weight_decay, warmup_epochs, label_smoothing, clip_gradient_norm, patience "
        '(given \'{"augment": ["crop", "none"]}\')',
    ),
    "sweep by another objective": (
        {"tuning": GRID | {"strategy": "sweep", "objective": "validation:loss"}},
        "tuning.objective: a sweep ranks its trials by validation:accuracy: remove it",
    ),
    "31 values": (
        {"tuning": GRID | {"ranges": {"batch_size": list(range(2, 33))}}},
        "tuning.ranges.batch_size: 31 values, SageMaker takes 30: remove some",
    ),
    "wrong number of jobs": (
        {"tuning": GRID | {"max_jobs": 10}},
        "tuning.max_jobs: 10, but SageMaker runs all 4 combinations of a grid: remove it, or set 4",
    ),
    "random without a number of jobs": (
        {"tuning": GRID | {"strategy": "random"}},
        "tuning.max_jobs: strategy random needs it: the most jobs to start",
    ),
    "more jobs at once than there are": (
        {"tuning": GRID | {"parallel": 5}},
        "tuning.parallel: 5 at once, but there are 4 jobs: lower it",
    ),
    "hyperband without epochs": (
        {"tuning": tuning(strategy="hyperband", early_stopping=False)},
        "tuning.hyperband: strategy hyperband needs { min_epochs = …, max_epochs = … }",
    ),
    "hyperband with early stopping": (
        {"tuning": tuning(strategy="hyperband", hyperband={"min_epochs": 1, "max_epochs": 9})},
        "tuning.early_stopping: Hyperband stops jobs by itself: set it to false",
    ),
    "hyperband's epochs with another strategy": (
        {"tuning": tuning(hyperband={"min_epochs": 1, "max_epochs": 9})},
        "tuning.hyperband: it belongs to strategy hyperband, not bayesian: remove it",
    ),
    "hyperband's epochs reversed": (
        {"tuning": tuning(strategy="hyperband", hyperband={"min_epochs": 9, "max_epochs": 9})},
        "tuning.hyperband.max_epochs: must be more than min_epochs (9)",
    ),
    "an unknown metric": (
        {"tuning": GRID | {"objective": "validation:acc"}},
        "tuning.objective: the job has no metric validation:acc: use validation:accuracy",
    ),
    "the test set as objective": (
        {"tuning": GRID | {"objective": "test:loss"}},
        "tuning.objective: a test set that chooses the model is no longer a test: "
        "use validation:loss",
    ),
    "an unknown hyperparameter": (
        {"tuning": GRID | {"ranges": {"learning_rat": [1]}}},
        "tuning.ranges.learning_rat: no such hyperparameter (did you mean learning_rate?)",
    ),
    "one hyperparameter twice": (
        {"tuning": GRID | {"ranges": {"learning_rate": [0.1], "lr": [0.1]}}},
        "tuning.ranges.lr: learning_rate is the same hyperparameter: remove one",
    ),
    "a minimum and maximum for words": (
        {"tuning": tuning(ranges={"optimizer": {"min": 1, "max": 2}})},
        "tuning.ranges.optimizer: it is not a number: list its values",
    ),
    "a range of fractional epochs": (
        {"tuning": tuning(ranges={"epochs": {"min": 1.5, "max": 2}})},
        "tuning.ranges.epochs: it is an integer: give min and max as integers",
    ),
    "a value twice": (
        {"tuning": GRID | {"ranges": {"epochs": [2, 2]}}},
        "tuning.ranges.epochs: a value is listed twice: remove one",
    ),
    "both forms of a range": (
        {"tuning": GRID | {"ranges": {"epochs": {"values": [1], "max": 2}}}},
        "tuning.ranges.epochs: give either a list of values or min and max",
    ),
    "an empty range": (
        {"tuning": tuning(ranges={"epochs": {"min": 3, "max": 2}})},
        "tuning.ranges.epochs: give both min and max, with min less than max",
    ),
    "a log scale from zero": (
        {"tuning": tuning(ranges={"learning_rate": {"min": 0, "max": 1, "scale": "log"}})},
        "tuning.ranges.learning_rate.scale: a log scale needs min above 0 (given 0)",
    ),
    "a reverse log scale to one": (
        {"tuning": tuning(ranges={"momentum": {"min": 0, "max": 1, "scale": "reverse-log"}})},
        "tuning.ranges.momentum.scale: a reverse-log scale needs 0 <= min and max < 1",
    ),
    "a trial that the job would refuse": (
        {"tuning": GRID | {"ranges": {"batch_size": [1, 32]}}},
        "tuning.ranges.batch_size: Input should be greater than or equal to 2 (given 1)",
    ),
    "a combination that the job would refuse": (
        {"tuning": GRID, "hyperparameters": {"warmup_epochs": 2.5}},
        "tuning.ranges: warmup_epochs 2.5 must be less than epochs 2 "
        "(a trial with learning_rate 0.01, epochs 2)",
    ),
    "spot without a wait": (
        {"training": training(max_wait_seconds=None)},
        "training.max_wait_seconds: spot training needs it: the time for waiting plus running, "
        "at least max_run_seconds (3600)",
    ),
    "a wait shorter than the run": (
        {"training": training(max_wait_seconds=60)},
        "training.max_wait_seconds: 60 includes the running time, and is less than "
        "max_run_seconds (3600): raise it",
    ),
    "spot without checkpoints": (
        {"training": training(checkpoints=None)},
        "training.checkpoints: without it, an interrupted spot job starts from zero: "
        "set an s3:// folder for its checkpoints",
    ),
    "spot with a warm pool": (
        {"training": training(keep_alive_seconds=600)},
        "training.keep_alive_seconds: spot instances have no warm pool: remove one of them",
    ),
    "a wait without spot": (
        {"training": training(spot=False)},
        "training.max_wait_seconds: it is for spot training only: set spot = true, or remove it",
    ),
    "encryption with one host": (
        {"training": training(instance_count=1)},
        "training.encrypt_between_hosts: there is only one host: remove it",
    ),
    "isolated without weights": (
        {"training": training(), "data": {"train": "s3://a-bucket/x"}},
        "data.pretrained: with network isolation the job cannot download pretrained weights: "
        'add this channel with the weights file, or set hyperparameters.weights = "none"',
    ),
    "serverless with a GPU": (
        {"endpoint": SERVERLESS | {"instance_type": "ml.g5.xlarge"}},
        "endpoint.instance_type: serverless endpoints have no instances and no GPU: remove it, "
        'or use kind = "realtime"',
    ),
    "serverless in a VPC": (
        {"endpoint": SERVERLESS, "vpc": {"subnets": ["subnet-1"], "security_groups": ["sg-1"]}},
        "vpc: serverless endpoints cannot be in a VPC: remove it, or change the kind",
    ),
    "serverless in isolation": (
        {"endpoint": SERVERLESS | {"network_isolation": True}},
        "endpoint.network_isolation: serverless endpoints cannot be isolated: remove it",
    ),
    "more provisioned than concurrent": (
        {"endpoint": SERVERLESS | {"provisioned": 9}},
        "endpoint.provisioned: must be at most concurrency (5)",
    ),
    "instances outside autoscaling": (
        {"endpoint": ENDPOINTS["realtime"] | {"instance_count": 9}},
        "endpoint.instance_count: 9 is outside autoscaling's 1 to 4: change one of them",
    ),
    "autoscaling reversed": (
        {
            "endpoint": ENDPOINTS["realtime"]
            | {"autoscaling": {"min": 2, "max": 1, "invocations_per_instance": 5}}
        },
        "endpoint.autoscaling.max: must be at least min (2)",
    ),
    "real-time with no instances": (
        {
            "endpoint": ENDPOINTS["realtime"]
            | {"autoscaling": {"min": 0, "max": 2, "invocations_per_instance": 5}}
        },
        'endpoint.autoscaling.min: only kind "async" can scale to 0 instances: set 1',
    ),
    "too much in flight": (
        {"endpoint": ENDPOINTS["transform"] | {"concurrent": 11}},
        "endpoint.concurrent: 11 requests of 10 MB are more than the 100 MB that SageMaker "
        "allows in flight: lower one of them",
    ),
    "an unknown rule": (
        {"debugger": {"rules": {"VanishingGradients": False}}},
        "debugger.rules: VanishingGradients: no such rule (did you mean VanishingGradient?)",
    ),
    "an unknown setting of a rule": (
        {"debugger": {"rules": {"VanishingGradient": {"actoin": "stop"}}}},
        "debugger.rules: VanishingGradient.actoin: no such parameter (did you mean action?)",
    ),
    "a wrong rule among the hyperparameters": (
        {"hyperparameters": {"debugger_rules": '{"Luck": false}'}},
        "hyperparameters.debugger_rules: Luck: no such rule",
    ),
    "an unknown collection": (
        {"debugger": {"collections": ["weights", "bias"]}},
        "debugger.collections: no collection bias: choose from losses, weights, gradients, "
        "activations, inputs (given 'weights,bias')",
    ),
    "managed rules without the debugger": (
        {"region": "us-east-1", "debugger": {"enabled": False, "managed_rules": ["Overfit"]}},
        "debugger.managed_rules: they check what the debugger records: set enabled = true",
    ),
    "an unknown managed rule": (
        {"debugger": {"managed_rules": ["ProfileReport"]}},
        "debugger.managed_rules: AWS has no rule ProfileReport for classifiers: use ProfilerReport",
    ),
    "managed rules without a region": (
        {"debugger": {"managed_rules": ["ProfilerReport"]}},
        "region: debugger.managed_rules needs it: AWS's rules depend on it",
    ),
    "managed rules in a region without them": (
        {"region": "eu-south-2", "debugger": {"managed_rules": ["ProfilerReport"]}},
        "debugger.managed_rules: AWS has none in eu-south-2: remove them",
    ),
    "a setting twice": (
        {"debugger": {"interval": 5}, "hyperparameters": {"debugger_interval": 6}},
        "hyperparameters.debugger_interval: debugger.interval sets it too: remove one",
    ),
    "steps reversed": (
        {"profiler": {"steps": "13:10"}},
        'profiler.steps: give two step numbers such as "10:13", the lower one first, or "" for '
        "none (given '13:10')",
    ),
    "one prefix for two channels": (
        {"data": {"train": "s3://a-bucket/pets", "valid": "s3://a-bucket/pets/"}},
        "data.valid: s3://a-bucket/pets/ is also given to train, or is inside it: give each "
        "channel its own pictures, or give `train` alone",
    ),
    "a channel inside another": (
        {"data": {"train": "s3://a-bucket/pets", "test": "s3://a-bucket/pets/test"}},
        "data.test: s3://a-bucket/pets/test/ is also given to train, or is inside it: give each "
        "channel its own pictures, or give `train` alone",
    ),
    "a channel that no job knows": (
        {"data": {"train": "s3://a-bucket/pets", "eval": "s3://a-bucket/eval"}},
        f"data: channel eval next to train is none that Kennel knows: rename it, or leave it out; "
        f"the names are {ACCEPTED}",
    ),
    "no kind": (
        {"endpoint": {"instance_type": "ml.m5.xlarge"}},
        "endpoint.kind: missing: add it",
    ),
}


@pytest.mark.parametrize("case", CONFLICTS)
def test_conflicts_are_reported_with_their_fix(case: str) -> None:
    changes, message = CONFLICTS[case]
    assert refusal(smallest(**changes)) == [message]


def test_rules_must_fit_into_a_hyperparameter() -> None:
    long = {"VanishingGradient": {"action": "x" * 2500}}
    problems = refusal(smallest(debugger={"rules": long}))
    assert "debugger.rules: longer than SageMaker's 2500 characters: set fewer rules" in problems


def test_an_async_endpoint_can_scale_to_no_instances() -> None:
    scaling = {"min": 0, "max": 2, "invocations_per_instance": 5}
    endpoint = ENDPOINTS["async"] | {"autoscaling": scaling}
    assert spec.check(smallest(endpoint=endpoint), "test").endpoint


def test_a_range_replaces_the_same_hyperparameter_under_any_name() -> None:
    content = smallest(tuning=GRID, hyperparameters={"lr": 0.5, "momentum": 0.8})
    assert spec.check(content, "test").fixed() == {"momentum": 0.8}


def test_settings_on_the_command_line_override_the_file(tmp_path: Path) -> None:
    changed = spec.load(
        EXPERIMENTS / "dogs.toml",
        ["training.instance_count=2", "output=s3://mine/dogs", "tags.team=vision"],
    )
    assert changed.training.instance_count == 2
    assert changed.output == "s3://mine/dogs"
    assert changed.tags == {"team": "vision"}
    with pytest.raises(spec.SpecError, match="write it as key=value"):
        spec.load(EXPERIMENTS / "dogs.toml", ["training.spot"])
    with pytest.raises(spec.SpecError, match="name is not a table"):
        spec.load(EXPERIMENTS / "dogs.toml", ["name.first=x"])
    with pytest.raises(spec.SpecError, match="give an experiment file"):
        spec.load(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("name = ")
    with pytest.raises(spec.SpecError, match=r"bad\.toml is not valid TOML"):
        spec.load(tmp_path / "bad.toml")
