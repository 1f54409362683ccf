"""The input and output of a batch transform, and the prefixes of channels."""

import pytest

from scripts.problem import Problem
from scripts.requests import hosting, objects, training
from scripts.spec import Experiment
from tests.scripts import experiments


def endpoint(**changes: object) -> dict[str, object]:
    return {"endpoint": experiments.ENDPOINTS["transform"] | changes}


@pytest.mark.parametrize(
    ("address", "sent"),
    [
        ("s3://bbb/dogs", "s3://bbb/dogs/"),
        ("s3://bbb/dogs/", "s3://bbb/dogs/"),
        ("s3://bbb", "s3://bbb/"),
        ("s3://bbb/dogs.v2", "s3://bbb/dogs.v2/"),
        ("s3://bbb/dogs/rex.JPG", "s3://bbb/dogs/rex.JPG"),
        ("s3://bbb/lines.jsonl", "s3://bbb/lines.jsonl"),
    ],
)
def test_a_folder_is_sent_with_a_slash_so_that_dogs_does_not_take_dogs_v2(
    address: str, sent: str
) -> None:
    assert objects.prefix(address) == sent
    batch = Experiment.model_validate(experiments.smallest(**endpoint(input=address)))
    job = hosting.transform_job(batch, "n", "m").parameters
    assert job["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"] == sent
    trained = Experiment.model_validate(experiments.smallest(data={"train": address}))
    (channel,) = training.training_job(trained, "n", "image").parameters["InputDataConfig"]
    assert channel["DataSource"]["S3DataSource"]["S3Uri"] == sent


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("s3://bbb/in", "s3://bbb/in"),
        ("s3://bbb/in/", "s3://bbb/in"),
        ("s3://bbb/in", "s3://bbb/in/answers"),
        ("s3://bbb/out/in", "s3://bbb/out"),
        ("s3://bbb/in", "s3://bbb"),
    ],
)
def test_answers_among_the_pictures_are_refused(source: str, target: str) -> None:
    with pytest.raises((Problem, ValueError), match="would take answers for pictures"):
        Experiment.model_validate(experiments.smallest(**endpoint(input=source, output=target)))


@pytest.mark.parametrize("target", ["s3://bbb/in-answers", "s3://bbb/out", "s3://ccc/in"])
def test_folders_next_to_each_other_are_fine(target: str) -> None:
    changes = endpoint(input="s3://bbb/in", output=target)
    Experiment.model_validate(experiments.smallest(**changes))
