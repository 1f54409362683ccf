"""Files to rows: CSV in its dialects, JSON Lines, SageMaker's manifest and augmented manifest."""

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from pictures.picture import DataError, shorten
from pictures.tables.table import Row, Table
from pictures.text import printable

_MAX_BYTES = 2**28  # a row of 100 bytes for each of 2.6 million pictures
_MAX_COLUMNS = 1000
_DELIMITERS = ",;\t|"
_METADATA = "-metadata"
_REFERENCES = ("source-ref", "image-ref")
_CLASSIFICATION = "groundtruth/image-classification"


def read(path: Path, label: str = "") -> Table:
    """Return the rows of a table.

    Args:
        path: of the file; its suffix decides, and for `.manifest` its first character.
        label: the label attribute of a Ground Truth manifest, if it has several.

    Raises:
        DataError: it cannot be read, with the line and the cure.
    """
    text = _text(path)
    if path.suffix.lower() in (".csv", ".tsv"):
        return _csv(path, text)
    if text.lstrip()[:1] == "[":
        return _manifest(path, text)
    return _json_lines(path, text, label)


def _text(path: Path) -> str:
    try:
        size = path.stat().st_size
        if size > _MAX_BYTES:
            raise DataError(
                f"the table {path} has {size:,} bytes, at most {_MAX_BYTES:,} are read: remove "
                "columns that are not needed"
            )
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"the table {path} cannot be read ({error.strerror})") from error
    form = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = data.decode(form)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise DataError(
            f"the table {path} is not UTF-8 (line {line}): save it as `CSV UTF-8`, or "
            f"`iconv -f cp1252 -t utf-8 {path.name}`"
        ) from error
    if "\0" in text:
        raise DataError(f"the table {path} has null bytes: save it again as UTF-8")
    if not text.strip():
        raise DataError(f"the table {path} is empty")
    return text


def _csv(path: Path, text: str) -> Table:
    text = text.replace("\r\n", "\n").replace("\r", "\n").lstrip("\n")
    first, _, rest = text.partition("\n")
    ahead = 0
    if first.lower().startswith("sep=") and len(first) <= 5:  # Excel's hint
        text, ahead = rest, 1
        first = rest.partition("\n")[0]
    delimiter = "\t" if path.suffix.lower() == ".tsv" else max(_DELIMITERS, key=first.count)
    lines = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
    try:
        header = [name.strip() for name in next(lines)]
        _check_header(path, header)
        rows: list[Row] = []
        for fields in lines:
            line = lines.line_num + ahead
            if not any(map(str.strip, fields)):
                continue
            if len(fields) != len(header):
                raise DataError(
                    f"{path}, line {line}: {len(fields)} columns where the header has "
                    f"{len(header)}: put texts with {delimiter!r} in quotes, or complete the row"
                )
            rows.append(Row(line, dict(zip(header, map(str.strip, fields), strict=True))))
    except csv.Error as error:
        raise DataError(
            f"{path}, line {lines.line_num + ahead}: {error}: check the quotes"
        ) from error
    return Table(path, tuple(header), tuple(rows))


def _check_header(path: Path, header: list[str]) -> None:
    if len(header) < 2 or len(header) > _MAX_COLUMNS:
        raise DataError(
            f"the table {path} has {len(header)} column ({shorten(header, 1)}): it needs a header "
            "such as `picture,label`, with commas, semicolons or tabs"
        )
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise DataError(
            f"the header of {path} has two columns {shorten(twice)}: rename one"
            if twice != [""]
            else f"the header of {path} has columns without a name: name or remove them"
        )


