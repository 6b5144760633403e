"""Classifiers of which little is trained: LoRA, DoRA and (IA)^3, by peft, for any encoder."""

import contextlib
import inspect
import json
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath
from typing import Literal, TypeAlias

from huggingface_hub import ModelCard
from peft import IA3Config, LoraConfig, PeftConfig, PeftModel, get_peft_model
from peft.tuners.lora.layer import MultiheadAttention as AdaptedAttention
from torch import nn
from transformers import PreTrainedModel

from hf_unlab.few_labels.heads import head_modules, name_classes
from hf_unlab.modalities.checkpoint_files import hub_name
from hf_unlab.modalities.modality import Encoder, TransformersEncoder
from hf_unlab.modalities.running import seeded
from hf_unlab.training.rates import is_within

AdapterKind: TypeAlias = Literal["lora", "dora", "ia3"]
ADAPTER_KINDS: tuple[AdapterKind, ...] = ("lora", "dora", "ia3")
CONFIG_FOLDER, LABELS_NAME = "classifier", "labels.json"
_KEPT_WHOLE = ("classifier.", "score.")
_TEXT_INPUTS = {
    "input_ids",
    "attention_mask",
    "inputs_embeds",
}  # what peft's classifiers pass on by name


def adapted(
    classifier: nn.Module,
    encoder: Encoder,
    kind: AdapterKind,
    *,
    rank: int = 8,
    seed: int = 0,
    head: Sequence[str] | None = None,
    upper: float = 1.0,
) -> PeftModel:
    """A classifier whose head is trained, and of its encoder small additions to the linear maps alone.

    LoRA adds a product of two thin matrices to each (Hu et al. 2021, https://huggingface.co/papers/2106.09685), DoRA
    a length of its own for each output as well (Liu et al. 2024, https://huggingface.co/papers/2402.09353), (IA)^3
    multiplies (Liu et al. 2022, https://huggingface.co/papers/2205.05638): the outputs of each map, or where a map is
    the narrowing one of a feed-forward layer its inputs. An encoder without linear maps has its convolutions adapted.

    torch's own attention (open_clip's vision transformers, SigLIP's pooling) is adapted by LoRA as a whole; peft has
    no DoRA and no (IA)^3 for it, which leave it as it is.

    Args:
        classifier: As `Encoder.classifier` or `read_out` makes it; it is changed in place.
        encoder: Names the linear maps, and the checkpoint.
        kind: "lora", "dora" or "ia3".
        rank: Of LoRA and DoRA; what is added has the scale 1 at any rank.
        seed: Draws the additions, which change nothing before they are trained.
        head: Names of modules that are trained as a whole; none for `encoder.model` itself. By default those that
            `head_modules` finds.
        upper: The share of the linear maps that is adapted, from the output down: nothing is kept of the layers below
            for a backward pass, which ends above them.

    Raises:
        ValueError: There is no such kind, or nothing in the encoder to adapt.

    Example:
        >>> from hf_unlab.modalities.image_text.encoder import ImageTextEncoder
        >>> from hf_unlab.testing import tiny_dual_encoder
        >>> encoder = ImageTextEncoder(tiny_dual_encoder)
        >>> model = adapted(encoder.classifier(3, seed=0), encoder, "lora", rank=2)
        >>> round(trained_share(model), 2)
        0.04
    """
    if kind not in ADAPTER_KINDS:
        raise ValueError(f"The kind of adapter is {kind!r}; choose one of {', '.join(ADAPTER_KINDS)}.")
    if rank < 1:
        raise ValueError(f"rank is {rank}; it must be at least 1.")
    head = head_modules(classifier) if head is None else list(head)
    targets = _targets(classifier, encoder, kind, head)
    targets = targets[min(len(targets) - 1, round((1 - upper) * len(targets))) :]
    task, head = _task(classifier, kind, head)
    config: PeftConfig
    if kind == "ia3":
        narrowing = [name for name in targets if _is_narrowing(classifier.get_submodule(name))]
        config = IA3Config(target_modules=targets, feedforward_modules=narrowing, modules_to_save=head, task_type=task)
    else:
        config = LoraConfig(
            r=rank,
            lora_alpha=rank,
            target_modules=targets,
            modules_to_save=head,
            task_type=task,
            use_dora=kind == "dora",
        )
    if isinstance(classifier, PreTrainedModel):  # where peft looks for the name of the base model
        classifier.name_or_path = classifier.config._name_or_path = hub_id(encoder.checkpoint) or ""
    with seeded(seed), no_old_names():
        model = get_peft_model(classifier, config)
    told = model.peft_config["default"]
    told.base_model_name_or_path = hub_id(encoder.checkpoint)
    told.modules_to_save = sorted({*told.modules_to_save})  # peft adds names of its own, some of them again
    return model


