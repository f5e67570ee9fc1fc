"""The process gives memory back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]

_SCRIPT = """
import pyarrow as pa
from shared.memory import be_economical
be_economical()
import numpy as np
for _ in range(3):
    held = [np.ones(1 << 18) for _ in range(8)]
    del held
held = pa.array(range(1000))
print(pa.default_memory_pool().backend_name, pa.system_memory_pool().bytes_allocated() > 0)
"""


def test_arrow_takes_its_memory_from_the_system_which_gets_it_back() -> None:
    command = [sys.executable, "-W", "error", "-c", _SCRIPT]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)

    assert done.stdout.split() == ["system", "True"]
