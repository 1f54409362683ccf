"""The module that KENNEL_CODE names, its siblings, and the names that it must not use."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from serve import entry, user_code
from tests.serve.conftest import CLASSES, picture
from tests.serve.running import ROOT, serving

pytestmark = pytest.mark.usefixtures("import_state")

OUTPUT_FN = "def output_fn(prediction, accept):\n    return ','.join(NAMES), 'text/plain'\n"


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """A user's folder: inference.py, a sibling module and a sibling package."""
    folder = tmp_path / "code"
    (folder / "steps").mkdir(parents=True)
    (folder / "inference.py").write_text(
        "from labels import NAMES\nfrom steps.last import SUFFIX\n"
        "NAMES = [name + SUFFIX for name in NAMES]\n" + OUTPUT_FN
    )
    (folder / "labels.py").write_text(f"NAMES = {list(CLASSES)}\n")
    (folder / "steps" / "__init__.py").touch()
    (folder / "steps" / "last.py").write_text("SUFFIX = '!'\n")
    return folder


def test_sibling_modules_and_packages_import(code: Path, tmp_path: Path) -> None:
    module = user_code.load(str(code / "inference.py"), tmp_path / "model")
    assert [name + "!" for name in CLASSES] == module.NAMES


def test_relative_imports_are_refused_with_what_to_write(code: Path, tmp_path: Path) -> None:
    (code / "inference.py").write_text("from .labels import NAMES\n" + OUTPUT_FN)
    name = str(code / "inference.py")
    with (
        pytest.raises(user_code.CodeError, match=r"from labels import.*not `from \.labels"),
        user_code.explained(name),
    ):
        user_code.load(name, tmp_path / "model")


def test_a_module_on_the_path_has_siblings_too(code: Path, tmp_path: Path) -> None:
    sys.path.append(str(code))
    assert user_code.load("inference", tmp_path / "model").NAMES
    (code / "steps" / "infer.py").write_text("from labels import NAMES\n" + OUTPUT_FN)
    assert user_code.load("steps.infer", tmp_path / "model").NAMES


@pytest.mark.parametrize("room", user_code.ROOMS)
@pytest.mark.parametrize("kind", ["{}.py", "{}/__init__.py", "{}/names.py"])
@pytest.mark.parametrize("name", ["file", "module"])
def test_a_sibling_with_the_name_of_our_package_is_refused(
    code: Path, tmp_path: Path, room: str, kind: str, name: str
) -> None:
    sibling = code / kind.format(room)
    sibling.parent.mkdir(exist_ok=True)
    sibling.touch()
    sys.path.append(str(code))
    given = {"file": str(code / "inference.py"), "module": "inference"}[name]
    culprit = code / Path(kind.format(room)).parts[0]
    reason = re.escape(f"{culprit} has the name of Kennel's package {room}: rename it")
    for act in (user_code.check, user_code.load):
        with pytest.raises(user_code.CodeError, match=reason):
            act(given, tmp_path / "model")
    assert "labels" not in sys.modules


@pytest.mark.parametrize("name", ["classifiers.py", "my_serve.py", "train.py", "pictures.md"])
def test_other_siblings_are_fine(code: Path, tmp_path: Path, name: str) -> None:
    (code / name).touch()
    (code / "pictures").mkdir()
    (code / "pictures" / "beagle.jpg").touch()  # a folder without code is not imported
    assert user_code.check(str(code / "inference.py"), tmp_path / "model") == code


def test_our_own_packages_next_to_the_code_are_fine(tmp_path: Path) -> None:
    """As where a user's file is copied into the folder of ours."""
    assert user_code.check("serve.custom", tmp_path) == ROOT


