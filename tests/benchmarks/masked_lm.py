"""A training step of a masked language model: 4 layers x 256, batch 32 x 128, 15% masked."""

import contextlib

import torch
from transformers import BertConfig, BertForMaskedLM

from hf_unlab.losses.masked_lm import masked_lm_losses
from hf_unlab.modalities.text.reading import pack_documents, tokenise_texts
from hf_unlab.objectives.masked_lm.architecture import head_at
from hf_unlab.objectives.masked_lm.choosing import STRATEGIES
from hf_unlab.objectives.masked_lm.collator import MaskedLMCollator
from hf_unlab.streams.loader import Place
from hf_unlab.testing import tiny_texts, tiny_tokenizer
from hf_unlab.training.launch import hardware_has_bf16
from tests.benchmarks.timing import DEVICE, report, seconds_each

BATCH, LENGTH = 32, 128


def _step(vocab_size, fast, autocast=None):
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=vocab_size, hidden_size=256, num_hidden_layers=4, num_attention_heads=4, intermediate_size=1024
    )
    model = BertForMaskedLM(config).to(DEVICE)
    ids = torch.randint(vocab_size, (BATCH, LENGTH), device=DEVICE)
    chosen = torch.rand(BATCH, LENGTH, device=DEVICE) < 0.15
    labels = ids.masked_fill(~chosen, -100)

    def run():
        model.zero_grad()
        with torch.autocast(DEVICE.type, autocast) if autocast else contextlib.nullcontext():
            if fast:
                with head_at(model, chosen):
                    logits = model(input_ids=ids).logits.squeeze(0)
                loss = masked_lm_losses(logits, ids[chosen]).sum() / chosen.sum()
            else:
                loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        if DEVICE.type == "cuda":
            torch.cuda.synchronize()

    return run


def head():
    """The head at the masked positions only, beside the stock head at every position."""
    for vocab_size in (8_192, 30_522):
        times = seconds_each(
            {"stock head": _step(vocab_size, False), "masked positions only": _step(vocab_size, True)}
        )
        rates = {name: BATCH * LENGTH / seconds for name, seconds in times.items()}
        report(f"Masked LM step, vocabulary {vocab_size:,}", rates, "tokens/s")


def precision():
    """What `precision: auto` chooses here, beside fp32."""
    if not hardware_has_bf16(DEVICE.type == "cpu"):
        print("\nbf16: this hardware has none, precision: auto stays with fp32")
        return
    times = seconds_each({"fp32": _step(8_192, True), "bf16 autocast": _step(8_192, True, torch.bfloat16)})
    rates = {name: BATCH * LENGTH / seconds for name, seconds in times.items()}
    report("Masked LM step, vocabulary 8,192", rates, "tokens/s")


def masks():
    """A batch of each strategy of masking."""
    tokenizer = tiny_tokenizer(400)
    rows = pack_documents(tokenise_texts(tiny_texts(2000, num_words=60), tokenizer, column="text"), 512, (0,))[:BATCH]

    def collate(strategy):
        collator = MaskedLMCollator(tokenizer, strategy=strategy)

        def run():
            for k in range(50):
                collator(rows, Place(k))

        return run

    times = seconds_each({strategy: collate(strategy) for strategy in STRATEGIES})
    rates = {name: 50 * BATCH * 512 / seconds for name, seconds in times.items()}
    report(f"Masking {BATCH} sequences of 512 tokens", rates, "tokens/s")
