"""From a name or a recipe's settings to a dual encoder."""

from pathlib import Path
from typing import Any

from transformers import TrainingArguments

from hf_unlab.modalities.checkpoint_files import find_file, read_json
from hf_unlab.modalities.image_text import open_clip_dual_encoder, tiny_clip, transformers_dual_encoder
from hf_unlab.modalities.image_text.dual_encoder import DualEncoder
from hf_unlab.modalities.image_text.settings import DualEncoderSettings
from hf_unlab.modalities.text.models import first_texts, load_tokenizer, trained_once
from hf_unlab.streams.sources import Source

TINY = ("tiny", "tiny-groupnorm")  # presets whose tokenizer is trained on the captions


def load_dual_encoder(
    name: str,
    text_tower: str | None = None,
    *,
    tokenizer: Any = None,
    from_scratch: bool = False,
    image_size: int | None = None,
    lock_image: bool = False,
    patch_dropout: float = 0.0,
    logit_scale: float | None = None,
    logit_bias: float | None = None,
) -> DualEncoder:
    """A dual encoder to train: a preset from scratch, or one of open_clip's or transformers'.

    Args:
        name: One of
            - `tiny`, `tiny-groupnorm`: a small ResNet and a one-layer text tower from scratch, for minutes on a CPU;
              the second one for batches in several micro-batches (see `tiny_clip`);
            - `base`: open_clip's ViT-B-16 from scratch;
            - `open_clip:ARCHITECTURE`: any of `open_clip.list_models()` from scratch, e.g. `open_clip:ViT-B-32`;
            - `open_clip:hf-hub:ORGANISATION/NAME` or `open_clip:FOLDER`: a checkpoint of open_clip;
            - a folder, or the Hub's name, of a dual encoder of transformers (CLIP, SigLIP, ...); a folder with an
              open_clip_config.json in it is open_clip's;
            - with `text_tower`, a folder or Hub name of an image encoder of transformers.
        text_tower: A text encoder of transformers, to be joined with the image encoder `name`; the projections into
            the shared space are new.
        tokenizer: For `tiny`, which has none of its own: see `train_caption_tokenizer`.
        from_scratch: Take only the architecture of a checkpoint, with new random weights.
        image_size: Pixels of a side, for `tiny` (32) and open_clip; positions of trained weights are interpolated.
        lock_image: Train the text tower only (LiT).
        patch_dropout: Share of an image's patches left out in training (FLIP, Li et al. 2022,
            https://huggingface.co/papers/2212.00794); vision transformers of open_clip only.
        logit_scale: Start of the inverse temperature. By default the model's own (14.3; with `logit_bias` 10).
        logit_bias: For a sigmoid loss, start of the bias (SigLIP, Zhai et al. 2023,
            https://huggingface.co/papers/2303.15343: -10). Models without a bias get one in open_clip only.

    Returns:
        The model in fp32, in training mode.

    Raises:
        ValueError: There is no such model, it is no dual encoder, or it does not know one of the settings.

    Example:
        >>> model = load_dual_encoder("open_clip:ViT-S-32-alt", patch_dropout=0.5)
        >>> model.image_size, model.tokenize(["a red stone"])["input_ids"].shape
        (224, torch.Size([1, 77]))
    """
    name = {"base": "open_clip:ViT-B-16"}.get(name, name)
    if text_tower is None and _is_open_clip_on_the_hub(name):
        name = f"open_clip:hf-hub:{name}"
    is_open_clip = name.startswith("open_clip:") or (Path(name) / open_clip_dual_encoder.CONFIG_NAME).is_file()
    is_tiny = name in TINY
    if tokenizer is not None and not is_tiny:
        raise ValueError(f"The model {name!r} brings its own tokenizer; a tokenizer is given for 'tiny' only.")
    if text_tower is not None and (is_tiny or is_open_clip):
        raise ValueError(f"text_tower={text_tower!r} is joined with an image encoder of transformers, not {name!r}.")
    model: DualEncoder
    if is_open_clip:
        model = open_clip_dual_encoder.load(
            name.removeprefix("open_clip:"),
            image_size,
            patch_dropout,
            with_bias=logit_bias is not None,
            from_scratch=from_scratch,
        )
    else:
        if patch_dropout:
            raise ValueError(f"patch_dropout={patch_dropout}: {name!r} has none; open_clip's vision transformers do.")
        if is_tiny:
            model = tiny_clip.tiny_clip(tokenizer, image_size or 32, batch_norm=name == "tiny")
        elif image_size is not None:
            raise ValueError(f"image_size={image_size}: {name!r} has its own size; leave image_size out.")
        else:
            model = transformers_dual_encoder.load(name, text_tower, from_scratch=from_scratch)
    _start_logits(model, name, logit_scale, logit_bias)
    if lock_image:
        model.lock_image_tower()
    return model.train()


