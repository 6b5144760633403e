"""Texts."""

from hf_unlab.modalities.modality import Modality, always
from hf_unlab.modalities.text.baseline import TF_IDF
from hf_unlab.modalities.text.encoder import load_encoder
from hf_unlab.modalities.text.reading import text_problem
from hf_unlab.modalities.text.settings import TextDataSettings, TextFewLabelSettings

MODALITY = Modality(
    name="text",
    noun="texts",
    column="text",
    raw_columns=("text",),
    check=text_problem,
    load_encoder=load_encoder,
    make_decode=always(None),
    make_baselines=always((TF_IDF,)),
    data_settings=TextDataSettings,
    few_label_settings=TextFewLabelSettings,
)
