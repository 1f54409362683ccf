"""Labels in tables: found, read in every dialect, and refused with the line and the cure."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from pictures import channels
from pictures.picture import DataError, Splits
from pictures.tables.table import TableOptions

NAMES = [f"{number:03d}.jpg" for number in range(20)]
LABELS = ["pug" if number % 2 else "husky" for number in range(20)]
PAIRS = dict(zip(NAMES, LABELS, strict=True))


def folder(root: Path, files: Mapping[str, str | bytes], pictures: list[str] = NAMES) -> Path:
    """Write tables and pictures; the bytes of a picture are its name."""
    for name in pictures:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return root


def find(root: Path, **options: str) -> Splits:
    return channels.find(
        {"train": root},
        split_seed=0,
        valid_fraction=0.2,
        test_fraction=0.2,
        table=TableOptions(**options),
    )


def labels(splits: Splits) -> dict[str, str]:
    """Return the file's name -> its class."""
    return {
        one.path.name: splits.folders[one.label] for part in splits.parts().values() for one in part
    }


def csv(header: str = "picture,label", pairs: Mapping[str, str] = PAIRS, end: str = "\n") -> str:
    comma = next(one for one in ",;\t|" if one in header)
    lines = [header, *(f"{name}{comma}{label}" for name, label in pairs.items())]
    return "".join(line + end for line in lines)


def json_lines(picture: str, label: str, **more: object) -> str:
    lines = ({picture: name, label: PAIRS[name], **more} for name in NAMES)
    return "".join(json.dumps(line) + "\n" for line in lines)


STEMS = {name.removesuffix(".jpg"): label for name, label in PAIRS.items()}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("labels.csv", csv()),
        ("labels.csv", csv("id,breed", STEMS)),
        ("labels.csv", csv("filename,whatever")),
        ("labels.csv", csv("pretty,class")),
        ("anything.csv", csv("image_path;Label")),
        ("labels.tsv", csv("File Name\tClass Name")),
        ("labels.csv", csv("file|species")),
        ("labels.csv", csv(end="\r\n")),
        ("labels.csv", csv(end="\r")),
        ("labels.csv", "\ufeff" + csv()),
        ("labels.csv", csv("picture\tlabel").encode("utf-16")),
        ("labels.csv", "sep=;\n" + csv("picture;label")),
        ("labels.csv", csv() + "\n\n,\n"),
        ("labels.csv", csv("picture, label", {f'"{one}"': f'"{PAIRS[one]}"' for one in NAMES})),
        ("labels.csv", csv(pairs={f"./{one}": f" {two} " for one, two in PAIRS.items()})),
        ("labels.csv", csv(pairs={f"images\\train\\{one}": two for one, two in PAIRS.items()})),
        ("labels.jsonl", json_lines("file_name", "label")),
        ("metadata.ndjson", json_lines("image", "class", box=[1]).replace("\n", "\r\n\r\n")),
    ],
    ids=range(18),
)  # fmt: skip
def test_a_table_next_to_the_pictures_is_read(tmp_path: Path, name: str, text: str | bytes) -> None:
    found = find(folder(tmp_path, {name: text}))
    assert labels(found) == PAIRS
    assert found.folders == ("husky", "pug")
    assert f"labels are read from {name}: 20 rows" in found.notes[0]


def test_kaggles_dog_breeds(tmp_path: Path) -> None:
    """Labels for the flat folder train, none for test, and a sample of an answer."""
    train = [f"train/{name}" for name in NAMES]
    files = {"labels.csv": csv("id,breed", STEMS), "sample_submission.csv": "id,pug,husky\n9,0,1\n"}
    found = find(folder(tmp_path, files, [*train, "test/900.jpg", "test/901.jpg"]))
    assert labels(found) == PAIRS
    assert any("not in labels.csv: 2 (test/900.jpg, test/901.jpg)" in one for one in found.notes)
    assert any("other tables: 1 (sample_submission.csv)" in one for one in found.notes)


