"""A real tmpfs of a given size, mounted for one test; needs root."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def tmpfs(path: Path, size_kib: int) -> Iterator[str]:
    """Mount a tmpfs at `path` and give the path; it is gone afterwards, whatever is still open."""
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_kib}k,mode=0700", "tmpfs", str(path)], check=True, capture_output=True, timeout=10)
    try:
        yield str(path)
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True, capture_output=True, timeout=10)
