"""How what was trained is loaded by whom has never heard of hf_unlab."""

import json
import re
from pathlib import Path


def how_to_load(checkpoint: str) -> str:
    """The library of a checkpoint, and the lines that load it without hf_unlab."""
    folder = Path(checkpoint)
    if (folder / "open_clip_config.json").exists():
        return (
            "plain open_clip:\n\n    import open_clip\n"
            f'    model, _, preprocess = open_clip.create_model_and_transforms("local-dir:{checkpoint}")\n'
            f'    tokenizer = open_clip.get_tokenizer("local-dir:{checkpoint}")'
        )
    if (folder / "modules.json").exists():
        return (
            "sentence-transformers:\n\n    from sentence_transformers import SentenceTransformer\n"
            f'    model = SentenceTransformer("{checkpoint}")'
        )
    preprocessor = folder / "preprocessor_config.json"
    if preprocessor.exists() and "feature_extractor_type" in json.loads(preprocessor.read_text()):
        kind = "FeatureExtractor"
    else:
        has_images = preprocessor.exists() or (folder / "processor_config.json").exists()
        kind = "Processor" if has_images else "Tokenizer"
    return (
        f"plain transformers:\n\n    from transformers import AutoModel, Auto{kind}\n"
        f'    {re.sub("(?<=[a-z])(?=[A-Z])", "_", kind).lower()} = Auto{kind}.from_pretrained("{checkpoint}")\n'
        f'    model = AutoModel.from_pretrained("{checkpoint}")'
    )
