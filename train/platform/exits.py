"""Why a training process ended, in words, from its exit code or signal."""

import signal

JOB = "train.job"  # the module of a training process

_LIKELY = {
    signal.SIGKILL: "most likely out of memory: lower batch_size or workers, or use a larger "
    "instance",
    signal.SIGBUS: "most likely out of shared memory: set workers=0",
}


def signal_of(code: int) -> signal.Signals | None:
    """Return the signal that ended a process; None if it ended by itself.

    Args:
        code: as subprocess gives it, the negative signal, or as a shell does, 128 + signal.
    """
    number = -code if code < 0 else code - 128
    return signal.Signals(number) if number in set(signal.Signals) else None


def explain_signal(number: signal.Signals) -> str:
    """Return the signal's name, the likely cause and what to do about it."""
    likely = _LIKELY.get(number)
    return f"{number.name}, {likely}" if likely else number.name
