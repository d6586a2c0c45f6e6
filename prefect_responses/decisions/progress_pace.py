"""When what is known of a stream so far is worth another commit."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProgressPace:
    """Space the commits of a stream's progress: never one an event.

    Each commit holds the whole text so far, so a long text is committed less often.

    Args:
        seconds: between two commits of a short text.
        events: after which a commit of a short text does not wait for the seconds.
        characters: of text by which both grow once more.
    """

    seconds: float = 0.25
    events: int = 100
    characters: int = 250_000

    def wait(self, characters: int) -> float:
        """Return the seconds between two commits of a text of that length."""
        return self.seconds * self._stretch(characters)

    def most_events(self, characters: int) -> float:
        """Return the events after which a text of that length is committed at once."""
        return self.events * self._stretch(characters)

    def _stretch(self, characters: int) -> float:
        return 1.0 + characters / self.characters
