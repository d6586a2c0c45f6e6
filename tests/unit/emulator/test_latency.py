"""Latency profiles are read from one line and drawn from the seed."""

from __future__ import annotations

from statistics import median, quantiles

import pytest

from prefect_responses.emulator.identifiers import Randomness
from prefect_responses.emulator.latency import UnreadableProfileError, parse_latency


def draws(profile: str, seed: int, count: int = 2000) -> list[float]:
    random = Randomness(seed).latency
    latencies = [parse_latency(profile).draw(random) for _ in range(count)]
    return [latency.queued_s + latency.in_progress_s for latency in latencies]


def test_instant_and_constant_draw_nothing() -> None:
    assert draws("instant", 1, 3) == [0, 0, 0]
    assert draws("constant:2.0", 1, 3) == pytest.approx([2, 2, 2])


def test_uniform_stays_between_its_bounds() -> None:
    drawn = draws("uniform:1,3", 1)

    assert 1 <= min(drawn) < 1.1
    assert 2.9 < max(drawn) <= 3


def test_lognormal_has_the_median_and_the_95th_percentile_asked_for() -> None:
    drawn = draws("lognormal:median=2,p95=12", 1, 20_000)

    assert median(drawn) == pytest.approx(2, rel=0.05)
    assert quantiles(drawn, n=20)[-1] == pytest.approx(12, rel=0.1)


def test_equal_seeds_draw_equal_latencies() -> None:
    assert draws("uniform:1,3", 5) == draws("uniform:1,3", 5)
    assert draws("uniform:1,3", 5) != draws("uniform:1,3", 6)


@pytest.mark.parametrize(
    "text", ["", "slow", "constant", "constant:x", "uniform:1", "lognormal:median=5,p95=2"]
)
def test_other_texts_are_refused_with_the_forms_to_write(text: str) -> None:
    with pytest.raises(UnreadableProfileError, match="lognormal:median=SECONDS"):
        parse_latency(text)