def test_pictures_in_a_folder_beside_the_table(tmp_path: Path) -> None:
    files = {"labels.csv": csv()}
    assert labels(find(folder(tmp_path, files, [f"images/{name}" for name in NAMES]))) == PAIRS


def test_a_split_column_and_split_folders(tmp_path: Path) -> None:
    kinds = ["train", "Train", "TRAINING", "val", "test"] * 4
    rows = "".join(f"{n},{PAIRS[n]},{kind}\n" for n, kind in zip(NAMES, kinds, strict=True))
    found = find(folder(tmp_path / "a", {"labels.csv": "image,label,split\n" + rows}))
    assert [len(part) for part in found.parts().values()] == [12, 4, 4]
    assert found.made == ()
    places = [f"{kind.lower()}/{name}" for kind, name in zip(kinds, NAMES, strict=True)]
    found = find(folder(tmp_path / "b", {"labels.csv": csv("id,breed", STEMS)}, places))
    assert [len(part) for part in found.parts().values()] == [12, 4, 4]
    wrong = "image,label,split\n" + rows.replace("TRAINING", "later")
    with pytest.raises(DataError, match=r"line 4: 'later' is no split: the names are train: train"):
        find(folder(tmp_path / "c", {"labels.csv": wrong}))


def test_each_part_can_have_a_table(tmp_path: Path) -> None:
    """As Hugging Face's imagefolder."""
    folder(tmp_path / "train", {"metadata.csv": csv("file_name,label")})
    others = {f"x{name}": label for name, label in PAIRS.items()}
    folder(tmp_path / "valid", {"metadata.csv": csv("file_name,label", others)}, list(others))
    found = find(tmp_path)
    assert [len(part) for part in found.parts().values()] == [20, 20, 0]


def test_columns_by_option(tmp_path: Path) -> None:
    text = "a,b,c,d\n" + "".join(f"x,{name},{label},train\n" for name, label in PAIRS.items())
    folder(tmp_path, {"labels.csv": text})
    with pytest.raises(DataError, match=r"columns a, b, c, d: none is known as the picture; set"):
        find(tmp_path)
    assert labels(find(tmp_path, picture="b", label="c")) == PAIRS
    with pytest.raises(DataError, match="has no column 'e' \\(label_column\\)"):
        find(tmp_path, picture="b", label="e", file="labels.csv")


def test_two_label_columns(tmp_path: Path) -> None:
    text = "file,label,breed\n" + "".join(
        f"{name},{int(label == 'pug')},{label}\n" for name, label in PAIRS.items()
    )
    assert labels(find(folder(tmp_path / "a", {"labels.csv": text}), label="breed")) == PAIRS
    assert set(labels(find(tmp_path / "a")).values()) == {"0", "1"}  # the same in numbers
    other = text.replace("000.jpg,0", "000.jpg,1")
    with pytest.raises(DataError, match="label and breed, which differ: set label_column"):
        find(folder(tmp_path / "b", {"labels.csv": other}))


def test_numbers_as_labels_are_in_their_order(tmp_path: Path) -> None:
    pairs = {name: str(number % 11) for number, name in enumerate(NAMES * 2)}
    pairs = {f"{n:03d}.jpg": str(n % 11) for n in range(44)}
    found = find(folder(tmp_path, {"labels.csv": csv(pairs=pairs)}, list(pairs)))
    assert found.folders == tuple(map(str, range(11)))


def ground_truth(name: str, label: str, job: str = "dogs", **more: object) -> str:
    metadata = {
        "class-name": label,
        "confidence": 0.9,
        "type": "groundtruth/image-classification",
        "human-annotated": "yes",
        **more,
    }
    line = {"source-ref": f"s3://bucket/photos/{name}", job: 1, f"{job}-metadata": metadata}
    return json.dumps(line) + "\n"


