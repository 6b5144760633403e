"""CTC fine-tuning: characters, batches and rates are right, tones are learnt, and plain transformers transcribes."""

import json
import logging
import subprocess
import sys

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForCTC,
    BertConfig,
    Wav2Vec2Config,
    Wav2Vec2Model,
)

from hf_unlab.objectives.wav2vec2.ctc import finetune_ctc, transcribe
from hf_unlab.objectives.wav2vec2.ctc_data import character_vocabulary, make_processor
from hf_unlab.objectives.wav2vec2.transcribed_audio import TranscribedAudioSettings
from hf_unlab.testing import tiny_mel_model
from hf_unlab.training.alone import alone_and_quiet
from tests.objectives.wav2vec2.utterances import TINY, arguments, extractor, tiny_checkpoint, utterances

WITHOUT_HF_UNLAB = """
import sys
import numpy as np, torch
from transformers import AutoModelForCTC, AutoProcessor

folder, clip = sys.argv[1:]
processor, model = AutoProcessor.from_pretrained(folder), AutoModelForCTC.from_pretrained(folder).eval()
inputs = processor(np.load(clip), sampling_rate=4000, return_tensors="pt")
with torch.inference_mode():
    ids = model(**inputs).logits.argmax(dim=-1)
print(processor.batch_decode(ids)[0])
assert "hf_unlab" not in sys.modules
"""


def test_utterances_without_a_path_are_left_out_and_counted(tmp_path, caplog):
    checkpoint = tiny_checkpoint(tmp_path / "checkpoint")
    train = utterances(6, seed=0)
    train.append({"audio": np.ones(300, dtype=np.float32), "text": "abcabcabc"})
    train.append({"audio": np.ones(3, dtype=np.float32), "text": "a"})  # not one frame
    test = [*utterances(2, seed=1), train[-1]]
    settings, steps = TranscribedAudioSettings(str(checkpoint)), []
    with alone_and_quiet(), caplog.at_level(logging.WARNING, logger="hf_unlab"):
        args = arguments(tmp_path / "out")
        results = finetune_ctc(checkpoint, train, test, settings, args, lambda *step: steps.append(step))
        with pytest.raises(ValueError, match="Each of the 2 utterances has more characters than frames"):
            finetune_ctc(checkpoint, train[-2:], test, settings, arguments(tmp_path / "out"))
    assert (results.num_train, results.num_without_path, results.num_test) == (6, 2, 3)
    assert "Left out 2 of 8 utterances" in caplog.text
    assert list(results.error_rates) == ["pretrained", "from scratch"]
    assert steps == [("pretrained", 1, 1), ("from scratch", 1, 1)]


def test_only_random_convolutions_are_trained(tmp_path):
    checkpoint, kept = tiny_checkpoint(tmp_path / "checkpoint"), "feature_extractor.conv_layers.0.conv.weight"
    pretrained = Wav2Vec2Model.from_pretrained(checkpoint).state_dict()[kept]
    for is_frozen in (True, False):
        settings = TranscribedAudioSettings(
            str(checkpoint), freeze_feature_encoder=is_frozen, compare_from_scratch=False
        )
        with alone_and_quiet():
            args = arguments(tmp_path / "out", warmup_steps=0)
            finetune_ctc(checkpoint, utterances(4, 0), utterances(1, 1), settings, args)
        saved = AutoModelForCTC.from_pretrained(tmp_path / "out").wav2vec2.state_dict()[kept]
        assert torch.equal(saved, pretrained) == is_frozen


def test_refusals(tmp_path):
    checkpoint = tiny_checkpoint(tmp_path / "checkpoint")
    settings, rows = TranscribedAudioSettings(str(checkpoint)), utterances(2, seed=0)
    with alone_and_quiet():
        with pytest.raises(ValueError, match="give another folder"):
            finetune_ctc(checkpoint, rows, rows, settings, arguments(checkpoint))
        with pytest.raises(ValueError, match="has no feature extractor"):
            finetune_ctc(tmp_path / "nothing", rows, rows, settings, arguments(tmp_path / "out"))
        BertConfig().save_pretrained(checkpoint)
        with pytest.raises(ValueError, match="'bert', not an encoder of raw audio"):
            finetune_ctc(checkpoint, rows, rows, settings, arguments(tmp_path / "out"))
    with pytest.raises(ValueError, match="Training and test data are both"):
        TranscribedAudioSettings("m", dataset="speech", test_split="train").sources()


