"""`health.py api|workers`: exit status 0 when this container does its part. For Docker's HEALTHCHECK."""

from __future__ import annotations

import os
import re
import sys
import urllib.error
import urllib.request
from pathlib import Path


def api(port: int = 8088) -> bool:
    """A canary program ran end to end: queue, worker and API work. False while there is no worker."""
    token = os.environ.get("CODE_JUDGE_TOKEN", "")
    request = urllib.request.Request(f"http://127.0.0.1:{port}/healthz", headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=8) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


def workers() -> bool:
    """A worker process lives. One that hangs is replaced by its parent, and loses its lease to other machines."""
    lines = (path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline"))
    return any(re.search(rb"\0code_judge[.\0]supervise\0", line) for line in lines)


if __name__ == "__main__":
    sys.exit(0 if {"api": api, "workers": workers}[sys.argv[1]]() else 1)
