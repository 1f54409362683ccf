"""No secret is printed: values whose names look like one are masked."""

import json
from pathlib import Path
from typing import Any

import pytest

from scripts.requests.secrets import MASK, looks_secret, masked
from tests.scripts.kennel import kennel
from tests.scripts.test_dry_run import DOGS, VERBS

SECRETS = (
    "HF_TOKEN wandb_api_key AWS_SECRET_ACCESS_KEY AWS_ACCESS_KEY_ID dbPassword DB_PASSWD ApiKey "
    "GitHubToken client-secret passphrase MY_PWD PrivateKey service.credentials authToken "
    "Authorization SIGNING_KEY X_AUTH_TOKEN"
).split()
PLAIN = (
    "epochs Key KmsKeyId ClientToken NextToken keyboard monkey author tokenizer Environment "
    "VolumeKmsKeyId secretary MaxPendingTime S3KeyPrefix AuthorName"
).split()
HIDDEN = "hunter2-is-secret"


@pytest.mark.parametrize("name", SECRETS)
def test_names_of_secrets(name: str) -> None:
    assert looks_secret(name)


@pytest.mark.parametrize("name", PLAIN)
def test_other_names(name: str) -> None:
    assert not looks_secret(name)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({"API_KEY": "x"}, {"API_KEY": MASK}),
        ({"a": [{"password": "x"}]}, {"a": [{"password": MASK}]}),
        ({"tokens": ["x", "y"]}, {"tokens": [MASK, MASK]}),
        ({"Tags": [{"Key": "token", "Value": "x"}]}, {"Tags": [{"Key": "token", "Value": MASK}]}),
        ([{"Name": "PWD", "Value": "x"}], [{"Name": "PWD", "Value": MASK}]),
        ({"token": "", "secret": None, "auth": True}, {"token": "", "secret": None, "auth": True}),
        ({"password": 12345}, {"password": MASK}),
        ({"url": "https://me:x@host/a:b@c"}, {"url": f"https://me:{MASK}@host/a:b@c"}),
        ({"url": "s3://bucket/a@b"}, {"url": "s3://bucket/a@b"}),
        ({"ClientToken": "x", "Key": "k", "Value": "v"},) * 2,
    ],
)
def test_values_are_masked(given: Any, shown: Any) -> None:
    assert masked(given) == shown


@pytest.fixture
def experiment(tmp_path: Path) -> str:
    """An experiment with secrets wherever a user can write a name and a value."""
    text = Path(DOGS).read_text()
    variables = f'HF_TOKEN = "{HIDDEN}"\nREGISTRY = "https://me:{HIDDEN}@host"\nPLAIN = "seen"\n'
    text += f"\n[training.environment]\n{variables}\n[endpoint.environment]\n{variables}"
    file = tmp_path / "secret.toml"
    file.write_text(text)
    return str(file)


@pytest.mark.parametrize("verb", VERBS)
def test_no_verb_prints_a_secret(verb: str, experiment: str, nowhere: None) -> None:
    arguments, _ = VERBS[verb]
    words = [experiment if word == DOGS else word for word in arguments]
    done = kennel(*words, "--dry-run")
    assert done.code == 0, done.err
    assert HIDDEN not in done.out + done.err
    if verb in ("train", "tune"):
        assert '"PLAIN": "seen"' in done.out
        assert json.loads(done.out)


def test_no_message_about_an_experiment_prints_a_secret(experiment: str, nowhere: None) -> None:
    text = Path(experiment).read_text()
    for wrong in ("typo = 1\n", "", "epochs = -1\n"):
        Path(experiment).write_text(wrong + text.replace("PLAIN =", "PLAIN = 5 #"))
        done = kennel("train", experiment, "--dry-run")
        assert done.code != 0
        assert HIDDEN not in done.out + done.err