@pytest.mark.parametrize("norm", ["layer", "group"])
def test_a_transcript_does_not_depend_on_the_batch(norm):
    torch.manual_seed(0)
    processor = make_processor(character_vocabulary(["abc"]), extractor(mask=norm == "layer"))
    config = Wav2Vec2Config(**TINY, feat_extract_norm=norm, vocab_size=6, pad_token_id=0, do_stable_layer_norm=False)
    model = AutoModelForCTC.from_config(config)
    with torch.no_grad():
        model.lm_head.weight.mul_(20)  # so that it says something
    waveforms = [row["audio"] for row in utterances(5, seed=0)]
    together = transcribe(model, processor, [*waveforms, waveforms[0]])
    assert together == [transcribe(model, processor, [waveform])[0] for waveform in [*waveforms, waveforms[0]]]
    assert len(set(together)) > 1
    assert len(transcribe(model.bfloat16(), processor, waveforms)) == len(waveforms)


def test_the_gradient_of_an_accumulated_step_is_a_mean(tmp_path):
    checkpoint = tiny_checkpoint(tmp_path / "checkpoint")
    row = utterances(1, seed=0)
    settings = TranscribedAudioSettings(str(checkpoint), compare_from_scratch=False, mask_time_prob=0.0)
    weights = []
    for accumulation in (1, 4):  # the same utterance each time, so that the mean is the same
        args = arguments(
            tmp_path / "out",
            gradient_accumulation_steps=accumulation,
            per_device_train_batch_size=1,
            optim="sgd",
            warmup_steps=0,
            max_grad_norm=0.0,
            learning_rate=1e-2,
        )
        with alone_and_quiet():
            finetune_ctc(checkpoint, row * 4, row, settings, args)
        weights.append(AutoModelForCTC.from_pretrained(tmp_path / "out").lm_head.weight)
    torch.testing.assert_close(*weights)


def test_tones_are_learnt_and_transcribed_without_hf_unlab(tmp_path):
    checkpoint, out = tiny_checkpoint(tmp_path / "checkpoint"), tmp_path / "out"
    train, test = utterances(60, seed=0), utterances(20, seed=1)
    settings = TranscribedAudioSettings(str(checkpoint), freeze_feature_encoder=False, compare_from_scratch=False)
    with alone_and_quiet():
        results = finetune_ctc(checkpoint, train, test, settings, arguments(out, max_steps=150, learning_rate=5e-3))
    assert results.error_rates["pretrained"]["cer"] < 0.3, results.render()
    assert json.loads((out / "ctc_results.json").read_text())["error_rates"] == results.error_rates
    assert all(len(line) <= 80 for line in results.render().splitlines())
    np.save(tmp_path / "clip.npy", test[0]["audio"])
    command = [sys.executable, "-W", "error::FutureWarning", "-c", WITHOUT_HF_UNLAB, out, tmp_path / "clip.npy"]
    code = subprocess.run(command, capture_output=True, text=True)
    assert code.returncode == 0, code.stderr
    assert code.stdout.strip() == results.examples[0]["hypothesis"]


def test_models_of_log_mel_frames_are_refused(tmp_path):
    for part in tiny_mel_model():
        part.save_pretrained(tmp_path / "mel")
    settings, rows = TranscribedAudioSettings(str(tmp_path / "mel")), utterances(2, seed=0)
    with pytest.raises(ValueError, match=r"reads log-mel frames.*AutoModelForCTC"):
        finetune_ctc(tmp_path / "mel", rows, rows, settings, arguments(tmp_path / "out"))
