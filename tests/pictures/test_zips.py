"""Zip archives of photos are unpacked; hostile ones write nothing anywhere."""

import io
import stat
import zipfile
from pathlib import Path

import pytest

from pictures.archive import ArchiveError, Limits, unpack

SMALL = Limits(members=50, size=2**20, depth=8)


def zipped(
    files: dict[str, bytes], *, method: int = zipfile.ZIP_DEFLATED, mode: int | None = None
) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            if mode is not None:
                info.external_attr = mode << 16
            archive.writestr(info, content)
    return buffer.getvalue()


def encrypted() -> bytes:
    """Return a zip whose directory says that its member is encrypted."""
    data = bytearray(zipped({"a": b"abc"}))
    data[data.index(b"PK\1\2") + 8] |= 1
    return bytes(data)


def attempt(tmp_path: Path, data: bytes, limits: Limits = SMALL) -> list[str]:
    (tmp_path / "a.zip").write_bytes(data)
    out = tmp_path / "out"
    return [
        path.relative_to(out).as_posix() for path in unpack(tmp_path / "a.zip", out, limits=limits)
    ]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_of_folders_is_unpacked(tmp_path: Path, method: int) -> None:
    files = {"photos/": b"", "photos/cat/1.jpg": b"one", "photos/dog/ü.jpg": bytes(70_000)}
    assert attempt(tmp_path, zipped(files, method=method)) == list(files)[1:]
    assert (tmp_path / "out/photos/dog/ü.jpg").read_bytes() == bytes(70_000)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (zipped({"../x": b""}), "leaves the folder"),
        (zipped({"/etc/x": b""}), "leaves the folder"),
        (zipped({"C:x": b""}), "leaves the folder"),
        (zipped({"a\\..\\x": b""}), "leaves the folder"),
        (zipped({"a\nb": b""}), "control characters"),
        (zipped({"a": b"", "A": b""}), "occurs twice"),
        (zipped({"a": b"", "a/b": b""}), "occurs twice"),
        (zipped({"/".join("abcdefghij"): b""}), "folders deep"),
        (zipped({"x" * 300: b""}), "too long"),
        (zipped({str(number): b"" for number in range(51)}), "more than 50 members"),
        (zipped({"a": bytes(2**21)}), "more bytes"),
        (zipped({"a": b"/etc/passwd"}, mode=stat.S_IFLNK | 0o777), "symbolic link"),
        (zipped({"a": b""}, mode=stat.S_IFIFO), "special file"),
        (zipped({"a": b"x"}, method=zipfile.ZIP_BZIP2), "compressed by method 12"),
        (zipped({"a": b"abc" * 99})[:-30], "damaged"),
        (encrypted(), "encrypted"),
        (zipped({"a": b"abc"}, method=zipfile.ZIP_STORED).replace(b"abc", b"abd"), "damaged"),
        (b"7z\xbc\xaf\x27\x1c", "packed with 7-Zip"),
        (b"Rar!\x1a\7\1\0", "packed with RAR"),
        (b"BZh91AY", "packed with bzip2"),
        (b"\xfd7zXZ\0", "packed with xz"),
    ],
    ids=range(21),
)  # fmt: skip
def test_a_hostile_or_damaged_archive_is_refused(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(ArchiveError, match=message):
        attempt(tmp_path, data)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.zip", "out"]


def test_members_that_share_bytes_are_refused(tmp_path: Path) -> None:
    """A bomb: every entry of the directory points to the same member."""
    data = zipped({"aaa": bytes(2000), "bbb": bytes(2000)})
    start = data.rindex(b"PK\1\2")
    again = bytearray(data)
    again[start + 42 : start + 46] = bytes(4)
    with pytest.raises(ArchiveError, match=r"overlaps|damaged"):
        attempt(tmp_path, bytes(again))


def test_compression_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="more bytes"):
        attempt(tmp_path, zipped({"a": bytes(2**27)}), Limits(ratio=100))
