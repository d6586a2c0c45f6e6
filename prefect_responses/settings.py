"""Settings, read from `PREFECT_INTEGRATIONS_RESPONSES_*`, a profile or `prefect.toml`."""

from __future__ import annotations

from typing import ClassVar

from prefect.settings.base import PrefectBaseSettings, build_settings_config
from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict  # noqa: TC002 - pydantic reads it


class ResponsesSettings(PrefectBaseSettings):
    """Say where the ledger lies and how this process submits."""

    model_config: ClassVar[SettingsConfigDict] = build_settings_config(
        ("integrations", "responses")
    )

    ledger_url: SecretStr | None = Field(
        default=None,
        description="SQLAlchemy URL of the ledger; by default a SQLite file in Prefect's home.",
    )
    lease_seconds: float = Field(
        default=90.0,
        ge=1.0,
        le=3600.0,
        description="After how many seconds without a sign a process counts as dead.",
    )
    submit_timeout_seconds: float = Field(
        default=45.0,
        ge=0.5,
        le=3000.0,
        description="How long a whole POST may take; at most half of the lease is used.",
    )
    max_on_the_wire: int = Field(
        default=16,
        ge=1,
        le=1000,
        description=(
            "POSTs under way at once; a kill leaves at most this many in doubt. A job with more "
            "than 256 rows in flight takes a sixteenth of them, at most 64, unless this is set."
        ),
    )
