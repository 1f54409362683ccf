"""Scores equal scikit-learn's for the same answers."""

from contextlib import nullcontext

import pytest
import torch
from sklearn import metrics as reference
from torch import nn

from train.batches.batch import Batch, Unreadable
from train.learning.evaluate import Scores, evaluate
from train.recording.hooks import Hooks

CLASSES = 7


def measure(logits: torch.Tensor, labels: torch.Tensor, batch: int = 13) -> Scores:
    """Score fixed logits: each picture of 1 x 1 pixel has its logits as channels."""
    pictures = logits[:, :, None, None]
    batches = [
        Batch(pictures[i : i + batch], labels[i : i + batch]) for i in range(0, len(labels), batch)
    ]
    nothing = Unreadable(0, len(labels))
    return evaluate(
        nn.Flatten(), batches, logits.shape[1], torch.device("cpu"), nullcontext(), nothing, Hooks()
    )


@pytest.fixture
def answers() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(4)
    labels = torch.randint(0, CLASSES, (100,))
    logits = torch.randn(100, CLASSES)
    logits[torch.arange(100), labels] += 1.0
    return logits, labels


def test_scores_equal_scikit_learns(answers: tuple[torch.Tensor, torch.Tensor]) -> None:
    logits, labels = answers
    scores = measure(logits, labels)
    truth, given = labels.numpy(), logits.argmax(1).numpy()
    assert scores.count == 100
    assert scores.accuracy == pytest.approx(reference.accuracy_score(truth, given))
    assert scores.top5_accuracy == pytest.approx(
        reference.top_k_accuracy_score(truth, logits.numpy(), k=5)
    )
    assert scores.loss == pytest.approx(reference.log_loss(truth, logits.softmax(1).numpy()))
    assert (scores.confusion.numpy() == reference.confusion_matrix(truth, given)).all()
    precision, recall, _, _ = reference.precision_recall_fscore_support(truth, given)
    assert scores.precision.tolist() == pytest.approx(precision)
    assert scores.recall.tolist() == pytest.approx(recall)
    assert scores.macro_f1 == pytest.approx(reference.f1_score(truth, given, average="macro"))


def test_pictures_of_a_small_last_batch_weigh_the_same(
    answers: tuple[torch.Tensor, torch.Tensor],
) -> None:
    whole, parts = measure(*answers, batch=100), measure(*answers, batch=33)
    assert whole.loss == pytest.approx(parts.loss)
    assert whole.accuracy == parts.accuracy


def test_a_class_without_pictures_or_answers_scores_zero() -> None:
    logits = torch.tensor([[5.0, 0, 0], [5.0, 0, 0]])
    scores = measure(logits, torch.tensor([0, 1]))
    assert scores.recall.tolist() == [1, 0, 0]
    assert scores.precision.tolist() == [0.5, 0, 0]
    assert scores.macro_f1 == pytest.approx(
        (2 / 3 + 0) / 2
    )  # without the third, which has no pictures


def test_top5_accuracy_with_fewer_than_five_classes_is_one() -> None:
    assert measure(torch.eye(3), torch.arange(3)).top5_accuracy == 1
