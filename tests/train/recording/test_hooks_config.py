"""SageMaker's debughookconfig.json and profilerconfig.json are applied and never executed."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from tests.train.recorded import Recorded
from train.config import ConfigError, TrainConfig, from_hyperparameters
from train.recording.settings import Settings


def settings(
    tmp_path: Path, hook: object = None, profiler: object = None, **given: object
) -> Settings:
    job = Recorded.lay_out(tmp_path, tmp_path).job
    for name, contents in (("debughookconfig", hook), ("profilerconfig", profiler)):
        if contents is not None:
            text = contents if isinstance(contents, str) else json.dumps(contents)
            (job.config_dir / f"{name}.json").write_text(text)
    return Settings.of(from_hyperparameters(given), job)


def test_settings_come_from_hyperparameters(tmp_path: Path) -> None:
    found = settings(
        tmp_path,
        debugger_interval="7",
        debugger_collections="losses, weights",
        debugger_raw="conv",
        profiler_interval="2",
        profiler_steps="5:9",
    )
    assert found.folder == tmp_path / "checkpoints" / "recording"
    assert found.intervals == {"losses": 1, "weights": 7}
    assert (found.raw, found.profiler_interval, found.window) == ("conv", 2.0, (5, 9))
    assert found.notes == ()
    assert settings(tmp_path, profiler_steps="").window is None


def test_without_a_checkpoint_folder_the_recording_is_in_the_output(tmp_path: Path) -> None:
    job = dataclasses.replace(Recorded.lay_out(tmp_path, tmp_path).job, checkpoints=None)
    assert Settings.of(TrainConfig(), job).folder == job.output_dir / "recording"


def test_sagemakers_hook_config_is_applied(tmp_path: Path) -> None:
    """As the SDK's DebuggerHookConfig writes it, every value a string."""
    found = settings(
        tmp_path,
        {
            "LocalPath": "/opt/ml/output/tensors",
            "S3OutputPath": "s3://bucket/tensors",
            "HookParameters": {
                "save_interval": "3",
                "train.save_interval": "30",
                "eval.save_interval": "2",
                "export_tensorboard": True,
            },
            "CollectionConfigurations": [
                {"CollectionName": "weights"},
                {"CollectionName": "biases", "CollectionParameters": {"save_interval": "10"}},
                {"CollectionName": "losses", "CollectionParameters": {"save_interval": "1"}},
                {
                    "CollectionName": "mine",
                    "CollectionParameters": {"include_regex": "^fc", "save_raw_tensor": "true"},
                },
                {
                    "CollectionName": "relu_output",
                    "CollectionParameters": {"reductions": "mean,max"},
                },
            ],
        },
        debugger_raw="conv1",
    )
    assert found.folder == Path("/opt/ml/output/tensors")
    assert found.intervals == {"weights": 10, "losses": 1, "activations": 30}
    assert found.raw == "(?:conv1)|(?:^fc)"
    assert found.notes == ()


def test_a_hook_config_without_settings_changes_nothing(tmp_path: Path) -> None:
    """If the SDK enables the hook by default, it sends only an S3 path."""
    plain = settings(tmp_path)
    assert settings(tmp_path, {}) == plain
    bare = settings(tmp_path, {"S3OutputPath": "s3://b/", "CollectionConfigurations": None})
    assert bare == plain


def test_sagemakers_profiler_config_is_applied(tmp_path: Path) -> None:
    detailed = '{"StartStep": 4, "NumSteps": 2}'
    found = settings(
        tmp_path,
        profiler={
            "ProfilingIntervalInMilliseconds": 1000,
            "DisableProfiler": False,
            "ProfilingParameters": {
                "LocalPath": "/opt/ml/output/tensors",
                "DetailedProfilingConfig": detailed,
                "PythonProfilingConfig": '{"StartStep": 4, "ProfilerName": "cprofile"}',
            },
        },
    )
    assert (found.profiler_interval, found.window, found.notes) == (1.0, (4, 6), ())
    off = settings(tmp_path, profiler={"DisableProfiler": True})
    assert not off.profiler
    assert "no system metrics and no operators" in off.notes[0]


@pytest.mark.parametrize(
    ("hook", "profiler", "note"),
    [
        ("{", None, "debughookconfig.json: ignored, because it is not valid (JSONDecodeError"),
        ([1], None, "debughookconfig.json: ignored, because it is not valid (AttributeError"),
        (None, {"Speed": 3}, "profilerconfig.json: unknown parameter Speed"),
        ({"HookParameters": {"save_intervall": "3"}}, None, "unknown parameter save_intervall"),
        (
            {"HookParameters": {"save_interval": "often"}},
            None,
            "ignored, because it is not valid (ValueError",
        ),
        ({"CollectionConfigurations": [{"CollectionName": "mine"}]}, None, "mine is ignored"),
        ({"CollectionConfigurations": [{}]}, None, "ignored, because it is not valid (KeyError"),
    ],
)
def test_unusable_settings_are_noted_and_ignored(
    tmp_path: Path, hook: Any, profiler: Any, note: str
) -> None:
    found = settings(tmp_path, hook, profiler)
    assert len(found.notes) == 1
    assert note in found.notes[0]
    assert found.intervals == settings(tmp_path / "plain").intervals


def test_text_in_a_config_file_is_never_executed(tmp_path: Path) -> None:
    bad = f"__import__('pathlib').Path({str(tmp_path / 'ran')!r}).touch()"
    found = settings(tmp_path, profiler={"ProfilingParameters": {"DetailedProfilingConfig": bad}})
    assert "is not valid" in found.notes[0]
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"debugger_collections": "weights,wieghts"}, "no collection wieghts: choose from losses"),
        ({"debugger_raw": "("}, "not a regular expression"),
        ({"debugger_rules": "{"}, "not JSON"),
        ({"debugger_rules": '{"NoRule": {}}'}, "NoRule: no such rule"),
        ({"profiler_steps": "9:3"}, 'two step numbers such as "10:13"'),
        ({"profiler_interval": "0"}, "greater than or equal to 0.1"),
    ],
)
def test_wrong_settings_are_refused(given: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_hyperparameters(given)