@pytest.mark.slow
def test_the_rooms_are_those_that_the_image_holds_and_a_worker_imports() -> None:
    dockerfile = (ROOT / "docker" / "serve.Dockerfile").read_text()
    copied = re.search(r"install\.sh code entrypoint\.sh (.+)$", dockerfile, re.MULTILINE)
    assert copied
    assert sorted(copied[1].split()) == list(user_code.ROOMS)
    script = "import sys, serve.custom, serve.registry; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    ours = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert sorted(loaded & ours) == list(user_code.ROOMS)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("no_such_module", "no such module"),
        ("no_such_package.module", "no such module"),
        ("json.no_such_module", "no such module"),
        ("/nowhere/inference.py", "no such module"),
        ("sys", "no such module"),
        ("json", "none of model_fn"),
    ],
)
def test_code_that_cannot_be_used_is_refused(name: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(user_code.CodeError, match=reason):
        user_code.load(name, tmp_path)


def test_code_in_a_bundle_is_never_imported(tmp_path: Path) -> None:
    inside = tmp_path / "model" / "code" / "inference.py"
    inside.parent.mkdir(parents=True)
    inside.write_text("raise SystemExit('imported')")
    (tmp_path / "code").mkdir()
    link = tmp_path / "code" / "inference.py"
    link.symlink_to(inside)
    for act in (user_code.check, user_code.load):
        for path in (inside, link):
            with pytest.raises(user_code.CodeError, match="whose code does not run"):
                act(str(path), tmp_path / "model")
    sys.path.append(str(link.parent))
    with pytest.raises(user_code.CodeError, match="whose code does not run"):
        user_code.load("inference", tmp_path / "model")


@pytest.mark.parametrize("program", ["../model.py", "/etc/passwd.py", "inference.txt", "none.py"])
def test_a_program_that_is_not_in_the_bundle_s_code_is_refused(
    tmp_path: Path, program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "model.py").touch()
    monkeypatch.setenv("SAGEMAKER_PROGRAM", program)
    with pytest.raises(user_code.CodeError, match=r"none\.py|is not a \.py file in"):
        user_code.check("bundle", tmp_path)


def test_the_log_says_what_happens_with_a_bundle_s_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def said(name: str | None = None) -> str:
        return "\n".join(user_code.notices(name, tmp_path))

    assert said() == ""
    monkeypatch.setenv("SAGEMAKER_PROGRAM", "x.py\nforged")
    assert (
        said()
        == "SAGEMAKER_PROGRAM='x.py\\nforged' is ignored: the bundle has no such file in code/"
    )
    monkeypatch.delenv("SAGEMAKER_PROGRAM")
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "inference.py").touch()
    assert (
        said() == "the bundle's 'code/inference.py' is not run: to run it, set KENNEL_CODE=bundle"
    )
    assert said("bundle").endswith("'code/inference.py' of the bundle runs in the workers")
    (tmp_path / "code" / "requirements.txt").write_text(
        "numpy>=1\n# x\n-r a\nno-such-one==3\n\0\xff\n"
    )
    assert "nothing is installed at the start" in said()
    assert "that this image lacks: no-such-one." in said()


def test_a_bundle_next_to_the_code_must_not_be_a_package(tmp_path: Path) -> None:
    """Else `import model` in the user's code would run a file of the bundle."""
    (tmp_path / "model").mkdir()
    (tmp_path / "inference.py").write_text("NAMES = []\n" + OUTPUT_FN)
    user_code.check(str(tmp_path / "inference.py"), tmp_path / "model")
    (tmp_path / "model" / "__init__.py").touch()
    with pytest.raises(user_code.CodeError, match="could be imported"):
        user_code.check(str(tmp_path / "inference.py"), tmp_path / "model")


def test_the_server_refuses_a_collision_before_it_starts_anything(
    code: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (code / "classifier.py").touch()
    monkeypatch.setenv("KENNEL_CODE", str(code / "inference.py"))
    assert entry.main() == 2
    assert f"{code / 'classifier.py'} has the name of Kennel's package" in caplog.text


@pytest.mark.slow
def test_the_server_runs_code_with_siblings(trained: Path, code: Path, nginx: None) -> None:
    with serving(trained, KENNEL_CODE=str(code / "inference.py")) as running:
        running.wait_for_ping(200)
        answer = running.classify(picture(1))
    assert (answer.status, answer.body.decode().split(",")[1]) == (200, "Beagle!")
