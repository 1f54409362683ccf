"""The split: by each picture's own name, so that nothing that is added moves a picture."""

import unicodedata
from collections import Counter
from pathlib import Path

import pytest

from pictures.digest import digest
from pictures.picture import Picture, Splits
from pictures.split import draw, split

SHARES = {"valid": 0.15, "test": 0.15}


def pictures(counts: dict[str, int]) -> list[Picture]:
    return [
        Picture(Path(f"/photos/{folder}/{index}.jpg"), label, name=f"{index}.jpg", size=index)
        for label, folder in enumerate(sorted(counts))
        for index in range(counts[folder])
    ]


def parts(counts: dict[str, int], split_seed: int = 0) -> dict[Path, str]:
    train, others = split(pictures(counts), sorted(counts), SHARES, split_seed)
    named = {"train": train} | others
    return {one.path: part for part, own in named.items() for one in own}


@pytest.mark.parametrize("split_seed", range(5))
def test_added_pictures_and_classes_move_no_other(split_seed: int) -> None:
    before = parts({f"c{number}": 60 for number in range(20)}, split_seed)
    more = {f"c{number}": 61 + number for number in range(20)} | {"a_first": 30, "z_last": 5}
    after = parts(more, split_seed)
    assert {path: after[path] for path in before} == before
    assert len(after) > len(before)


def test_the_parts_have_their_shares() -> None:
    counts = Counter(parts({f"c{number}": 100 for number in range(100)}).values())
    for name, share in {"train": 0.7, **SHARES}.items():
        assert counts[name] / 10_000 == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize("split_seed", range(20))
def test_the_smallest_classes_have_one_picture_in_each_part_that_they_can_fill(
    split_seed: int,
) -> None:
    found = parts({str(size): size for size in range(1, 10)}, split_seed)
    for size in range(1, 10):
        own = {part for path, part in found.items() if path.parent.name == str(size)}
        assert own == set(["train", "valid", "test"][:size])


def test_another_split_seed_gives_another_split() -> None:
    counts = {"cat": 100, "dog": 100}
    assert parts(counts) == parts(counts)
    assert parts(counts, 1) != parts(counts)


def test_a_share_of_nothing_gets_nothing() -> None:
    own = pictures({"cat": 5, "dog": 50})
    train, others = split(own, ["cat", "dog"], {"valid": 0.2, "test": 0}, 0)
    assert others["test"] == ()
    assert len(train) + len(others["valid"]) == 55


def test_pictures_that_belong_together_stay_together() -> None:
    own = pictures({"cat": 200, "dog": 200})
    groups = [own[start : start + 4] for start in range(0, 100, 4)]
    train, others = split(own, ["cat", "dog"], SHARES, 0, together=[*groups, own[3:5]])
    where = {one: part for part, all_ in {"train": train, **others}.items() for one in all_}
    assert len(where) == 400
    assert all(len({where[one] for one in group}) == 1 for group in groups)
    assert len({where[one] for one in own[:8]}) == 1  # two groups that share a picture
    assert {where[group[0]] for group in groups} == {"train", "valid", "test"}


def test_a_copy_with_a_longer_name_does_not_move_its_original() -> None:
    own = pictures({"cat": 100, "dog": 100})
    copies = [Picture(one.path.with_name(f"0 ({one.path.name})"), one.label) for one in own]
    before = split(own, ["cat", "dog"], SHARES, 0)
    together = list(zip(own, copies, strict=True))
    after = split([*own, *copies], ["cat", "dog"], SHARES, 0, together=together)
    assert set(before[0]) < set(after[0])
    assert set(before[1]["test"]) < set(after[1]["test"])


def test_pictures_of_an_earlier_test_stay_in_the_test() -> None:
    own = pictures({"cat": 50, "dog": 50})
    train, _ = split(own, ["cat", "dog"], SHARES, 0)
    _, others = split(own, ["cat", "dog"], SHARES, 0, tested=train[:20])
    assert set(train[:20]) <= set(others["test"])


def test_both_unicode_forms_of_a_name_are_one_name() -> None:
    composed, decomposed = (unicodedata.normalize(form, "café.jpg") for form in ("NFC", "NFD"))
    assert composed != decomposed
    names = [Picture(Path(name), 0, name=name).own_name for name in (composed, decomposed)]
    assert draw(0, "cat", names[0]) == draw(0, "cat", names[1])


def splits(root: str, count: int, size: int = 7) -> Splits:
    own = [
        Picture(Path(f"{root}/{label}/{index}"), label, name=f"{index}.jpg", size=size)
        for label in (0, 1)
        for index in range(count)
    ]
    return Splits(("cat", "dog"), ("cat", "dog"), tuple(own[2:]), tuple(own[:2]))


def test_a_digest_is_the_same_in_every_folder_and_order() -> None:
    one = splits("/here", 5)
    other = splits("/there", 5)
    other = Splits(other.folders, other.classes, other.train[::-1], other.valid)
    assert digest(one) == digest(other)


def test_a_digest_changes_with_names_sizes_classes_and_parts() -> None:
    one = splits("/here", 5)
    assert digest(one).pictures != digest(splits("/here", 6)).pictures
    assert digest(one).pictures != digest(splits("/here", 5, size=8)).pictures
    renamed = Splits(("cat", "fox"), ("cat", "fox"), one.train, one.valid)
    assert digest(one).pictures != digest(renamed).pictures
    moved = Splits(one.folders, one.classes, one.train[1:], (*one.valid, one.train[0]))
    assert digest(one).pictures == digest(moved).pictures
    assert digest(one).split != digest(moved).split