def _is_open_clip_on_the_hub(name: str) -> bool:
    """Whether a Hub id holds what open_clip alone loads; some hold a model of transformers as well, which is taken."""
    if ":" in name or name.count("/") != 1 or Path(name).exists():
        return False
    is_transformers = "model_type" in (read_json(name, "config.json") or {})
    return not is_transformers and find_file(name, open_clip_dual_encoder.CONFIG_NAME) is not None


def dual_encoder_for(
    settings: DualEncoderSettings, sources: list[Source], checkpoint: Path | None, args: TrainingArguments
) -> DualEncoder:
    """The model of a run: as the settings say, with `tiny`'s tokenizer trained on the captions of the data.

    The tokenizer is trained by the first process of a node and saved to the output folder, where the others read it; a
    resumed run takes its checkpoint's.

    Args:
        settings: Which model.
        sources: The raw data, read from its beginning if a tokenizer is trained.
        checkpoint: What the run resumes from, if it does; its weights are loaded by the trainer.
        args: Gives the output folder and this process's rank.

    Raises:
        ValueError: As in `load_dual_encoder`.
    """
    tokenizer = None
    if settings.model in TINY and checkpoint is not None:
        tokenizer = load_tokenizer(str(checkpoint))
    elif settings.model in TINY:
        captions = first_texts(sources, settings.tokenizer_num_examples)  # read where they are trained on
        tokenizer = trained_once(args, lambda: tiny_clip.train_caption_tokenizer(captions, settings.vocab_size))
    return load_from_settings(settings, settings.model, settings.text_tower, tokenizer)


def load_from_settings(
    settings: DualEncoderSettings, name: str, text_tower: str | None, tokenizer: Any = None
) -> DualEncoder:
    """`load_dual_encoder`, with what a run's settings say beside the names of the models.

    Args:
        settings: How to make the model.
        name: As in `load_dual_encoder`; where `settings.model` lies, if it was looked up.
        text_tower: Likewise.
        tokenizer: As in `load_dual_encoder`.

    Raises:
        ValueError: As in `load_dual_encoder`.
    """
    return load_dual_encoder(
        name,
        text_tower,
        tokenizer=tokenizer,
        from_scratch=settings.from_scratch,
        image_size=settings.image_size,
        lock_image=settings.lock_image,
        patch_dropout=settings.patch_dropout,
        logit_scale=settings.logit_scale,
        logit_bias=settings.logit_bias,
    )


def _start_logits(model: DualEncoder, name: str, scale: float | None, bias: float | None) -> None:
    if scale is not None and scale <= 0:
        raise ValueError(f"logit_scale={scale} must be above 0: it is an inverse temperature, 14.3 by default.")
    if bias is not None:
        if model.logit_bias is None:
            raise ValueError(
                f"logit_bias={bias}: {name!r} has no bias. Leave it out, or take a SigLIP or a model of open_clip."
            )
        model.logit_bias.data.fill_(bias)
        scale = 10.0 if scale is None else scale
    if scale is not None:
        model.log_logit_scale.data.fill_(scale).log_()
