"""What every test starts from: nothing of the developer's own Prefect or OpenAI settings."""

from __future__ import annotations

import os
import tempfile

_HOME = tempfile.mkdtemp(prefix="prefect-home-")
for _name in [name for name in os.environ if name.startswith(("PREFECT_", "OPENAI_"))]:
    if not _name.startswith("PREFECT_RESPONSES_TEST_"):
        del os.environ[_name]
os.environ |= {
    "PREFECT_HOME": _HOME,
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_LEVEL": "ERROR",
    "DO_NOT_TRACK": "1",
}
