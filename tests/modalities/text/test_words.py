"""The tokenizer of whole words: what a word is, which are kept, and what cannot be trained on."""

import pytest
from tokenizers import Tokenizer, trainers

from hf_unlab.modalities.text.models import load_tokenizer
from hf_unlab.modalities.text.words import plain_words, train_word_tokenizer
from hf_unlab.testing import tiny_texts

TOKENIZER = train_word_tokenizer(["The river reads snake_case, 42 times; the River.", "the river reads 42 snake_case"])


@pytest.mark.parametrize(
    "text, tokens",
    [
        ("THE River", ["the", "river"]),
        ("the, (river)!\n\treads", ["the", "river", "reads"]),
        ("snake_case 42", ["snake_case", "42"]),
        ("snake-case", ["[UNK]", "[UNK]"]),  # neither half by itself is known
        ("times", ["[UNK]"]),  # it occurs once
        ("", []),
        (" ?! ", []),
    ],
)
def test_words_are_runs_of_letters_digits_and_underscores_in_lower_case(text, tokens):
    assert TOKENIZER.tokenize(text) == tokens


def test_letters_of_any_script_and_of_either_normal_form_are_letters():
    tokenizer = train_word_tokenizer(["Größe жизнь été", "große GRÖSSE ЖИЗНЬ e\u0301te\u0301"], min_frequency=1)
    assert tokenizer.tokenize("GRÖßE Жизнь E\u0301TE\u0301") == ["größe", "жизнь", "été"]


def test_the_commonest_words_are_kept():
    texts = ["a a a b b b c c"] * 2 + ["d"]
    assert set(train_word_tokenizer(texts, vocab_size=7).get_vocab()) - set(TOKENIZER.all_special_tokens) == {"a", "b"}
    assert set(train_word_tokenizer(texts).get_vocab()) - set(TOKENIZER.all_special_tokens) == {"a", "b", "c"}
    assert "d" in train_word_tokenizer(texts, min_frequency=1).get_vocab()


def test_words_are_counted_as_the_tokenizers_own_trainer_counts_them():
    texts = [
        *tiny_texts(40),
        "STRASSE été x2 x² ½",
        "Ünï [CLS] Straße ﬁne İstanbul e\u0301te \u00e9te ²x \u200b a‿b b_c B_C",
    ]
    trainer = trainers.WordLevelTrainer(
        vocab_size=60, min_frequency=1, special_tokens=TOKENIZER.all_special_tokens, show_progress=False
    )
    slow = Tokenizer.from_str(TOKENIZER.backend_tokenizer.to_str())
    slow.train_from_iterator(texts, trainer=trainer)
    fast = train_word_tokenizer(texts, vocab_size=60, min_frequency=1)
    words = {word for word in slow.get_vocab() if word not in TOKENIZER.all_special_tokens}
    assert {word: fast.get_vocab()[word] for word in words} == {word: slow.get_vocab()[word] for word in words}


def test_plain_words_are_what_the_tokenizer_cuts():
    cutter = TOKENIZER.backend_tokenizer
    plain = [letter for letter in map(chr, range(0x2200)) if plain_words(letter) is not None]
    assert {*"aßéŁжћαωΩ„’–€™Ạ\u00ad\u200b"} < set(plain)
    assert not {*"İΣ\u0301\u0483川ⅷ‿"} & {*plain}
    for text in ("Ab{0}cD", "{0}", "x {0}{0}", "A{0} b", "{0}X"):
        both = "\n".join(text.format(letter) for letter in plain)
        normalised = cutter.normalizer.normalize_str(both)
        assert plain_words(both) == [word for word, _ in cutter.pre_tokenizer.pre_tokenize_str(normalised)]


def test_training_is_deterministic_and_reads_a_generator_once():
    first = train_word_tokenizer(text for text in tiny_texts(40))
    assert first.get_vocab() == train_word_tokenizer(tiny_texts(40)).get_vocab()


def test_a_saved_tokenizer_is_an_ordinary_one_and_frames_a_text(tmp_path):
    TOKENIZER.save_pretrained(tmp_path)
    loaded = load_tokenizer(str(tmp_path))
    ids = loaded("The river, the")["input_ids"]
    assert loaded.convert_ids_to_tokens(ids) == ["[CLS]", "the", "river", "the", "[SEP]"]
    assert [getattr(loaded, f"{name}_token") for name in ("unk", "pad", "cls", "sep", "mask")] == [
        *("[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]")
    ]


@pytest.mark.parametrize("texts", [[], [""], ["  ", "\n"]])
def test_no_text_is_an_error(texts):
    with pytest.raises(ValueError, match="holds no text"):
        train_word_tokenizer(texts)


@pytest.mark.parametrize("texts", [["one two three"], ["?!", "..."]])
def test_no_word_that_occurs_often_enough_is_an_error(texts):
    with pytest.raises(ValueError, match=r"No word of the texts occurs 2 times.*min_frequency=1"):
        train_word_tokenizer(texts)


def test_poor_text_is_text():
    assert "bad" in train_word_tokenizer(["bad \ud800 text", "bad"]).get_vocab()