def test_ground_truths_augmented_manifest(tmp_path: Path) -> None:
    lines = "".join(ground_truth(name, label) for name, label in PAIRS.items())
    failed = {"source-ref": "s3://bucket/photos/zzz.jpg", "dogs-metadata": {"failure-reason": "x"}}
    text = lines + json.dumps(failed) + "\n"
    found = find(folder(tmp_path / "a", {"output.manifest": text}))
    assert labels(found) == PAIRS
    assert "1 lines without a label (line 21)" in found.notes[0]
    nested = find(
        folder(tmp_path / "b", {"output.manifest": lines}, [f"photos/{n}" for n in NAMES])
    )
    assert labels(nested) == PAIRS


def test_a_manifest_with_several_label_attributes(tmp_path: Path) -> None:
    both = [
        json.loads(ground_truth(name, "wrong", "first")) | json.loads(ground_truth(name, label))
        for name, label in PAIRS.items()
    ]
    folder(tmp_path, {"output.manifest": "".join(json.dumps(one) + "\n" for one in both)})
    with pytest.raises(DataError, match=r"several label attributes \(dogs, first\): set label_col"):
        find(tmp_path)
    assert labels(find(tmp_path, label="dogs")) == PAIRS


def test_a_manifest_of_boxes_is_refused(tmp_path: Path) -> None:
    line = ground_truth("000.jpg", "pug", type="groundtruth/object-detection")
    with pytest.raises(DataError, match="object-detection: only groundtruth/image-classification"):
        find(folder(tmp_path, {"output.manifest": line}))


def test_a_custom_augmented_manifest(tmp_path: Path) -> None:
    lines = [
        {"image-ref": f"s3://bucket/a/b/{name}", "is-a-pug": int(label == "pug")}
        for name, label in PAIRS.items()
    ]
    text = "".join(json.dumps(one) + "\n" for one in lines)
    found = find(folder(tmp_path, {"train.manifest": text}))
    assert found.folders == ("0", "1")


def test_sagemakers_manifest_selects_pictures_of_class_folders(tmp_path: Path) -> None:
    pictures = [f"{label}/{name}" for name, label in PAIRS.items()]
    manifest = json.dumps([{"prefix": "s3://bucket/photos/"}, *pictures[:10]])
    folder(tmp_path, {"some.manifest": manifest}, pictures)
    assert len(labels(find(tmp_path))) == 20  # class folders count
    chosen = find(tmp_path, file="some.manifest")
    assert labels(chosen) == dict(list(PAIRS.items())[:10])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            csv() + "zzz.jpg,pug\n",
            r"1 pictures of .*labels.csv are not below .*zzz.jpg \(line 22\)",
        ),
        (csv() + "003.jpg,husky\n", r"003.jpg two labels, pug \(line 5\) and husky \(line 22\)"),
        (csv() + "004.jpg,\n", r"1 rows without a label \(line 22\)"),
        (csv() + ",pug\n", "line 22: the name of the picture is missing"),
        (csv() + "../../etc/passwd,pug\n", "line 22: ../../etc/passwd leaves the folder"),
        (csv() + "/etc/passwd,pug\n", "line 22: /etc/passwd leaves the folder"),
        (csv() + "C:\\x.jpg,pug\n", "leaves the folder"),
        (csv() + "005.jpg,Pug\n", "differ in case only|two labels"),
        (csv() + "005.jpg\n", "line 22: 1 columns where the header has 2"),
        (csv() + "005.jpg,pug,3\n", "line 22: 3 columns where the header has 2"),
        (csv() + '"005.jpg,pug\n', "check the quotes"),
        (csv() + f"005.jpg,{'x' * 300}\n", "cannot be the name of a class"),
        (csv() + "005.jpg,a/b\n", "cannot be the name of a class"),
        (csv("picture,label,label"), "two columns label|columns where"),
        ("label\n" + "pug\n" * 20, "1 column .*needs a header"),
        (csv()[len("picture,label\n") :], "no header: make `picture,label`|none is known"),
        ("picture,label\n", "a header and no rows"),
        (csv().encode() + b"\xe9.jpg,pug\n", r"not UTF-8 \(line 22\).*iconv"),
        (csv() + "\0", "null bytes"),
        ("", "is empty"),
    ],
    ids=range(20),
)
def test_a_table_that_is_wrong_is_refused_with_the_line(
    tmp_path: Path, text: str | bytes, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        find(folder(tmp_path, {"labels.csv": text}), file="labels.csv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"image": "000.jpg", "label": "pug"\n', "line 1 is not JSON"),
        ('["000.jpg", "pug"]\n', "does not begin with its prefix"),
        ('"000.jpg"\n', "line 1 is not a JSON object"),
        (
            '{"image": "000.jpg", "label": null}\n{"image": "001.jpg", "label": "pug"}',
            "without a l",
        ),
        ("[" * 100_000, "is not JSON"),
    ],
    ids=range(5),
)
def test_json_lines_that_are_wrong_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        find(folder(tmp_path, {"labels.jsonl": text}), file="labels.jsonl")