def _targets(classifier: nn.Module, encoder: Encoder, kind: AdapterKind, head: Sequence[str]) -> list[str]:
    """Names in the classifier of the encoder's linear maps."""
    parts = dict(classifier.named_modules())
    wanted = tuple(encoder.lora_modules)
    whole, endings = set(wanted), tuple(f".{name}" for name in wanted)
    found = [
        name
        for name in parts
        if (name in whole or name.endswith(endings or ("\0",))) and not is_within(f"{name}.", head)
    ]
    if kind != "lora":
        found = [name for name in found if not isinstance(parts[name], nn.MultiheadAttention)]
    if not found:
        raise ValueError(
            f"There is nothing in {type(encoder).__name__} that {kind} could adapt: it has no linear map and no "
            "convolution. Take kind='full' or 'lp-ft', or a linear probe."
        )
    return found


def _is_narrowing(part: nn.Module) -> bool:
    return isinstance(part, nn.Linear) and part.in_features > part.out_features


def _task(classifier: nn.Module, kind: AdapterKind, head: list[str]) -> tuple[str | None, list[str]]:
    """peft's task, where its AutoPeftModelForSequenceClassification can run the classifier, and the head's names.

    For that task peft keeps what is called `classifier` or `score` as a whole, which its (IA)^3 cannot merge where it
    has parts (RoBERTa's): those go without, and AutoPeftModel loads them.
    """
    known = inspect.signature(classifier.forward).parameters
    whole = list(dict.fromkeys(name.split(".")[0] if name.startswith(_KEPT_WHOLE) else name for name in head))
    is_sequences = isinstance(classifier, PreTrainedModel) and known.keys() >= _TEXT_INPUTS
    return ("SEQ_CLS", whole) if is_sequences and head and (kind != "ia3" or whole == head) else (None, head)


def hub_id(checkpoint: str | Path | None) -> str | None:
    """What of a checkpoint's name others can load it by: a Hub id; None of a folder, and of no checkpoint.

    Example:
        >>> hub_id("google-bert/bert-base-uncased"), hub_id("open_clip:hf-hub:laion/CLIP-ViT-B-32"), hub_id(".")
        ('google-bert/bert-base-uncased', 'laion/CLIP-ViT-B-32', None)
    """
    if checkpoint is None or Path(checkpoint).exists() or isinstance(checkpoint, PurePath):
        return None if checkpoint is None else hub_name(checkpoint)  # a revision that was fetched
    prefix, _, name = checkpoint.rpartition(":")
    is_id = name.count("/") <= 1 and not name.startswith((".", "/", "~"))
    return name if is_id and (not prefix or prefix.endswith("hf-hub")) else None


