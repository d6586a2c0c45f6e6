"""Everything that one running emulator holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prefect_responses.emulator.clock import Clock
from prefect_responses.emulator.fault_rules import FaultRules
from prefect_responses.emulator.identifiers import Randomness
from prefect_responses.emulator.journal import Journal
from prefect_responses.emulator.latency import parse_latency
from prefect_responses.emulator.models.script import Script
from prefect_responses.emulator.rate_limits import RateLimits
from prefect_responses.emulator.settings import EmulatorSettings
from prefect_responses.emulator.stored_responses import ResponseStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from prefect_responses.emulator.faults import StreamEnding
    from prefect_responses.emulator.latency import Latency


class Emulation:
    """The clock, dice, responses, journal, faults and script of one emulator."""

    def __init__(
        self,
        *,
        seed: int | None = None,
        settings: EmulatorSettings | None = None,
        journal: Journal | None = None,
    ) -> None:
        self._settings_at_start = settings or EmulatorSettings()
        self.randomness = Randomness(seed)
        self.settings = self._settings_at_start
        self._profile = parse_latency(self.settings.latency)
        self.clock = Clock()
        self.responses = ResponseStore()
        self.journal = journal or Journal()
        self.faults = FaultRules(self.randomness.faults)
        self.script = Script()
        self.rates = RateLimits(self.settings)
        #: How to cut each stream that is being sent.
        self.open_streams: set[Callable[[StreamEnding], None]] = set()

    def reset(self, seed: int | None = None) -> None:
        """Return to the start: the same settings, and the same seed unless another is given."""
        self.randomness = Randomness(self.randomness.seed if seed is None else seed)
        self.rates = RateLimits(self._settings_at_start)
        self.change_settings(self._settings_at_start)
        self.responses.clear()
        self.journal.clear()
        self.faults = FaultRules(self.randomness.faults)
        self.script.clear()
        self.clock.restart()

    def change_settings(self, settings: EmulatorSettings) -> None:
        """Use other settings from now on; what is accepted keeps its timeline."""
        self._profile = parse_latency(settings.latency)
        self.settings = settings
        self.rates = self.rates.changed(settings)

    def draw_latency(self) -> Latency:
        """Draw how long the next response takes."""
        return self._profile.draw(self.randomness.latency)

    def cut_streams(self, ending: StreamEnding) -> int:
        """Cut all streams that are being sent; return how many those are."""
        for cut in self.open_streams:
            cut(ending)
        return len(self.open_streams)

    def state(self) -> dict[str, Any]:
        """Count what has happened."""
        terminal = self.responses.terminal_count(self.clock.now())
        return {
            "seed": self.randomness.seed,
            "accepted": len(self.responses),
            "terminal": terminal,
            "in_flight": len(self.responses) - terminal,
            "open_streams": len(self.open_streams),
            **self.journal.counts(),
        }
