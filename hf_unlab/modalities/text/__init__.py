"""Texts."""

from functools import partial
from typing import Any

from torch import nn

from hf_unlab.modalities.modality import Encoder, Modality, always
from hf_unlab.modalities.text.baseline import TF_IDF
from hf_unlab.modalities.text.encoder import TextEncoder, load_encoder
from hf_unlab.modalities.text.perturbations import PERTURBATIONS
from hf_unlab.modalities.text.reading import cut_text, text_problem
from hf_unlab.modalities.text.sentence_models import SentenceModel
from hf_unlab.modalities.text.settings import TextDataSettings, TextFewLabelSettings
from hf_unlab.streams.bad_examples import Decode


def _make_decode(settings: TextFewLabelSettings, encoder: Any) -> Decode:
    return partial(cut_text, max_characters=settings.few_label_max_characters)


def _live_encoder(model: nn.Module, processor: Any) -> Encoder:
    return model.encoder() if isinstance(model, SentenceModel) else TextEncoder.of_model(model, processor)


MODALITY = Modality(
    name="text",
    noun="texts",
    column="text",
    raw_columns=("text",),
    check=text_problem,
    load_encoder=load_encoder,
    live_encoder=_live_encoder,
    make_decode=_make_decode,
    make_baselines=always((TF_IDF,)),
    data_settings=TextDataSettings,
    few_label_settings=TextFewLabelSettings,
    perturbations=PERTURBATIONS,
)