def save_adapter(
    model: PeftModel,
    encoder: Encoder,
    folder: str | Path,
    label_names: Sequence[str] | None = None,
    *,
    base_model: str | None = None,
    has_head: bool = True,
) -> None:
    """Saves what was trained, head included, so that peft loads it onto the classifier that it was made from.

    `adapter_config.json` names the base model by its Hub id. Of a checkpoint in a folder of one's own it names none,
    as the path would mean nothing elsewhere: `PeftModel.from_pretrained(classifier, folder)` needs none. For classes
    of transformers the configuration, with the names of the classes, goes to the folder `classifier` within: at the
    top transformers would take it for that of a whole model. Of others `labels.json` holds the names.

    Args:
        model: As `adapted` made it, trained.
        encoder: Its processor is saved, if it has one.
        folder: Made if it is not there.
        label_names: One a class.
        base_model: The Hub id, or a path from where it will be loaded, in place of the checkpoint's own.
        has_head: Whether the model is a classifier; of an encoder alone nothing is said of classes.

    Raises:
        ValueError: There are not as many names as classes, or `base_model` is an absolute path.

    Example:
        >>> save_adapter(network.module, encoder, "out/adapter", ["no", "yes"])  # doctest: +SKIP
        >>> config = AutoConfig.from_pretrained("out/adapter", subfolder="classifier")  # doctest: +SKIP
        >>> base = AutoModelForSequenceClassification.from_pretrained("bert", config=config)  # doctest: +SKIP
        >>> model = PeftModel.from_pretrained(base, "out/adapter")  # doctest: +SKIP
    """
    if base_model is not None and PurePath(base_model).is_absolute():
        raise ValueError(f"base_model is {base_model!r}, a path of this machine; give a Hub id or a relative path.")
    folder, name = Path(folder), base_model or hub_id(encoder.checkpoint)
    base = model.get_base_model()
    if not has_head:  # its configuration is that of the checkpoint
        folder.mkdir(parents=True, exist_ok=True)
    elif isinstance(base, PreTrainedModel):
        base.name_or_path = base.config._name_or_path = name or ""
        if label_names is not None:
            name_classes(base.config, label_names)
        base.config.architectures = [type(base).__name__]  # and not what the checkpoint was of
        base.config.save_pretrained(folder / CONFIG_FOLDER)
    elif label_names is not None:
        folder.mkdir(parents=True, exist_ok=True)
        content = {"id2label": dict(enumerate(label_names))}
        (folder / LABELS_NAME).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    for config in model.peft_config.values():
        config.base_model_name_or_path = name
    with no_old_names():
        model.save_pretrained(str(folder), save_embedding_layers=False)  # "auto" would ask the Hub
    _tell_base(folder / "README.md", name)
    if isinstance(encoder, TransformersEncoder):
        encoder.processor.save_pretrained(folder)


def _tell_base(path: Path, name: str | None) -> None:
    """peft writes the name of the base model to the card's metadata, and where it has none an empty one."""
    card = ModelCard.load(path)
    card.data["base_model"] = name
    tags = [tag for tag in card.data.get("tags") or [] if not tag.startswith("base_model:")]
    card.data["tags"] = sorted([*tags, f"base_model:adapter:{name}"] if name else tags)
    card.save(path)


def trained_share(model: nn.Module) -> float:
    """The weights that are trained, of all weights."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    return sum(size for size, is_trained in sizes if is_trained) / sum(size for size, _ in sizes)


@contextlib.contextmanager
def base_kept(model: nn.Module) -> Iterator[None]:
    """The weights of torch's own attention are afterwards what they were, to the last bit.

    peft adds LoRA to them in each forward pass and subtracts it behind, where rounding adds up; in inference mode it
    leaves tensors there with which nothing can be trained. Needless once LoRA of nn.MultiheadAttention computes
    beside the weights.
    """
    layers = [each.get_base_layer() for each in model.modules() if isinstance(each, AdaptedAttention)]
    owners = [(layer, "in_proj_weight") for layer in layers]
    owners += [(layer.out_proj.get_base_layer(), "weight") for layer in layers]
    kept = [(owner, name, getattr(owner, name).detach().clone()) for owner, name in owners]
    try:
        yield
    finally:
        for owner, name, weight in kept:
            delattr(owner, name)
            owner.register_parameter(name, nn.Parameter(weight, requires_grad=False))


@contextlib.contextmanager
def no_old_names() -> Iterator[None]:
    """peft asks transformers by a name of old, of which transformers warns; until peft asks by the new one."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        yield