def _json_lines(path: Path, text: str, label: str) -> Table:
    rows: list[Row] = []
    columns: dict[str, None] = {}
    skipped: list[str] = []
    attribute = label
    for line, found in _objects(path, text):
        chosen = _ground_truth(path, line, found, attribute)
        if chosen is None:
            fields = {key: _plain(value) for key, value in found.items() if _is_plain(value)}
        else:
            attribute, name = chosen
            reference = next(str(found[key]) for key in _REFERENCES if key in found)
            fields = {_REFERENCES[0]: reference, attribute: name}
            extra = {key: _plain(value) for key, value in found.items() if _is_plain(value)}
            fields = extra | fields
            if not name:
                skipped.append(f"line {line}")
                continue
        columns |= dict.fromkeys(fields)
        rows.append(Row(line, fields))
    references = [name for name in _REFERENCES if name in columns]
    return Table(
        path,
        tuple(columns),
        tuple(Row(row.line, {key: row.fields.get(key, "") for key in columns}) for row in rows),
        picture=references[0] if references else "",
        label=attribute,
        skipped=tuple(skipped),
    )


def _objects(path: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for line, part in enumerate(text.split("\n"), 1):
        if not part.strip():
            continue
        try:
            found = json.loads(part)
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"{path}, line {line} is not JSON ({printable(str(error)[:80])}): write one object "
                "on each line"
            ) from error
        if not isinstance(found, dict):
            raise DataError(f"{path}, line {line} is not a JSON object: write {{…}} on each line")
        yield line, found


def _ground_truth(
    path: Path, line: int, found: Mapping[str, Any], attribute: str
) -> tuple[str, str] | None:
    """Return the label attribute and the class of a line by Ground Truth; else None.

    The class is empty if the line was not labelled.
    """
    if not any(key in found for key in _REFERENCES):
        return None
    jobs = {
        key.removesuffix(_METADATA): value
        for key, value in found.items()
        if key.endswith(_METADATA) and isinstance(value, dict)
    }
    if attribute and attribute not in jobs:
        return (attribute, "") if jobs and attribute not in found else None
    if not jobs:
        return None
    if not attribute:
        if len(jobs) > 1:
            raise DataError(
                f"{path}, line {line} has several label attributes ({shorten(sorted(jobs))}): set "
                "label_column to one"
            )
        attribute = next(iter(jobs))
    metadata = jobs[attribute]
    kind = metadata.get("type", _CLASSIFICATION)
    if kind != _CLASSIFICATION:
        raise DataError(
            f"{path}, line {line}: {attribute} is of {printable(str(kind)[:60])}: only "
            f"{_CLASSIFICATION} has one class for a picture"
        )
    name = metadata.get("class-name", "")
    return attribute, _plain(name) if _is_plain(name) else ""


def _manifest(path: Path, text: str) -> Table:
    """Read SageMaker's manifest: a prefix, then names below it. The folder of each is its class."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"the manifest {path} is not JSON ({error})") from error
    prefix, names = check_manifest(str(path), found)
    rows = [
        Row(number, {"picture": prefix + name, "label": PurePosixPath(name).parent.name})
        for number, name in enumerate(names, 1)
    ]
    return Table(path, ("picture", "label"), tuple(rows), "picture", "label")


def check_manifest(where: str, found: object) -> tuple[str, list[str]]:
    """Return the prefix and the names of a manifest.

    Source: SageMaker's S3DataSource.

    Raises:
        DataError: it has another form.
    """
    form = 'the form is [{"prefix": "s3://BUCKET/PHOTOS/"}, "cat/1.jpg", …]'
    if not isinstance(found, list) or not found or not isinstance(found[0], dict):
        raise DataError(f"the manifest {where} does not begin with its prefix: {form}")
    prefix = found[0].get("prefix")
    if not isinstance(prefix, str) or not prefix.startswith("s3://"):
        raise DataError(f"the manifest {where} has no prefix that begins with s3://: {form}")
    names = found[1:]
    if not names or not all(isinstance(name, str) and name for name in names):
        raise DataError(f"the manifest {where} has entries that are no names: {form}")
    return prefix, names


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int | float)


def _plain(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, float) and not math.isfinite(value):
        return ""
    return str(value).strip()
