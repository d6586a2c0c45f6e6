"""What can be set about the emulator, at its start and while it runs."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from prefect_responses.emulator.latency import parse_latency
from prefect_responses.emulator.streaming.stream_plans import AfterCancel

_THIRTY_DAYS_S = 30 * 24 * 3600.0
_TEN_MINUTES_S = 600.0
_FIVE_MINUTES_S = 300.0


class EmulatorSettings(BaseModel):
    """The behaviours that sources or servers disagree about, and what is kept how long."""

    model_config = ConfigDict(extra="forbid")

    latency: str = Field(default="instant", description="A latency profile.")
    rejected_keys: list[str] = Field(default_factory=list, description="Keys answered with 401.")
    cancel_completed: Literal[200, 400, "by_stream"] = Field(
        default=400,
        description="The status that cancelling a completed response is answered with; "
        "`by_stream`: 400 for a streamed one, 200 for any other.",
    )
    unknown_parameters: Literal["reject", "ignore"] = Field(
        default="reject", description="What happens to parameters that create does not know."
    )
    unstored_background: Literal["accept", "reject"] = Field(
        default="accept", description="What happens to background together with store=false."
    )
    unstored_background_ttl_s: float = Field(
        default=_TEN_MINUTES_S, ge=0, description="How long an unstored background response stays."
    )
    response_ttl_s: float = Field(
        default=_THIRTY_DAYS_S, ge=0, description="How long a stored response stays."
    )

    stream_replay_ttl_s: float = Field(
        default=_FIVE_MINUTES_S, ge=0, description="How long a stream can be replayed."
    )
    token_rate: float | None = Field(
        default=None,
        gt=0,
        description="How many deltas a stream says in a second after its latency; "
        "null: all in the time that the latency gives.",
    )
    keepalive_s: float | None = Field(
        default=None, gt=0, description="After how much silence a stream sends a keepalive."
    )
    cancelled_stream: AfterCancel = Field(
        default=AfterCancel.FAILS, description="What a stream does when its response is cancelled."
    )
    list_responses: bool = Field(
        default=False, description="Whether stored responses can be listed, as some vendors do."
    )
    requests_per_minute: int | None = Field(
        default=None, ge=1, description="How many creates a minute has; null: no limit."
    )
    tokens_per_minute: int | None = Field(
        default=None, ge=1, description="How many tokens a minute has; null: no limit."
    )

    @field_validator("latency")
    @classmethod
    def _is_a_profile(cls, latency: str) -> str:
        parse_latency(latency)
        return latency
