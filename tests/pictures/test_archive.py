"""Archives from elsewhere: good ones are unpacked, hostile ones write nothing anywhere."""

import gzip
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pictures.archive import ArchiveError, Limits, unpack

SMALL = Limits(members=50, size=2**20, depth=8)


def member(name: str, kind: bytes = tarfile.REGTYPE, **fields: object) -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type = kind
    for key, value in fields.items():
        setattr(found, key, value)
    return found


def tar(*members: tarfile.TarInfo, form: int = tarfile.GNU_FORMAT) -> bytes:
    """An archive of the members; files hold zeros."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for one in members:
            archive.addfile(one, io.BytesIO(bytes(one.size)) if one.isreg() else None)
    return buffer.getvalue()


def raw(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    """A header alone, without the contents that it promises."""
    return member(name, kind, size=size).tobuf(tarfile.GNU_FORMAT)


def pax(name: str, **headers: str) -> bytes:
    return tar(member(name, pax_headers=headers), form=tarfile.PAX_FORMAT)


def number(value: int) -> bytes:
    """A header whose size is `value` as a binary number, which can be negative."""
    block = bytearray(raw("a", 0))
    block[124:136] = (value & (1 << 96) - 1).to_bytes(12, "big")
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


END = bytes(1024)
LINK = member("link", tarfile.SYMTYPE, linkname="/tmp")  # noqa: S108
HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "absolute": (lambda: tar(member("/etc/passwd")), "leaves the folder"),
    "absolute by two slashes": (lambda: tar(member("//x/y")), "leaves the folder"),
    "parent": (lambda: tar(member("../outside")), "leaves the folder"),
    "parent inside": (lambda: tar(member("a/../../outside")), "leaves the folder"),
    "parent at the end": (lambda: tar(member("a/..", tarfile.DIRTYPE)), "leaves the folder"),
    "parent by pax": (lambda: pax("good", path="../outside"), "leaves the folder"),
    "parent by a long name": (lambda: tar(member("a/" * 60 + "../" * 61 + "x")), "leaves"),
    "backslashes": (lambda: tar(member("..\\outside")), "leaves the folder"),
    "a drive": (lambda: tar(member("C:evil")), "leaves the folder"),
    "symbolic link": (lambda: tar(LINK), "is a symbolic link"),
    "a file through a link": (lambda: tar(LINK, member("link/outside")), "is a symbolic link"),
    "link to the folder": (
        lambda: tar(member("a", tarfile.SYMTYPE, linkname=".")),
        "is a symbolic link",
    ),
    "hard link": (
        lambda: tar(member("a", tarfile.LNKTYPE, linkname="/etc/passwd")),
        "is a hard link",
    ),
    "character device": (lambda: tar(member("a", tarfile.CHRTYPE)), "is a special file"),
    "block device": (lambda: tar(member("a", tarfile.BLKTYPE)), "is a special file"),
    "pipe": (lambda: tar(member("a", tarfile.FIFOTYPE)), "is a special file"),
    "unknown kind": (lambda: tar(member("a", b"Z")), "is a special file"),
    "sparse": (lambda: raw("a", 0, tarfile.GNUTYPE_SPARSE) + END, "is a special file"),
    "sparse by pax": (
        lambda: pax("a", **{"GNU.sparse.major": "1", "GNU.sparse.realsize": str(2**60)}),
        "is a sparse file",
    ),
    "the same file twice": (lambda: tar(member("a"), member("./a")), "occurs twice"),
    "another case": (lambda: tar(member("kennel.json"), member("KENNEL.json")), "occurs twice"),
    "another form of é": (lambda: tar(member("\u00e9"), member("e\u0301")), "occurs twice"),
    "folders in another case": (lambda: tar(member("A/x"), member("a/y")), "occurs twice"),
    "a file as a folder": (lambda: tar(member("a"), member("a/b")), "occurs twice"),
    "a folder as a file": (lambda: tar(member("a/b"), member("a")), "occurs twice"),
    "huge": (lambda: raw("a", 2**50) + END, "more bytes than are allowed"),
    "huge by pax": (lambda: pax("a", size=str(2**62)), "more bytes than are allowed"),
    "size of many digits": (lambda: pax("a", size="9" * 4000), "is not a size"),
    "negative size": (lambda: number(-1024) + END, "is negative"),
    "huge in sum": (lambda: tar(*(member(f"{i}", size=2**17) for i in range(9))), "more bytes"),
    "too many": (lambda: tar(*(member(f"{i}") for i in range(2000))), "more than 50 members"),
    "too deep": (lambda: tar(member("a/" * 40 + "b")), "more than 8 folders deep"),
    "a name with a newline": (lambda: tar(member("a\n[metric] b")), "control characters"),
    "a name with an escape": (lambda: tar(member("\x1b[2J")), "control characters"),
    "a name with a zero": (lambda: pax("a", path="a\0b"), "control characters"),
    "a name that is not UTF-8": (lambda: tar(member("\udcff")), "control characters"),
    "a long name": (lambda: tar(member("a" * 300)), "too long"),
    "no name": (lambda: tar(member("./")), "is not the name of a file"),
    "a header of 64 MiB": (lambda: raw("a", 2**26, tarfile.XHDTYPE) + END, "a header has"),
    "a long name of 64 MiB": (lambda: raw("a", 2**26, tarfile.GNUTYPE_LONGNAME), "a header has"),
    "damaged attributes": (
        lambda: raw("a", 8, tarfile.XHDTYPE) + b"99 path=".ljust(512, b"\0") + END,
        "attributes are damaged",
    ),
    "attributes of no length": (
        lambda: raw("a", 9, tarfile.XHDTYPE) + b"0 path=a\n".ljust(512, b"\0") + END,
        "attributes are damaged",
    ),
    "cut": (lambda: tar(member("a", size=4096))[:2048], "damaged or incomplete"),
    "no end": (lambda: raw("a", 0), "damaged or incomplete"),
    "no archive": (lambda: b"not an archive" * 100, "damaged or incomplete"),
    "empty": (lambda: b"", "damaged or incomplete"),
}


@pytest.mark.parametrize("packed", [True, False], ids=["gz", "tar"])
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_archives_are_refused(name: str, packed: bool, tmp_path: Path) -> None:
    make, message = HOSTILE[name]
    data = gzip.compress(make(), 1, mtime=0) if packed else make()
    parent = tmp_path / "parent"
    parent.mkdir()
    (parent / "archive").write_bytes(data)
    with pytest.raises(ArchiveError, match=f"archive.*{message}") as raised:
        unpack(parent / "archive", parent / "folder", limits=SMALL)
    assert str(raised.value).isprintable()
    assert [path.name for path in tmp_path.iterdir()] == ["parent"]
    assert sorted(path.name for path in parent.iterdir()) == ["archive", "folder"]
    assert not list((parent / "folder").iterdir())


def test_a_bomb_is_refused_by_its_ratio(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.tar.gz"
    with gzip.open(bomb, "wb", 9) as file:
        file.write(raw("zeros", 2**27) + bytes(2**27) + END)
    assert bomb.stat().st_size < 2**18
    with pytest.raises(ArchiveError, match="more bytes than are allowed"):
        unpack(bomb, tmp_path / "folder")


def test_a_bomb_after_the_end_is_refused(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.tar.gz"
    bomb.write_bytes(gzip.compress(tar(member("a")) + bytes(2**22)))
    with pytest.raises(ArchiveError, match="more bytes than are allowed"):
        unpack(bomb, tmp_path / "folder", limits=SMALL)


def test_a_changed_byte_of_a_gzipped_archive_is_found(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(tar(member("a", size=10)), mtime=0))
    packed[-8] ^= 1  # the checksum
    (tmp_path / "a.tar.gz").write_bytes(packed)
    with pytest.raises(ArchiveError, match="CRC check failed"):
        unpack(tmp_path / "a.tar.gz", tmp_path / "folder")


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_good_archives_are_unpacked(form: int, mode: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    for name in ("kennel.json", "a/b/c.txt", "a/" + "long" * 30 + "/" + "name" * 24, "a/empty"):
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(len(name) * 37) if "empty" not in name else b"")
    (source / "a" / "b" / "c.txt").chmod(0o4777)
    packed = tmp_path / "model.tar.gz"
    with tarfile.open(packed, mode, format=form) as archive:  # type: ignore[call-overload]
        archive.add(source, ".")
    files = unpack(packed, tmp_path / "out")
    made = {path.relative_to(source) for path in source.rglob("*") if path.is_file()}
    assert {path.relative_to(tmp_path / "out") for path in files} == made
    for path in made:
        assert (tmp_path / "out" / path).read_bytes() == (source / path).read_bytes()
    assert not (tmp_path / "out" / "a" / "b" / "c.txt").stat().st_mode & 0o7000


def test_names_outside_ascii_and_large_sizes_by_pax(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(pax("ignored", path="Küvasz/柴犬.json", size="0"))
    (file,) = unpack(tmp_path / "a.tar", tmp_path / "out")
    assert file == tmp_path / "out" / "Küvasz" / "柴犬.json"


def test_only_wanted_files_are_written(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(tar(member("./x/a", size=9), member("b", size=3 * 2**20)))
    files = unpack(tmp_path / "a.tar", tmp_path / "out", wanted="x/a".__eq__)
    assert files == [tmp_path / "out" / "x" / "a"]
    assert not (tmp_path / "out" / "b").exists()


def test_a_folder_that_is_not_empty_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(tar(member("b")))
    with pytest.raises(ArchiveError, match="is not empty"):
        unpack(tmp_path / "a.tar", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar"]
