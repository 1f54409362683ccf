"""The `kennel` command: it starts fast, and lists the real hyperparameters and metrics."""

import json
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner

from scripts.cli import app
from scripts.verbs.jobs import hyperparameters
from train import metrics
from train.config import TrainConfig

PAGE = Path(__file__).parents[2] / "docs" / "hyperparameters.md"


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, result.stdout + result.stderr


def test_metrics_are_the_metric_definitions() -> None:
    code, output = run("metrics")
    assert code == 0
    assert json.loads(output) == metrics.definitions()


def test_every_hyperparameter_is_listed() -> None:
    code, output = run("hyperparameters")
    assert code == 0
    assert all(name in output for name in TrainConfig.model_fields)


def test_a_file_of_hyperparameters_is_checked(tmp_path: Path) -> None:
    file = tmp_path / "hp.json"
    file.write_text('{"epochs": "5", "lr": "0.01"}')
    assert run("hyperparameters", "--check", str(file))[0] == 0
    file.write_text('{"epochs": "5.5", "rate": "0.01"}')
    code, output = run("hyperparameters", "--check", str(file))
    assert code == 1
    assert "epochs:" in output
    assert "rate: no such hyperparameter" in output
    file.write_text("{")
    code, output = run("hyperparameters", "--check", str(file))
    assert code == 1
    assert str(file) in output


def test_the_page_of_hyperparameters_is_up_to_date() -> None:
    command = "kennel hyperparameters --markdown > docs/hyperparameters.md"
    assert PAGE.read_text() == hyperparameters.page(), f"regenerate it: {command}"
    assert run("hyperparameters", "--markdown") == (0, PAGE.read_text())


def test_help_imports_no_slow_package() -> None:
    script = (
        "import sys; from scripts.cli import app; app(['--help'], standalone_mode=False); "
        "slow = 'torch', 'boto3', 'botocore', 'numpy', 'PIL', 'moto', 'rich.progress', 'nicegui', "
        "'matplotlib', 'debugger.report'; "
        "print('imported:', [name for name in slow if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert result.stdout.splitlines()[-1] == "imported: []"
