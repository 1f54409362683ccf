"""The text of a first experiment file, for photos and an account that were looked at."""

from dataclasses import dataclass

_TEXT = """\
# {pictures:,} pictures in {classes:,} classes ({split}). Every key: docs/reference/experiment.md
{labels}name = "{name}"
region = "{region}"
role = "arn:{partition}:iam::{account}:role/kennel-{name}"  # `kennel setup` creates it
output = "s3://{bucket}/{name}/jobs"

[images]  # `kennel build` and `kennel push --tag {tag}` put them there
train = "{registry}/kennel-train:{tag}"
serve = "{registry}/kennel-serve:{tag}"
serve_cpu = "{registry}/kennel-serve-cpu:{tag}"  # where there is no GPU: a tenth of the size

[data]  # kennel data upload {photos} s3://{bucket}/{name}/photos{unpacks}
photos = "s3://{bucket}/{name}/photos"

[hyperparameters]  # `kennel hyperparameters` lists them
architecture = "resnet50"
trainable = "head"  # "all" trains the backbone too: better on many photos, and much longer
epochs = 3

[training]
instance_type = "{training}"
max_run_seconds = 7200  # the most that a job can cost

[tuning]  # "sweep": all trials in one job; "grid": one job for each
strategy = "sweep"
ranges = {{ learning_rate = [0.001, 0.01, 0.1], batch_size = {batch_sizes} }}

[endpoint]
kind = "realtime"
instance_type = "{hosting}"
ttl_hours = 8  # the endpoint ends by itself
"""
_BATCH_SIZES = (16, 32, 64, 128)


@dataclass(frozen=True)
class Photos:
    """What a folder of photos holds."""

    folder: str
    pictures: int
    classes: int
    train: int
    has_splits: bool
    labels: tuple[str, ...] = ()  # sentences about the tables that have them
    is_archive: bool = False


@dataclass(frozen=True)
class Home:
    """Where the experiment will run."""

    partition: str
    account: str
    region: str
    on_aws: bool


def text(name: str, photos: Photos, home: Home, tag: str) -> str:
    """Return the TOML text of an experiment that trains on these photos.

    Args:
        name: the experiment's name.
        photos: what was found in the folder.
        home: the account, or an emulator.
        tag: of the images.
    """
    fitting = [size for size in _BATCH_SIZES if size * 4 <= photos.train]
    bucket = f"kennel-{home.account}-{home.region}" if home.on_aws else f"kennel-{name}"
    large = photos.pictures > 1_000
    return _TEXT.format(
        name=name,
        pictures=photos.pictures,
        classes=photos.classes,
        split="with splits" if photos.has_splits else "the job splits off valid and test",
        labels="".join(f"# {sentence}\n" for sentence in photos.labels),
        unpacks=" (it unpacks the archive)" if photos.is_archive else "",
        region=home.region,
        partition=home.partition,
        account=home.account,
        bucket=bucket,
        registry=f"{home.account}.dkr.ecr.{home.region}.amazonaws.com",
        tag=tag,
        photos=photos.folder,
        training="ml.g5.xlarge" if home.on_aws and large else "ml.m5.xlarge",
        hosting="ml.m5.large",
        batch_sizes=fitting[-3:] or [8],
    )
