"""CTC fine-tuning: characters, batches and rates are right, tones are learnt, and plain transformers transcribes."""

import io
import json
import logging
import runpy
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch
from datasets import Dataset
from transformers import (
    AutoModelForCTC,
    AutoProcessor,
    BertConfig,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2Model,
)

from hf_unlab.audio_settings import AudioFinetuneSettings
from hf_unlab.finetuning.ctc import (
    CTCCollator,
    CTCTrainingArguments,
    character_vocabulary,
    count_frames,
    encode,
    error_rates,
    finetune_ctc,
    has_path,
    make_processor,
    transcribe,
)
from hf_unlab.finetuning.isolation import alone_and_quiet
from hf_unlab.resources import recipe_path

RATE_HZ, TONES_HZ = 4000, {"a": 400, "b": 800, "c": 1400, " ": 0}
TINY = {
    "hidden_size": 48,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "conv_dim": (32, 32),
    "conv_kernel": (16, 8),
    "conv_stride": (8, 8),
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 4,
    "mask_time_prob": 0.65,  # as pretraining leaves it
    "hidden_dropout": 0.0,
    "attention_dropout": 0.0,
    "feat_proj_dropout": 0.0,
    "activation_dropout": 0.0,
    "final_dropout": 0.0,
}
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


def spoken(text, rng):
    """A tone of 64 ms for each character, behind a short silence, in a little noise."""
    pieces = [np.zeros(100)]
    for character in text:
        times = np.arange(256) / RATE_HZ
        pieces += [np.sin(2 * np.pi * TONES_HZ[character] * times + rng.uniform(0, 6)), np.zeros(64)]
    waveform = np.concatenate(pieces)
    return (waveform + 0.02 * rng.standard_normal(len(waveform))).astype(np.float32)


def utterances(num_utterances, seed):
    rng = np.random.default_rng(seed)
    words = ["".join(rng.choice(list("abc"), rng.integers(2, 5))) for _ in range(2 * num_utterances)]
    texts = [f"{first} {second}" for first, second in zip(words[::2], words[1::2], strict=True)]
    return [{"audio": spoken(text, rng), "text": text} for text in texts]


def extractor(mask=True):
    return Wav2Vec2FeatureExtractor(sampling_rate=RATE_HZ, return_attention_mask=mask)


def tiny_checkpoint(folder, norm="layer"):
    torch.manual_seed(0)
    Wav2Vec2Model(Wav2Vec2Config(**TINY, feat_extract_norm=norm)).save_pretrained(folder)
    extractor(mask=norm == "layer").save_pretrained(folder)
    return folder


def arguments(folder, **settings):
    return CTCTrainingArguments(str(folder), **{"max_steps": 1, "seed": 0, "use_cpu": True, **settings})


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
    num_frames = count_frames(config, np.array([len(row["input_values"]) for row in rows]))
    hidden = batch["mask_time_indices"]
    assert hidden.shape == (2, num_frames[0]) and num_frames[1] < 20
    assert hidden[0].sum() >= 10 and not hidden[1].any()
    model = AutoModelForCTC.from_config(config)
    frames = model(batch["input_values"]).logits.shape[1]
    assert frames == num_frames[0]
    short = CTCCollator(processor, config)([rows[1]])  # fewer frames than a span: transformers' own masking raises
    assert not short["mask_time_indices"].any()
    assert torch.isfinite(model.train()(**short).loss)


def test_error_rates_by_hand():
    # 1 of 5 characters and 1 of 2 words are wrong; then 3 characters and 1 word were never said; then 3 of 3
    # characters and 1 of 1 words are missing.
    references, hypotheses = ["ab cd", "", "abc"], ["ab cx", "xyz", ""]
    assert error_rates(references, hypotheses) == pytest.approx({"cer": 7 / 8, "wer": 3 / 3})
    assert error_rates(["ab", ""], ["ab", ""]) == {"cer": 0.0, "wer": 0.0}
    assert error_rates(["ab"], [""]) == {"cer": 1.0, "wer": 1.0}
    with pytest.raises(ValueError, match="All references are empty"):
        error_rates(["", " "], ["a", ""])


def test_has_path_agrees_with_torch():
    for labels in ([1, 2, 3], [1, 1, 2], [1, 1, 1], [2]):
        for num_frames in range(1, 7):
            loss = torch.nn.functional.ctc_loss(
                torch.zeros(num_frames, 1, 4).log_softmax(-1), torch.tensor([labels]), [num_frames], [len(labels)]
            )
            assert has_path(labels, num_frames) == bool(torch.isfinite(loss)), (labels, num_frames)


