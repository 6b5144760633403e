"""Two processes, each of which gives its trainer only its own part of the data: the mistake that is to be refused."""

import sys

from accelerate import PartialState

from hf_unlab.console import exit_cleanly
from hf_unlab.testing import tiny_bert, tiny_stream, tiny_texts, tiny_tokenizer
from hf_unlab.trainers.masked_lm import MaskedLMTrainer, MaskedLMTrainingArguments

if __name__ == "__main__":
    args = MaskedLMTrainingArguments(sys.argv[1], use_cpu=True, sequence_length=16)
    texts = tiny_texts(100)[PartialState().process_index :: 2]
    with exit_cleanly():
        MaskedLMTrainer(tiny_bert(), args, tiny_stream(texts), processing_class=tiny_tokenizer())
