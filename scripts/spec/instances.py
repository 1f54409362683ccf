"""SageMaker's instance types: which have GPUs, and which have local disks."""

# Source: the families' pages in the EC2 documentation. Unlisted families count as having neither.
_GPU = ("p2", "p3", "p3dn", "p4d", "p4de", "p5", "p5e", "p5en", "p6-b200", "p6-b300", "p6e-gb200",
        "g4dn", "g5", "g6", "g6e", "gr6", "g7e")  # fmt: skip
_LOCAL_DISK = ("p3dn", "p4d", "p4de", "p5", "p5e", "p5en", "p6-b200", "p6-b300", "p6e-gb200",
               "g4dn", "g5", "g6", "g6e", "gr6", "g7e", "trn1", "trn1n", "trn2",
               "c5d", "c6id", "c6gd", "m5d", "m6id", "m6gd", "r5d", "r6id", "r6gd")  # fmt: skip


def family(instance_type: str) -> str:
    """Return `g5` for `ml.g5.xlarge`."""
    return instance_type.removeprefix("ml.").split(".")[0]


def has_gpu(instance_type: str) -> bool:
    """Whether the instance type has an NVIDIA GPU."""
    return family(instance_type) in _GPU


def has_local_disk(instance_type: str) -> bool:
    """Whether it has a local NVMe disk. SageMaker refuses a KMS key for those."""
    return family(instance_type) in _LOCAL_DISK
