"""Files that are there whole or not at all."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Where to write a file, which stands at `path` only when all of it is on the disk; nothing is left by a failure.

    Args:
        path: Its folder is made if it is not there; what stands there is replaced in one step.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "folder/table.json"
        >>> with written_whole(path) as scratch:
        ...     _ = scratch.write_text("{}")
        ...     print(path.exists())
        False
        >>> [found.name for found in path.parent.iterdir()]
        ['table.json']
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield scratch
        with scratch.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(scratch, path)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise
