"""Thumbnails of wrong answers: the most frequent pairs, the surest of each, not too many."""

import base64
import io

import torch
from PIL import Image

from train.batches.batch import Batch
from train.recording import mistakes
from train.recording.mistakes import Mistakes


def batch(labels: list[int], side: int = 300) -> Batch:
    images = torch.zeros(len(labels), 3, side, side // 2, dtype=torch.uint8)
    images[:, 0] = 200  # red
    names = tuple(f"{number}.jpg" for number in range(len(labels)))
    return Batch(images, torch.tensor(labels), names=names)


def answered(answers: list[int], sure: list[float], classes: int = 5) -> torch.Tensor:
    logits = torch.zeros(len(answers), classes)
    logits[range(len(answers)), answers] = torch.tensor(sure)
    return logits


def test_the_surest_wrong_answers_of_the_most_frequent_pair_come_first() -> None:
    found = Mistakes()
    labels, answers = [0, 0, 0, 0, 1, 2], [1, 1, 1, 1, 0, 2]
    found.add(batch(labels), answered(answers, [1.0, 4.0, 2.0, 3.0, 9.0, 9.0]))
    taken = list(found.take())
    assert [item.name for item in taken] == ["1.jpg", "3.jpg", "2.jpg", "4.jpg"]
    assert [(item.truth, item.answer) for item in taken[:1]] == [(0, 1)]
    assert list(found.take()) == []


def test_a_thumbnail_is_a_small_jpeg_of_the_picture() -> None:
    found = Mistakes()
    found.add(batch([0]), answered([1], [5.0]))
    (item,) = found.take()
    picture = Image.open(io.BytesIO(base64.b64decode(item.thumbnail)))
    assert picture.format == "JPEG"
    assert picture.size == (48, 96)
    red, green, _ = picture.getpixel((20, 40))  # type: ignore[misc]
    assert red > 180 > 20 > green


def test_their_number_is_bounded() -> None:
    found = Mistakes()
    classes = 40
    for truth in range(classes):
        labels = [truth] * classes
        found.add(batch(labels, 20), answered(list(range(classes)), [3.0] * classes, classes))
    assert len(list(found.take())) == mistakes.MOST


def test_features_and_unnamed_pictures_have_none() -> None:
    found = Mistakes()
    features = Batch(torch.zeros(1, 8), torch.tensor([0]), names=("a",))
    unnamed = Batch(torch.zeros(1, 3, 8, 8, dtype=torch.uint8), torch.tensor([0]))
    for one in (features, unnamed):
        found.add(one, answered([1], [5.0]))
    assert list(found.take()) == []
