"""`python -m shared.unpacking xlsx|parquet < file`: its rows as an Arrow stream of text.

The stream's schema bears the header, each batch the lines, rejects and native columns of its rows as JSON. A file that
cannot be read ends it with `REFUSED` and one line of JSON on standard error. Nothing of the app is imported here but
this package: the process lives as long as one reading of one file.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator
from importlib.abc import MetaPathFinder
from time import sleep
from typing import IO, Any

import pyarrow as pa

from shared.unpacking.sheets import Sheet, UnpackError

REFUSED = 3
_MEMORY = 3 << 30
_CPU_SECONDS = 3600
_BATCH_BYTES = 4 << 20


class _NoPandas(MetaPathFinder):
    """Where pandas is installed pyarrow imports it with its first array, which takes longer than most files."""

    def find_spec(self, fullname: str, path: object, target: object = None) -> None:
        if fullname == "pandas":
            raise ModuleNotFoundError("pandas is not wanted here", name=fullname)


def main() -> int:
    """Read standard input, write standard output."""
    _bound(int(sys.argv[2]))
    sys.meta_path.insert(0, _NoPandas())
    # Standard output is the stream's alone, whatever a library prints.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        _stream(sys.argv[1], out)
    except UnpackError as error:
        return _refuse(error.code, error.message, error.line)
    except MemoryError:
        return _refuse("unreadable_file", f"The file takes more than {_MEMORY >> 30} GB of memory to read.", None)
    except BrokenPipeError:
        return 1
    except BaseException as error:  # a panic of the workbook's reader is no Exception
        return _refuse("unreadable_file", f"The file is damaged ({type(error).__name__}: {error}).", None)
    return 0


def _stream(container: str, out: IO[bytes]) -> None:
    with os.fdopen(0, "rb") as file:
        if container == "parquet":
            from shared.unpacking.columnar import read_parquet

            header, sheets = read_parquet(file)
        else:
            from shared.unpacking.workbook import read_workbook

            header, sheets = read_workbook(file)
        fields = [pa.field(str(at), pa.string()) for at in range(len(header))]
        schema = pa.schema(fields, {"header": json.dumps(header)})
        with pa.ipc.new_stream(out, schema) as stream:
            for sheet in sheets:
                for batch, about in _pieces(sheet):
                    stream.write_batch(batch, custom_metadata={"about": json.dumps(about)})


def _pieces(sheet: Sheet) -> Iterator[tuple[pa.RecordBatch, dict[str, Any]]]:
    """A sheet's rows in batches of a bounded size; its rejects come with the first."""
    rows = sheet.batch.num_rows
    step = max(1, rows // (sheet.batch.nbytes // _BATCH_BYTES + 1))
    for start in range(0, max(rows, 1), step):
        batch = sheet.batch.slice(start, step)
        lines = sheet.lines[start : start + step]
        about: dict[str, Any] = {"native": sorted(sheet.native), "rejects": list(sheet.rejects) if not start else []}
        if isinstance(lines, range):
            about["first"] = lines.start
        else:
            about["lines"] = lines
        yield batch, about


def _refuse(code: str, message: str, line: int | None) -> int:
    print("\n" + json.dumps({"code": code, "message": message, "line": line}), file=sys.stderr, flush=True)
    return REFUSED


def _bound(parent: int) -> None:
    """Take no more than a reading may, and do not outlive the process that asked for it."""
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        threading.Thread(target=_follow, args=(parent,), daemon=True).start()


def _follow(parent: int) -> None:
    while os.getppid() == parent:
        sleep(1)
    os._exit(1)


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    # Past the libraries' own clean-up, which may hang or crash after a damaged file.
    os._exit(status)
