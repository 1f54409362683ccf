"""Facts about where the time of the job went, from its main process."""

from debugger import records
from debugger.report import facts
from debugger.report.analysis.gathering import Gathered
from debugger.timeline import LOOP_PHASES, OCCASIONAL


def time(gathered: Gathered) -> facts.Time:
    """Return the time split."""
    split = gathered.timelines[gathered.main_process].split()
    seconds = {
        records.INITIALISATION: split.initialisation,
        **{name: float(getattr(split, name)) for name in LOOP_PHASES},
        "other": split.other,
        records.FINALISATION: split.finalisation,
    }
    total = split.total
    return facts.Time(
        seconds=total,
        parts=[
            facts.Part(name=name, seconds=took, share=took / total if total else 0.0)
            for name, took in seconds.items()
            if took or name not in OCCASIONAL
        ],
        loop=split.loop,
        train=split.train,
        evaluation=split.evaluation,
        others=split.outside,
        forward=split.forward,
        backward=split.backward,
    )
