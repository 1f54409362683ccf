"""Hyperparameters are read from SageMaker's strings; all errors are reported at once."""

import json

import pytest

from train.config import ConfigError, TrainConfig, from_hyperparameters


def test_values_are_read_in_every_form_that_the_sdks_send() -> None:
    config = from_hyperparameters(
        {
            "epochs": "5",
            "learning_rate": '"0.05"',
            "architecture": '"resnet18"',
            "optimizer": "adamw",
            "horizontal_flip": "False",
            "freeze_batch_norm": '"true"',
            "image_size": "null",
            "batch_size": 32,
        }
    )
    assert (config.epochs, config.learning_rate, config.batch_size) == (5, 0.05, 32)
    assert (config.architecture, config.optimizer) == ("resnet18", "adamw")
    assert not config.horizontal_flip
    assert config.freeze_batch_norm
    assert config.image_size is None


def test_hyphens_and_common_aliases_are_accepted() -> None:
    config = from_hyperparameters({"batch-size": "16", "lr": "0.1", "model": "resnext50"})
    assert (config.batch_size, config.learning_rate) == (16, 0.1)
    assert config.architecture == "resnext50_32x4d"


def test_sagemakers_own_hyperparameters_are_ignored() -> None:
    given = {"sagemaker_region": '"eu-west-1"', "_tuning_objective_metric": "validation:accuracy"}
    assert from_hyperparameters(given) == TrainConfig()


def test_every_problem_is_reported_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        from_hyperparameters(
            {
                "architecture": "resnet51",
                "epochs": "three",
                "batch_sise": "64",
                "learning_rate": "-1",
                "optimizer": "adam",
            }
        )
    message = str(caught.value)
    assert "architecture: unknown architecture 'resnet51': did you mean resnet" in message
    assert "epochs: Input should be a valid integer" in message
    assert "given 'three'" in message
    assert "batch_sise: no such hyperparameter (did you mean batch_size?)" in message
    assert "learning_rate: Input should be greater than 0" in message
    assert "optimizer: Input should be 'sgd' or 'adamw'" in message
    assert len(message.splitlines()) == 6


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"warmup_epochs": "3", "epochs": "3"}, "warmup_epochs 3 must be less than epochs 3"),
        ({"weights": "none"}, "set trainable=all, or give weights"),
        ({"valid_fraction": "0.6", "test_fraction": "0.6"}, "must leave 0.1 for train"),
        ({"lr": "0.1", "learning_rate": "0.1"}, "learning_rate is given twice"),
        ({"learning_rate": "nan"}, "learning_rate"),
        ({"epochs": "2.5"}, "epochs"),
        ({"zzz": "1"}, "zzz: no such hyperparameter$"),
    ],
)
def test_values_that_contradict_each_other_are_explained(
    given: dict[str, str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        from_hyperparameters(given)


def test_a_config_written_as_strings_is_read_back_equal() -> None:
    config = TrainConfig(epochs=7, mixup=0.2, trainable="layer4", image_size=64)
    strings = {name: json.dumps(value) for name, value in config.model_dump().items()}
    assert from_hyperparameters(strings) == config


def test_every_hyperparameter_has_a_description() -> None:
    assert all(field.description for field in TrainConfig.model_fields.values())


@pytest.mark.parametrize(
    ("architecture", "size", "problem"),
    [
        (
            "vit_b_16",
            100,
            "image_size: vit_b_16 takes multiples of 16 pixels, not 100: try 96 or 112",
        ),
        (
            "inception_v3",
            64,
            "image_size: inception_v3 takes pictures of at least 75 pixels, not 64",
        ),
        ("maxvit_t", 256, "image_size: maxvit_t takes multiples of 224 pixels"),
    ],
)
def test_a_size_that_the_network_cannot_take_is_refused_before_the_job(
    architecture: str, size: int, problem: str
) -> None:
    given = {"architecture": architecture, "image_size": size}
    with pytest.raises(ConfigError, match=problem):
        from_hyperparameters(given)


def test_other_spellings_of_an_architecture_become_torchvision_s_name() -> None:
    assert from_hyperparameters({"architecture": "ResNet-18"}).architecture == "resnet18"
