"""Whether what `report_to` names is installed, asked before anything is trained."""

from collections.abc import Sequence

from transformers.integrations import integration_utils

# What Trainer can report to -> transformers' question whether it is there, and what to install.
_NEEDS = {
    "azure_ml": ("azureml", "azureml-sdk"),
    "clearml": ("clearml", "clearml"),
    "codecarbon": ("codecarbon", "codecarbon"),
    "comet_ml": ("comet", "comet-ml"),
    "dagshub": ("dagshub", "dagshub mlflow"),
    "dvclive": ("dvclive", "dvclive"),
    "flyte": ("flytekit", "flytekit"),
    "mlflow": ("mlflow", "mlflow"),
    "neptune": ("neptune", "neptune"),
    "swanlab": ("swanlab", "swanlab"),
    "tensorboard": ("tensorboard", "tensorboard"),
    "trackio": ("trackio", "trackio"),
    "wandb": ("wandb", "wandb"),
}


def check_reporters(names: Sequence[str]) -> None:
    """Refuse what cannot be reported to; Trainer would raise from deep within, some at the first step.

    Args:
        names: As TrainingArguments makes them of `report_to`.

    Raises:
        ValueError: Says which there are, or what to install.

    Example:
        >>> check_reporters(["paper"])
        Traceback (most recent call last):
        ValueError: report_to=paper is not known; there are none, all, azure_ml, ...
    """
    for name in names:
        if name not in integration_utils.INTEGRATION_TO_CALLBACK:
            known = ", ".join(("none", "all", *integration_utils.INTEGRATION_TO_CALLBACK))
            raise ValueError(f"report_to={name} is not known; there are {known}.")
        if name not in _NEEDS:
            continue  # of a later transformers, or kubeflow, which has no package
        question, packages = _NEEDS[name]
        if not getattr(integration_utils, f"is_{question}_available")():
            raise ValueError(
                f"report_to={name} needs a package that is not there, or not set up: pip install {packages} "
                f"(or leave {name} out of report_to)."
            )