def test_rows_that_repeat_a_picture_are_counted(tmp_path: Path) -> None:
    found = find(folder(tmp_path, {"labels.csv": csv() + "003.jpg,pug\n"}))
    assert labels(found) == PAIRS
    assert "1 rows of labels.csv repeat a picture (line 22)" in found.notes


def test_a_name_that_fits_two_files_is_refused(tmp_path: Path) -> None:
    both = [f"{part}/{name}" for part in ("a", "b") for name in NAMES]
    with pytest.raises(DataError, match=r"000.jpg fits a/000.jpg, b/000.jpg: write its path"):
        find(folder(tmp_path, {"labels.csv": csv()}, both), file="labels.csv")


def test_class_folders_with_a_table_of_other_labels_are_unclear(tmp_path: Path) -> None:
    pictures = [f"part_{number % 2}/{name}" for number, name in enumerate(NAMES)]
    folder(tmp_path, {"metadata.csv": csv("image_id,dx", STEMS)}, pictures)
    with pytest.raises(DataError, match=r"part_0, part_1 and the table metadata.csv with other"):
        find(tmp_path)
    assert labels(find(tmp_path, file="metadata.csv")) == PAIRS
    assert find(tmp_path, file="none").folders == ("part_0", "part_1")


def test_class_folders_with_a_table_that_agrees_or_is_about_something_else(tmp_path: Path) -> None:
    pictures = [f"{label}/{name}" for name, label in PAIRS.items()]
    folder(tmp_path, {"labels.csv": csv(), "times.csv": "name,class\nx,1\n"}, pictures)
    found = find(tmp_path)
    assert labels(found) == PAIRS
    assert any("outside the class folders: 2 (labels.csv, times.csv)" in one for one in found.notes)


def test_several_tables(tmp_path: Path) -> None:
    folder(tmp_path, {"one.csv": csv(), "two.csv": csv()})
    with pytest.raises(DataError, match=r"several tables with labels \(one.csv, two.csv\): set t"):
        find(tmp_path)
    assert labels(find(tmp_path, file="two.csv")) == PAIRS
    (tmp_path / "labels.csv").write_text(csv())
    assert labels(find(tmp_path)) == PAIRS
    with pytest.raises(DataError, match=r"no table x.csv .*there is labels.csv, one.csv, two.csv"):
        find(tmp_path, file="x.csv")


def test_the_split_is_that_of_any_other_table_of_the_same_pictures(tmp_path: Path) -> None:
    first = find(folder(tmp_path / "a", {"labels.csv": csv()}))
    reverse = dict(reversed(STEMS.items()))
    second = find(folder(tmp_path / "b", {"labels.csv": csv("id;breed", reverse)}))
    for one, other in zip(first.parts().values(), second.parts().values(), strict=True):
        assert [p.path.name for p in one] == [p.path.name for p in other]