def test_utterances_without_a_path_are_left_out_and_counted(tmp_path, caplog):
    checkpoint = tiny_checkpoint(tmp_path / "checkpoint")
    train = utterances(6, seed=0)
    train.append({"audio": np.ones(300, dtype=np.float32), "text": "abcabcabc"})
    train.append({"audio": np.ones(3, dtype=np.float32), "text": "a"})  # not one frame
    test = [*utterances(2, seed=1), train[-1]]
    settings, steps = AudioFinetuneSettings(str(checkpoint)), []
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
        settings = AudioFinetuneSettings(str(checkpoint), freeze_feature_encoder=is_frozen, compare_from_scratch=False)
        with alone_and_quiet():
            args = arguments(tmp_path / "out", warmup_steps=0)
            finetune_ctc(checkpoint, utterances(4, 0), utterances(1, 1), settings, args)
        saved = AutoModelForCTC.from_pretrained(tmp_path / "out").wav2vec2.state_dict()[kept]
        assert torch.equal(saved, pretrained) == is_frozen


def write_clips(path, rows, **columns):
    cells = []
    for row in rows:
        buffer = io.BytesIO()
        soundfile.write(buffer, row["audio"], RATE_HZ, format="WAV")
        cells.append({"bytes": buffer.getvalue(), "path": None})
    cells[0] = {"bytes": b"no audio", "path": None}
    Dataset.from_dict({"audio": cells, **columns}).to_parquet(path)
    return str(path)


def test_recipe_reads_clips_and_shows_results(tmp_path, capsys, caplog):
    checkpoint, rows = tiny_checkpoint(tmp_path / "checkpoint"), utterances(12, seed=0)
    rows[1]["audio"] = np.concatenate([rows[1]["audio"]] * 8)  # too long to train on
    texts, labels = [row["text"] for row in rows], [row["text"][0] for row in rows]
    file = write_clips(tmp_path / "clips.parquet", rows, sentence=texts, label=labels)
    other = write_clips(tmp_path / "others.parquet", rows[::-1], sentence=texts[::-1], label=labels[::-1])
    main = runpy.run_path(str(recipe_path("wav2vec2", "finetune.py")))["main"]
    given = ["--model", str(checkpoint), "--output_dir", str(tmp_path / "out"), "--dataset", "parquet"]
    given += ["--train_files", file, "--test_files", other, "--max_seconds", "2", "--use_cpu", "true"]
    ctc = [*given, "--text_column", "sentence", "--max_steps", "1", "--max_train_minutes", "0.08"]
    few = ["--task", "classification", "--num_labels_per_class", "1", "--few_label_seeds", "0"]
    with alone_and_quiet():
        main(ctc)
        main([*given, *few, "--finetune_steps", "1"])
    results = json.loads((tmp_path / "out" / "ctc_results.json").read_text())
    assert results["num_test"] == 11 and 0 < results["train_minutes"] <= 0.08
    assert 1 < results["num_train"] < 10  # of ten that are whole and short enough
    table = json.loads((tmp_path / "out" / "few_label.json").read_text())
    assert [row["name"] for row in table["rows"]] == ["log-mel", "from scratch", "pretrained"]
    assert "longer than 2 s" in caplog.text and "not audio" in caplog.text
    output = capsys.readouterr().out.replace(str(tmp_path), "OUT")
    assert "characters     words" in output and "AutoModelForCTC.from_pretrained" in output
    assert [line for line in output.splitlines() if len(line) > 80] == []


def test_refusals(tmp_path):
    checkpoint = tiny_checkpoint(tmp_path / "checkpoint")
    settings, rows = AudioFinetuneSettings(str(checkpoint)), utterances(2, seed=0)
    with alone_and_quiet():
        with pytest.raises(ValueError, match="give another folder"):
            finetune_ctc(checkpoint, rows, rows, settings, arguments(checkpoint))
        with pytest.raises(ValueError, match="has no feature extractor"):
            finetune_ctc(tmp_path / "nothing", rows, rows, settings, arguments(tmp_path / "out"))
        BertConfig().save_pretrained(checkpoint)
        with pytest.raises(ValueError, match="'bert', not an encoder of raw audio"):
            finetune_ctc(checkpoint, rows, rows, settings, arguments(tmp_path / "out"))
    with pytest.raises(ValueError, match="Training and test data are both"):
        AudioFinetuneSettings("m", dataset="speech", test_split="train").sources()


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


def test_the_gradient_of_an_accumulated_step_is_a_mean(tmp_path):
    checkpoint = tiny_checkpoint(tmp_path / "checkpoint")
    row = utterances(1, seed=0)
    settings = AudioFinetuneSettings(str(checkpoint), compare_from_scratch=False, mask_time_prob=0.0)
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
    settings = AudioFinetuneSettings(str(checkpoint), freeze_feature_encoder=False, compare_from_scratch=False)
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
