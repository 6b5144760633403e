"""What a recipe measures while it trains: on labels that draws are made from, never on those of the test data."""

from collections.abc import Iterable
from functools import partial
from typing import Any

from hf_unlab.evaluation.labelled import load_pool
from hf_unlab.evaluation.measuring import WITH_LABELS
from hf_unlab.modalities.modality import Modality
from hf_unlab.modalities.settings import FewLabelSettings
from hf_unlab.streams.bad_examples import Decode, Example, good_examples
from hf_unlab.streams.sources import Source
from hf_unlab.training.arguments import PretrainingArguments
from hf_unlab.training.online_evaluation import OnlineEvaluation


def online_evaluation(
    args: PretrainingArguments,
    settings: FewLabelSettings,
    training: list[Source],
    modality: Modality,
    model: Any,
    processor: Any,
    held_out_column: str | None = None,
) -> OnlineEvaluation | None:
    """The measures that `--online_measures` names.

    Args:
        args: Which, and on how many examples.
        settings: The labelled data, if there is some.
        training: The raw sources of pretraining.
        modality: Of the objective.
        model: What is trained.
        processor: Its own.
        held_out_column: Of the raw data, what is measured where there are no labels; the modality's column if None.

    Returns:
        What the trainer takes; None if no measure is named.

    Raises:
        ValueError: A measure is unknown, or needs labels and there are none.

    Example:
        >>> online = online_evaluation(args, few_label, sources, modality, model, tokenizer)  # doctest: +SKIP
    """
    if not args.online_measures:
        return None
    make_encoder = partial(_live, modality, processor)
    names, most = tuple(args.online_measures), args.online_max_examples
    if any(name in WITH_LABELS for name in names) and settings.labelled_sources(training) is not None:
        pool = load_pool(settings, training, modality, make_encoder(model), most)
        return OnlineEvaluation(make_encoder, names, pool.inputs, pool.labels, max_examples=most)
    column = held_out_column or modality.column
    decode = partial(_inputs, (column, modality.column), modality.make_decode(settings, make_encoder(model)), most)
    return OnlineEvaluation(make_encoder, names, max_examples=most, decode_held_out=decode)


def _live(modality: Modality, processor: Any, model: Any) -> Any:
    return modality.live_encoder(model, processor)


def _inputs(columns: tuple[str, str], decode: Decode | None, most: int, examples: Iterable[Example]) -> list[Any]:
    """Of the first column, which is decoded as if it were the second."""
    given, column = columns
    examples = examples if given == column else ({column: example[given]} for example in examples)
    return [good[column] for _, (_, good) in zip(range(most), good_examples(examples, decode), strict=False)]
