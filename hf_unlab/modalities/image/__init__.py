"""Images."""

from hf_unlab.modalities.image.baseline import RAW_PIXELS
from hf_unlab.modalities.image.encoder import ImageEncoder, load_encoder
from hf_unlab.modalities.image.perturbations import PERTURBATIONS
from hf_unlab.modalities.image.reading import decode_example
from hf_unlab.modalities.image.settings import ImageDataSettings, ImageFewLabelSettings
from hf_unlab.modalities.modality import Modality, always

MODALITY = Modality(
    name="image",
    noun="images",
    column="image",
    raw_columns=("image",),
    check=None,  # decoding tells
    load_encoder=load_encoder,
    live_encoder=ImageEncoder.of_model,
    make_decode=always(decode_example),
    make_baselines=always((RAW_PIXELS,)),
    data_settings=ImageDataSettings,
    few_label_settings=ImageFewLabelSettings,
    file_columns=("image",),
    perturbations=PERTURBATIONS,
)
