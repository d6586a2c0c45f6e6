"""Print the milliseconds that an import adds, in a fresh process: `import_time.py BEFORE THEN`."""

from __future__ import annotations

import json
import sys
import time

before, then = sys.argv[1:]
exec(before)  # noqa: S102 - the statements are the parent's
began, cpu = time.perf_counter(), time.process_time()
exec(then)  # noqa: S102 - as above
took = {"wall": time.perf_counter() - began, "cpu": time.process_time() - cpu}
print(json.dumps(took))  # noqa: T201 - it is what the parent reads
