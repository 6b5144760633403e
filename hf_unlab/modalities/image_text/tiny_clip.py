"""A dual encoder from scratch for minutes on a CPU, and the tokenizer of its captions. It is an ordinary
VisionTextDualEncoderModel of transformers: a small ResNet of timm beside one layer of CLIP's text transformer.
"""

from collections.abc import Iterable
from itertools import chain

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    CLIPImageProcessor,
    CLIPTextConfig,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    TimmWrapperConfig,
    VisionTextDualEncoderConfig,
    VisionTextDualEncoderModel,
    VisionTextDualEncoderProcessor,
)

from hf_unlab.modalities.image_text.transformers_dual_encoder import TransformersDualEncoder
from hf_unlab.modalities.text.models import num_embeddings_for
from hf_unlab.streams.content import valid_unicode
from hf_unlab.streams.extras import of_extras

_CONTEXT_LENGTH = 32
_SPECIAL_TOKENS = {
    "pad_token": "<|pad|>",
    "unk_token": "<|unk|>",
    "bos_token": "<|startoftext|>",
    "eos_token": "<|endoftext|>",
}


def train_caption_tokenizer(
    texts: Iterable[str], vocab_size: int = 2048, context_length: int = _CONTEXT_LENGTH
) -> PreTrainedTokenizerFast:
    """Train a tokenizer of captions as CLIP's: byte-level BPE in small letters, between a start and an end token.

    A word has the same token wherever it stands, so few captions make a vocabulary of whole words. CLIP's own 49,408
    tokens would be most of a tiny model.

    Args:
        texts: Captions; read once.
        vocab_size: Tokens, the four special ones and 256 bytes among them. Little text gives fewer.
        context_length: Tokens of the longest text.

    Raises:
        ValueError: There is no text, or `vocab_size` cannot even hold the bytes.

    Example:
        >>> tokenizer = train_caption_tokenizer(["greek small letter alpha"] * 3, vocab_size=300)
        >>> tokenizer.tokenize("Small Alpha")
        ['Ġsmall', 'Ġalpha']
    """
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    smallest = len(alphabet) + len(_SPECIAL_TOKENS)
    if vocab_size < smallest:
        raise ValueError(f"vocab_size must be at least {smallest} (bytes and special tokens), not {vocab_size}.")
    captions = (valid_unicode(text) for text in texts if text.strip())
    first = next(captions, None)
    if first is None:
        raise ValueError("The tokenizer cannot be trained: there are no captions.")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(_SPECIAL_TOKENS.values()),
        initial_alphabet=alphabet,
        show_progress=False,
    )
    tokenizer.train_from_iterator(chain([first], captions), trainer=trainer)
    start, end = _SPECIAL_TOKENS["bos_token"], _SPECIAL_TOKENS["eos_token"]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}",
        pair=f"{start} $A {end} $B {end}",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in (start, end)],
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=context_length, **_SPECIAL_TOKENS)


def tiny_clip(
    tokenizer: PreTrainedTokenizerBase | None, image_size: int = 32, *, batch_norm: bool = True
) -> TransformersDualEncoder:
    """The presets `tiny` and `tiny-groupnorm`: 0.6M weights and a vocabulary.

    Convolutions learn much sooner than a vision transformer, and with BatchNorm sooner than with GroupNorm; ConvNeXt's
    LayerNorm was far behind. But a batch in several micro-batches (gradient caching) needs a tower without BatchNorm.

    Args:
        tokenizer: The captions', with a beginning and an end token: see `train_caption_tokenizer`.
        image_size: Pixels of a side.
        batch_norm: BatchNorm in the image tower, or else GroupNorm.

    Raises:
        ValueError: There is no tokenizer, or it cannot frame a text, or the images are too small.

    Example:
        >>> model = tiny_clip(train_caption_tokenizer(["a caption"], vocab_size=260))
        >>> model.image_size, model.encode_text(**model.tokenize(["a", "caption"])).shape
        (32, torch.Size([2, 128]))
    """
    if tokenizer is None:
        raise ValueError(
            "The model 'tiny' has no tokenizer of its own: give one, e.g. train_caption_tokenizer(texts)."
        )
    ids = {name: getattr(tokenizer, name) for name in ("pad_token_id", "bos_token_id", "eos_token_id")}
    if None in ids.values():
        missing = ", ".join(name.removesuffix("_id") for name, value in ids.items() if value is None)
        raise ValueError(
            f"The model 'tiny' reads a text at its end token, and pads it; the tokenizer has no {missing}."
        )
    if image_size < 16:
        raise ValueError(f"image_size={image_size}: the model 'tiny' halves its images four times; take 32 or more.")
    with of_extras():
        import timm  # noqa: F401 - behind transformers' TimmWrapper
    widths = [32, 64, 192]
    vision = TimmWrapperConfig(
        architecture="resnetv2_18",
        hidden_size=widths[-1],  # what the joined model projects from
        model_args={
            "layers": [1, 1, 1],
            "channels": widths,
            "stem_chs": widths[0],
            "norm_layer": "batchnorm2d" if batch_norm else "groupnorm",
        },
    )
    text = CLIPTextConfig(
        vocab_size=num_embeddings_for(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=min(tokenizer.model_max_length, 77),
        **ids,
    )
    config = VisionTextDualEncoderConfig(vision_config=vision, text_config=text, projection_dim=128)
    size = {"height": image_size, "width": image_size}
    image_processor = CLIPImageProcessor(
        size=size, do_center_crop=False, image_mean=[0.5] * 3, image_std=[0.5] * 3, do_rescale=True
    )
    processor = VisionTextDualEncoderProcessor(image_processor, tokenizer)
    return TransformersDualEncoder(VisionTextDualEncoderModel(config), processor)
