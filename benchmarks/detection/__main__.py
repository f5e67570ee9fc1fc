"""`make bench-detection`: makes the benchmark's own environment, once per set of pins, and measures in it."""

from __future__ import annotations

import os
import subprocess
import sys

import yaml

from local.environments import ensure_environment
from local.installing import ENVIRONMENTS, ROOT, InstallError
from local.locking import pins_of

REQUIREMENTS = ROOT / "requirements/detection.txt"


def main() -> int:
    """The command; its arguments are those of `benchmarks.detection.measure`."""
    pins = pins_of(REQUIREMENTS.read_text(encoding="utf-8"))
    try:
        python = ensure_environment(yaml.safe_dump({"dependencies": [{"pip": pins}]}), ENVIRONMENTS)
    except InstallError as error:
        print(error, file=sys.stderr)
        return 1
    # one thread each: times are those of one core, whatever the machine
    threads = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")}
    command = [str(python), "-m", "benchmarks.detection.measure", *sys.argv[1:]]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, **threads}).returncode


if __name__ == "__main__":
    sys.exit(main())
