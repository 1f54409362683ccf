"""Names, labels, logs and rules from outside are text in a write-up: never markup, never a path."""

import re
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from PIL import Image

from debugger.recording import Writer
from debugger.records import Fired, Note, Start
from scripts.aws.trials import Trial
from scripts.photos.invoking import Answer
from scripts.spec.section import Scalar
from scripts.writeup import drawing, markdown, page
from scripts.writeup.story import Point, Prediction, Recipe, Row, Run, Story, Tuning
from tests.debugger.recorded import Made
from tests.scripts.kennel import kennel
from tests.scripts.writeup import rendered

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "![x](https://evil.example/x.png)",
    "[click](javascript:alert(1))",
    "<https://evil.example>",
    "https://evil.example www.evil.example me@evil.example @everyone #1",
    "a | b | c",
    "a \\| b",
    "``` a",
    "`a` ``b``",
    "x\n\n# A heading\n\n- a list",
    "x\r# A heading",
    "x\u2028# A heading",
    "| --- | --- |",
    "&lt;b&gt; &#60;b&#62;",
    "**bold** _it_ ~~gone~~ $\\frac{1}{2}$ $$x",
    "---",
    "===",
    "1. one",
    "\x1b[31mred\x1b[0m \x07 \u202eneves",
    "../../etc/passwd",
    "\\",
    "x" * 5_000,
]


def everywhere(name: str, out: Path, photo: Path) -> Story:
    """A story in which each text from outside is `name`."""
    row = Row(name, "training", name, 1.7e9, 60.0, name, 60.0, 0.1, 0.5)
    values: dict[str, Scalar] = {name or "x": name, "batch_size": 32}
    trials = [
        Trial(name, name, values, 0.5, 1.0, name),
        Trial(name, name, {name or "x": "b", "batch_size": 64}, 0.4, 1.0),
    ]
    body = {"labels": [name, f"{name}2", "c"], "probabilities": [0.7, 0.2, 0.1]}
    run = Run(
        row,
        hyperparameters={name: name},
        curves={
            f"{name}:loss": [Point(1, 0.5)],
            "train:loss": [Point(1, 0.5)],
            f"test:{name}": [Point(1, 0.5)],
        },
        missing=name,
        cost=name,
    )
    return Story(
        where=name,
        rows=[row],
        runs=[run],
        tunings=[Tuning(name, name or "kind", name, False, trials)],
        predictions=[
            Prediction(Answer(photo, body), folder=name),
            Prediction(Answer(Path(f"photos/{name}"), None, name)),
        ],
        endpoint=name,
        on_aws=True,
        recipe=Recipe(
            f'x = "{name}"\n```\n# out', [" ".join(name.split())], [["kennel", "train", name]]
        ),
    )


def structure(file: Path) -> list[tuple[str, object]]:
    """The elements of the page with their addresses, but not its text."""
    return [
        (tag, about.get("src") or about.get("href"))
        for tag, about in rendered.page(file).tags
        if tag != "code"  # a name is shown as code if it has no unusual characters
    ]


@pytest.fixture(scope="module")
def harmless(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, object]]:
    folder = tmp_path_factory.mktemp("harmless")
    photo = folder / "photo.png"
    Image.new("RGB", (8, 8), "red").save(photo)
    return structure(page.write(everywhere("dogs", folder, photo), folder))


@pytest.mark.parametrize("name", HOSTILE, ids=lambda name: repr(name)[:30])
def test_text_cannot_change_the_page(
    name: str, tmp_path: Path, harmless: list[tuple[str, object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The pictures of one page are drawn in another test: drawing is slow.
    for draw in ("curves", "times", "tuning", "prediction"):
        monkeypatch.setattr(drawing, draw, lambda *_: True)
    photo = tmp_path / "photo.png"
    file = page.write(everywhere(name, tmp_path, photo), tmp_path)
    assert structure(file) == harmless
    text = file.read_text(encoding="utf-8")
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u2028\u202e]", text)
    shown = rendered.page(file)
    assert len({len(row) for row in shown.cells if row[1:2] == ["training"]}) == 1
    assert len(text) < 60_000
    if name and name.isprintable() and len(name) < 500:
        assert name in shown.headings[1 + 1]  # as it was given: "Metrics of NAME"


def test_pictures_show_any_text(tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    Image.new("RGB", (8, 8), "red").save(photo)
    page.write(
        everywhere("$\\frac{$ $x_{ <b>|`x`\n\x1b[31m 狗 كلب कुत्ता", tmp_path, photo), tmp_path
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "curves-1.png", "photo.png", "prediction-1.png", "tuning-1.png", "writeup.md",
    ]  # fmt: skip


def test_names_without_letters(tmp_path: Path) -> None:
    assert "None" not in page.write(everywhere("", tmp_path, tmp_path), tmp_path).read_text()


def test_names_are_no_paths(tmp_path: Path, nowhere: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = Made(steps=4, epochs=1, layers=1, samples_every=50.0, job="../../../evil/<b>|x")
    folder = made.write(tmp_path / "a|b [x](y) <b>")
    with Writer(folder, "algo-1", 0) as writer:
        writer.write(Note(1.7e9 + 900, "<script>note</script>"))
        writer.write(Fired(1.7e9 + 900, "<script>", 1, "![x](https://evil.example/x)", {}))
    done = kennel("writeup", str(folder))
    assert done.code == 0, done.err
    assert done.out.strip() == "a-b-x-y-b-writeup/writeup.md"
    assert {path.name for path in tmp_path.iterdir()} == {folder.name, "a-b-x-y-b-writeup"}
    shown = rendered.page(tmp_path / "a-b-x-y-b-writeup" / "writeup.md")
    assert set(shown.all("img", "src")) == {"curves-1.png", "times-1.png"}
    assert shown.all("a", "href") == ["report-1.html"]
    assert made.job in shown.headings[0]


def test_a_recording_of_only_hostile_facts(tmp_path: Path, nowhere: None) -> None:
    about = {"device": "<b>", "hyperparameters": {"<i>|": "|<b>\n# x", "api_key": "s3cr3t"}}
    with Writer(tmp_path / "r", "algo-1", 0) as writer:
        writer.write(Start(1.7e9, "j", 1, 1.7e9, about))
    done = kennel("writeup", str(tmp_path / "r"), "--out", str(tmp_path / "out"))
    assert done.code == 0, done.err
    text = (tmp_path / "out" / "writeup.md").read_text()
    assert "s3cr3t" not in text
    assert '"<i>|" = "|<b>\\n# x"' in text  # inside a block of code
    assert "The job printed no metrics." in text


def test_blocks_of_code_end_where_we_say() -> None:
    content = "a\n```\n````\n# not a heading\x1b"
    html = MarkdownIt("commonmark", {"html": True}).render(markdown.block(content))
    assert html.count("<pre>") == 1
    assert "<h1>" not in html
    assert "\\x1b" in html


def test_commands_are_one_word_for_each_name() -> None:
    assert "'a; rm -rf ~'" in markdown.commands([["kennel", "report", "a; rm -rf ~"]])
