"""`hf-unlab doctor`: is this machine, this installation and this data ready for a run?

Nothing heavy is imported before the check that needs it: --help is quick, and a broken torch is a finding.
"""

import contextlib
import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hf_unlab.app.doctor import installation, machine
from hf_unlab.app.doctor.findings import Finding, explain, guard


def examine(argv: Sequence[str] = (), *, output_dir: str | None = None, num_examples: int = 32) -> Iterator[Finding]:
    """All checks, one finding after the other; the data is read only if some is named.

    Args:
        argv: What a recipe is told: `--config FILE.yaml` and any `--OPTION VALUE`.
        output_dir: Where the run would write, in place of what `argv` says.
        num_examples: Examples to read of each source.

    Example:
        >>> next(examine()).what
        'python'
    """
    yield from guard("packages", installation.check_packages)
    yield from guard("torchvision", installation.check_torchvision)
    settings = None
    try:
        settings = read_settings(argv) if argv else None
    except Exception as error:
        yield Finding("problem", "settings", explain(error))
    yield from guard("devices", machine.check_devices, settings)
    yield from guard("disk", machine.check_disk, output_dir or (settings and settings.output_dir))
    yield from guard("hub", machine.check_hub, bool(settings and settings.push_to_hub))
    if settings:
        from hf_unlab.app.doctor.model import check_model

        yield from guard("model", check_model, settings, fitting_objectives(argv).values())
    if settings and (settings.dataset or "--config" in argv):
        from hf_unlab.app.doctor.data import check_data
        from hf_unlab.app.doctor.labels import check_labels

        yield from guard("data", check_data, settings, num_examples, needs_distinct_examples(argv))
        yield from guard("labels", check_labels, settings)
    elif settings or not argv:
        yield Finding("ok", "data", "none was named; --config FILE.yaml or --dataset NAME has it opened and timed")


def needs_distinct_examples(argv: Sequence[str]) -> bool:
    """Whether what a recipe is told is of an objective that lets no example meet itself in a step, a contrastive one.

    Example:
        >>> needs_distinct_examples(["--dataset", "a.txt"])
        False
    """
    fitting = fitting_objectives(argv).values()
    return bool(fitting) and all(objective.trainer.needs_distinct_examples for objective in fitting)


def fitting_objectives(argv: Sequence[str]) -> dict[str, Any]:
    """The objectives that know all options of what a recipe is told; that of the YAML file's folder alone, if it does.

    Example:
        >>> list(fitting_objectives(["--sequence_length", "64"]))
        ['masked_lm']
    """
    from hf_unlab.app.yaml_values import init_fields, read_yaml
    from hf_unlab.objectives import OBJECTIVES, load_objective

    names = {word[2:].split("=")[0].replace("-", "_") for word in argv if word.startswith("--")} - {"config"}
    config = next((Path(path) for word, path in itertools.pairwise(argv) if word == "--config"), None)
    names |= read_yaml(config).keys() if config else set()
    fitting = {}
    for name in OBJECTIVES:
        with contextlib.suppress(ImportError):  # of an extra that is not installed
            objective: Any = load_objective(name)
            known = {field.name for cls in (objective.arguments, *objective.settings) for field in init_fields(cls)}
            if names <= known:
                fitting[name] = objective
    folder = config.absolute().parent.name if config else ""
    return {folder: fitting[folder]} if folder in fitting else fitting


def read_settings(argv: Sequence[str]) -> Any:
    """What a recipe would be told, by the recipes' own parser: YAML, then the command line.

    The options of all recipes are known. None is acted upon: settings for a cluster can be read on a laptop.

    Example:
        >>> read_settings(["--dataset", "builtin:docstrings", "--num_readers", "4"]).num_readers
        4
    """
    from hf_unlab.app.arguments import read_arguments
    from hf_unlab.objectives import OBJECTIVES, load_objective

    objectives, left_out = [], []
    for name in OBJECTIVES:
        try:
            objectives.append(load_objective(name))
        except ImportError as error:  # of an extra that is not installed, and not needed for the others
            left_out.append(f" The options of {name} are not known here: {error}")
    # each class once; and none beside another that is made of it
    classes = list(dict.fromkeys(cls for one in objectives for cls in (one.arguments, *one.settings)))
    classes = [cls for cls in classes if not any(other is not cls and issubclass(other, cls) for other in classes)]
    set_nothing_up = {"__post_init__": lambda self: None}
    recipe = dataclasses.make_dataclass("Recipe", (), bases=tuple(classes), namespace=set_nothing_up)
    try:
        return read_arguments(recipe, argv=argv)[0]
    except ValueError as error:
        raise ValueError(f"{error}{''.join(left_out)}") from error
