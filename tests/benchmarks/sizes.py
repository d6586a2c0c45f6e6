"""How much is measured: in full for the page, or just enough to see that the harness works."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Size:
    """Say how much every part measures.

    Args:
        times: how often each is measured; the median counts.
        rows: rows of the table.
        in_flight: responses under way at once.
        latency: seconds that a response takes.
        poll: seconds between two polls of the bare loops.
        task_rows: rows of Prefect's task per row.
        learns: measure the job as it learns to poll, too.
        medians: latencies that are polled, in seconds.
        lessons: responses that a poll schedule is learned from.
        learnings: how many schedules are learned.
        driven: rows of the run that polls as it has learned.
        driven_in_flight: of those, under way at once.
        many: rows of the big table.
        many_latency: seconds that its responses take.
        most: rows of the run of the ledger alone.
        reattached: responses in flight at the kill.
        imports: how often each import is measured.
        streamed: rows of the tables that are only read or written.
    """

    times: int = 3
    rows: int = 5_000
    in_flight: int = 2_000
    latency: float = 1.0
    poll: float = 0.5
    task_rows: int = 300
    learns: bool = True
    medians: tuple[float, ...] = (2.0, 20.0, 200.0)
    lessons: int = 200
    learnings: int = 300
    driven: int = 800
    driven_in_flight: int = 100
    many: int = 100_000
    many_latency: float = 0.5
    most: int = 1_000_000
    reattached: int = 10_000
    imports: int = 7
    streamed: int = 100_000


FULL = Size()
QUICK = Size(
    times=1,
    rows=20,
    in_flight=10,
    latency=0.1,
    poll=0.05,
    task_rows=3,
    learns=False,
    medians=(20.0,),
    lessons=16,
    learnings=2,
    driven=20,
    driven_in_flight=5,
    many=40,
    many_latency=0.05,
    most=1_000,
    reattached=20,
    imports=1,
    streamed=200,
)
