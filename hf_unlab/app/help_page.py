"""What `--help` of a recipe shows: its own settings, and of TrainingArguments' hundred those that runs often set."""

import argparse
import shutil

HELP_ALL = "--help-all"
# Of the fields of classes that are not ours.
OFTEN_SET = (
    *("output_dir", "max_steps", "num_train_epochs", "seed"),
    *("per_device_train_batch_size", "per_device_eval_batch_size", "gradient_accumulation_steps"),
    *("learning_rate", "lr_scheduler_type", "warmup_steps", "weight_decay", "max_grad_norm", "optim"),
    *("bf16", "activation_checkpointing", "torch_compile", "use_cpu", "fsdp", "dataloader_num_workers"),
    *("eval_strategy", "eval_steps", "save_strategy", "save_steps", "save_total_limit", "load_best_model_at_end"),
    *("logging_steps", "report_to", "push_to_hub", "hub_model_id"),
)
_LONGEST_LINE, _LEFT = 100, 34  # columns of the page, and of an option with its value
_MOST_CHOICES = 8  # that are listed


def hide_rarely_set(group: argparse._ArgumentGroup, owner: type) -> None:
    """Leave out of a group most of what is not ours, and what a class derived from it has without a word of help.

    Args:
        group: Options of a class, which are still understood.
        owner: The class.
    """
    is_ours = not owner.__module__.startswith("transformers.")
    is_derived = any(base.__module__.startswith("transformers.") for base in owner.__mro__)
    hidden = [
        action
        for action in group._group_actions
        # --no_x false is better said as --x false
        if (is_derived and not action.help if is_ours else action.dest not in OFTEN_SET)
        or action.option_strings[0].startswith("--no_")
    ]
    for action in hidden:
        action.help = argparse.SUPPRESS
    if hidden and not is_ours:
        group.description = f"Of transformers, what runs often set; {len(hidden)} more by {HELP_ALL}."


class HelpPage(argparse.HelpFormatter):
    """A line or two an option: its name, what it takes, what it does, and a default where there is one.

    Args:
        prog: The program's name.

    Example:
        >>> parser = argparse.ArgumentParser(formatter_class=HelpPage, add_help=False)
        >>> _ = parser.add_argument("--max_steps", "--max-steps", type=int, default=5, help="Optimizer steps.")
        >>> _ = parser.add_argument("--note", help="Said at the end.")
        >>> print(parser.format_help().partition("options:\\n")[2].rstrip())
          --max_steps INT                 Optimizer steps. [5]
          --note TEXT                     Said at the end.
    """

    def __init__(self, prog: str) -> None:
        width = min(shutil.get_terminal_size().columns - 2, _LONGEST_LINE)
        super().__init__(prog, max_help_position=_LEFT, width=width)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        # each option may be written with hyphens, too: said once, in the documents
        names = [name for name in action.option_strings if name == "-h" or "-" not in name.lstrip("-")]
        name = ", ".join(names or action.option_strings)
        if action.nargs == 0:
            return name
        if action.choices and len(list(action.choices)) > _MOST_CHOICES:
            return f"{name} NAME"
        return f"{name} {self._format_args(action, self._get_default_metavar_for_optional(action))}"

    def _get_default_metavar_for_optional(self, action: argparse.Action) -> str:
        if action.type is None:
            return "TEXT"
        named = getattr(action.type, "__name__", "")
        return {"int": "INT", "float": "NUMBER", "str": "TEXT", "string_to_bool": "BOOL"}.get(named, "VALUE")

    def _get_help_string(self, action: argparse.Action) -> str:
        text = " ".join((action.help or "").split())
        if action.default in (None, argparse.SUPPRESS) or action.dest in ("help", "help_all"):
            return text
        default = getattr(action.default, "value", action.default)
        shown = " ".join(map(str, default)) if isinstance(default, list | tuple) else str(default)
        shown = shown.replace("%", "%%")
        return f"{text} [{shown}]" if shown and "[" not in text[-2:] else text
