"""How many polls a response takes, and how late its end is noticed."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Self

from machines import Stub
from poll_simulation import TAIL, fixed_times, judge, judge_learnings, quantiles_of
from results import Figures, Part, Target

if TYPE_CHECKING:
    import subprocess

    from bench_lab import BenchLab
    from machines import Measured


def polls(lab: BenchLab) -> Part:
    """Let engines learn and poll; while they wait, simulate many learnings."""
    lab.say("polls: the engine begins")
    many, few = lab.size.driven, lab.size.driven_in_flight
    waves = [*((center, few) for center in lab.size.medians), (20.0, many)]
    with ExitStack() as stack:
        runs = [stack.enter_context(_Run.start(lab, *wave)) for wave in waves]
        simulated, targets = _simulated(lab)
        lab.say("polls: the engine goes on")
        cells = [run.cells() for run in runs]
    note = (
        f"Driven: the engine itself, after {lab.size.lessons} responses, over the "
        f"{many:,} that follow, against the stub; a clock that runs faster stands for longer "
        "latencies. What is still running counts as longer than it has run, so that a wave does "
        "not teach haste; on the way it polls a little later than the simulated schedule."
    )
    head = ("median latency", "in flight", "polls", "lag, % of the mean")
    return Part("polls", [simulated, Figures(head, cells, note)], targets)


@dataclass
class _Run:
    """An engine that learns and polls, whose clock makes *center* of the stub's latency."""

    center: float
    in_flight: int
    rows: int
    measured: Measured
    stub: Stub
    process: subprocess.Popen[str]

    @classmethod
    def start(cls, lab: BenchLab, center: float, in_flight: int) -> Self:
        """Start it, with a stub of its own."""
        size, measured = lab.size, lab.measured()
        stub = Stub(lab.servers, measured.folder)
        stub.reset(median=size.latency, tail=TAIL, scale=center / size.latency)
        measured.environment["OPENAI_BASE_URL"] = f"{stub.origin}/v1"
        told = {
            "lessons": size.lessons,
            "rows": size.driven,
            "in_flight": in_flight,
            "scale": center / size.latency,
        }
        process = measured.start("ours.py", "learn-and-poll", ledger="ledger.db", **told)
        return cls(center, in_flight, size.driven, measured, stub, process)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def cells(self) -> tuple[str, ...]:
        """Wait for its end; return what it took."""
        self.measured.told_by(self.process)
        asked = self.stub.stats()
        polled, late = asked["gets"] / self.rows, 100.0 * asked["lags"] / asked["latencies"]
        return (f"{self.center:g} s", str(self.in_flight), f"{polled:.1f}", f"{late:.1f}")


def _simulated(lab: BenchLab) -> tuple[Figures, list[Target]]:
    cells, targets = [], []
    for center in lab.size.medians:
        lab.say(f"polls: simulation, median {center:g} s")
        for lessons in (24, lab.size.lessons):
            found = judge_learnings(center, lessons, lab.size.learnings)
            many, late = [each.polls for each in found], [100.0 * each.lag for each in found]
            cells.append(
                (
                    f"{center:g} s",
                    f"learned from {lessons}",
                    *(f"{figure(each):.1f}" for each in (many, late) for figure in (fmean, max)),
                )
            )
        targets += [
            Target(f"polls a response, median {center:g} s", fmean(many), 8.0),
            Target(f"lag of the mean latency, median {center:g} s", fmean(late), 7.0, " %"),
        ]
        latencies = quantiles_of(center)
        fixed = judge(fixed_times(5.0, latencies[-1]), latencies)
        polled = (f"{fixed.polls:.1f}", "", f"{100.0 * fixed.lag:.1f}", "")
        cells.append((f"{center:g} s", "every 5 s", *polled))
    head = ("median latency", "schedule", "polls", "worst", "lag, % of the mean", "worst")
    note = (
        f"Simulated: log-normal latencies, 95 % within {TAIL:g} times the median. "
        f"{lab.size.learnings} schedules are learned anew for each line, from ends as the polls "
        "before had seen them; the mean of them, and the worst one."
    )
    return Figures(head, cells, note), targets
