"""How many cores there are for this process."""

import os


def num_cores() -> int:
    """Those that it may run on; where a system does not tell, all that it has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
