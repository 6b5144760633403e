"""Images and their captions: the images are what is classified."""

from hf_unlab.modalities.image import MODALITY as IMAGE
from hf_unlab.modalities.image.settings import ImageFewLabelSettings
from hf_unlab.modalities.image_text.encoder import live_encoder, load_encoder
from hf_unlab.modalities.image_text.reading import caption_problem
from hf_unlab.modalities.image_text.settings import ImageTextDataSettings
from hf_unlab.modalities.modality import Modality

MODALITY = Modality(
    name="image_text",
    noun="images",
    column="image",
    raw_columns=("image", "text"),
    check=caption_problem,
    load_encoder=load_encoder,
    live_encoder=live_encoder,
    make_decode=IMAGE.make_decode,
    make_baselines=IMAGE.make_baselines,
    data_settings=ImageTextDataSettings,
    few_label_settings=ImageFewLabelSettings,
    file_columns=("image",),
    perturbations=IMAGE.perturbations,
)
