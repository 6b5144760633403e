"""Where built-in corpora are kept: made once, by whichever process comes first, whole or not at all."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from datasets.config import HF_CACHE_HOME


def made_once(name: str, make: Callable[[Path], None]) -> Path:
    """A folder in the cache, made on first use.

    Args:
        name: Of the folder; another content needs another name.
        make: Fills an empty folder.

    Raises:
        OSError: The cache folder (`HF_HOME`) cannot be written.
    """
    folder = Path(HF_CACHE_HOME) / "hf_unlab" / name
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{name}-"))
    try:
        make(scratch)
        scratch.rename(folder)
    except OSError:
        if not folder.is_dir():  # else another process was quicker: its folder, equal to ours, stays
            raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return folder
