"""Characters, processor and batches of CTC fine-tuning."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForCTC, AutoProcessor, Wav2Vec2Config

from hf_unlab.modalities.audio.models import frames_of
from hf_unlab.objectives.wav2vec2.ctc_data import (
    CTCCollator,
    character_vocabulary,
    encode,
    has_path,
    make_processor,
    normalise_transcript,
)
from tests.objectives.wav2vec2.utterances import TINY, extractor, spoken


def test_vocabulary_is_of_normalised_characters():
    vocabulary = character_vocabulary(["Cafe\u0301 | ﬁ", "été"])
    assert list(vocabulary) == ["[PAD]", "[UNK]", "|", "C", "a", "f", "i", "t", "é"]
    assert list(vocabulary.values()) == list(range(9))
    assert "C" not in character_vocabulary(["Ca"], lowercase=True)
    with pytest.raises(ValueError, match="no character"):
        character_vocabulary(["", " | "])


def test_processor_round_trip(tmp_path):
    vocabulary = character_vocabulary(["aab c", "[PAD] <s>"])
    make_processor(vocabulary, extractor()).save_pretrained(tmp_path)
    processor = AutoProcessor.from_pretrained(tmp_path)
    assert type(processor).__name__ == "Wav2Vec2Processor"
    assert len(processor.tokenizer) == len(vocabulary) and processor.tokenizer.get_vocab() == vocabulary
    assert processor.tokenizer.pad_token_id == 0
    assert processor.feature_extractor.return_attention_mask
    for text in ("aab c", "[PAD] <s>"):
        (row,) = encode([{"audio": np.ones(100, dtype=np.float32), "text": text}], processor)
        path = [part for label in row["labels"] for part in (label, label, 0)]  # a path of CTC for these labels
        assert processor.decode(path) == text
        assert len(row["labels"]) == len(text)


@pytest.mark.parametrize("norm", ["layer", "group"])
def test_collator_pads_and_masks_only_what_is_long_enough(norm):
    config = Wav2Vec2Config(**TINY, feat_extract_norm=norm)
    processor = make_processor(character_vocabulary(["abc"]), extractor(mask=norm == "layer"))
    rng = np.random.default_rng(0)
    rows = encode([{"audio": spoken(text, rng), "text": text} for text in ("abcabcabc", "ab")], processor)
    batch = CTCCollator(processor, config, mask_time_prob=0.5, mask_time_length=10)(rows)
    assert batch["labels"].tolist() == [[3, 4, 5] * 3, [3, 4] + [-100] * 7]
    assert ("attention_mask" in batch) == (norm == "layer")
    assert (batch["input_values"][1, len(rows[1]["input_values"]) :] == 0).all()
    num_frames = frames_of(
        np.array([len(row["input_values"]) for row in rows]), config.conv_kernel, config.conv_stride
    )
    hidden = batch["mask_time_indices"]
    assert hidden.shape == (2, num_frames[0]) and num_frames[1] < 20
    assert hidden[0].sum() >= 10 and not hidden[1].any()
    model = AutoModelForCTC.from_config(config)
    frames = model(batch["input_values"]).logits.shape[1]
    assert frames == num_frames[0]
    short = CTCCollator(processor, config)([rows[1]])  # fewer frames than a span: transformers' own masking raises
    assert not short["mask_time_indices"].any()
    assert torch.isfinite(model.train()(**short).loss)


def test_has_path_agrees_with_torch():
    for labels in ([1, 2, 3], [1, 1, 2], [1, 1, 1], [2]):
        for num_frames in range(1, 7):
            loss = torch.nn.functional.ctc_loss(
                torch.zeros(num_frames, 1, 4).log_softmax(-1), torch.tensor([labels]), [num_frames], [len(labels)]
            )
            assert has_path(labels, num_frames) == bool(torch.isfinite(loss)), (labels, num_frames)


@pytest.mark.parametrize("transcript", [None, 1201.0, ["a"]])
def test_what_is_no_text_is_no_transcript(transcript):
    with pytest.raises(ValueError, match="give text, and leave out"):
        normalise_transcript(transcript)
