"""Laws that hold for any input, tried on what hypothesis makes up: text, tables, datasets, scores."""

import functools
import json
import math
import random

import keras
import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from keras import ops
from toys import SIZES, make_captioner

from captioning_utils import InputError, load_captioner
from captioning_utils.datasets import load_dataset
from captioning_utils.decoders import build_decoder
from captioning_utils.decoders.base import CaptionDecoder, DecoderConfig, State
from captioning_utils.evaluation import load_references
from captioning_utils.generation import CaptionGenerator
from captioning_utils.metrics import compute_scores
from captioning_utils.settings import GenerationConfig
from captioning_utils.text import (
    RESERVED_WORDS,
    TextCleaning,
    Vocabulary,
    build_vocabulary,
    clean_caption,
    pad_captions,
)
from captioning_utils.training import masked_cross_entropy

FLAGS = st.booleans()
GENERATORS = st.builds(random.Random, st.integers(0, 99))
FEWER = settings(max_examples=settings().max_examples // 3)  # for what takes a hundredth of a second
FEW = settings(max_examples=settings().max_examples // 25)  # for what takes a third
CLEANINGS = st.builds(
    TextCleaning, lower_case=FLAGS, remove_punctuation=FLAGS, keep_digits=FLAGS, keep_one_letter_words=FLAGS
)
ODD = st.sampled_from(  # whole and in parts, which may come together
    [
        *RESERVED_WORDS,
        *("&amp;", "<br>", "<b>", "<", "br", ">", "&", "amp", "NBSP", ";", "&#39", "'", "Start", "seq", " "),
        *("e\u0301", "\u200d", "\ufe0f", "İ", "ß", "ς", "\ud800", "\u200b", "\xad", "क", "\u094d"),
    ]
)
TEXTS = st.lists(st.text(max_size=8) | ODD, max_size=10).map("".join)
CAPTIONS = TEXTS.map(clean_caption)
SENTENCES = st.lists(st.sampled_from("a dog cat runs on two".split()), max_size=9).map(" ".join)


# ---- words


@given(TEXTS, CLEANINGS)
@example("\u200c\u200c", TextCleaning(remove_punctuation=False))
@example("\u093a\u200c\u0273", TextCleaning())  # a mark, a joiner, a letter
@example("&am\xadp; <b\xad>", TextCleaning(remove_punctuation=False))
@example("<<b>br> &NBSP;", TextCleaning(remove_punctuation=False))
@example(8 * "&#3" + "&" + 8 * "shy;8;" + "lt;b>", TextCleaning(remove_punctuation=False))  # a round each
def test_cleaning_again_changes_nothing(text, cleaning):
    cleaned = clean_caption(text, cleaning)
    assert clean_caption(cleaned, cleaning) == cleaned


@given(st.lists(CAPTIONS, min_size=1, max_size=4), CAPTIONS)
def test_decoding_gives_the_known_words_back_in_their_order(captions, other):
    known = {word for caption in captions for word in caption.split()}
    assume(known)
    vocabulary = build_vocabulary(captions, min_count=1)
    for caption in (*captions, other):
        expected = [word if word in known else "<unk>" for word in caption.split()]
        assert vocabulary.decode(vocabulary.encode(caption)).split() == expected


# ---- datasets

CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=9) | st.sampled_from(
    ['A "red" ball', '"', "a, b; c", "two\nlines", "a|b", "tab\there", "['a', 'b']", "None", " spaces ", "=1+1", "1,5"]
)
NAMES = [f"{number}.jpg" for number in range(6)]
ROWS = st.lists(st.fixed_dictionaries({"image": st.sampled_from(NAMES), "caption": CELLS, "notes": CELLS}), min_size=1)
COLUMNS = {"image": "Image", "caption": " CAPTION", "notes": 'my notes\n(of "June")'}
PLAIN = {"columns": ["image", "caption"], "delimiter": ",", "quote_all": False, "line_end": "\n", "encoding": "utf-8"}
SHEETS = st.fixed_dictionaries(
    {
        "columns": st.permutations(["image", "caption", "notes"]),
        "delimiter": st.sampled_from(",;\t|"),
        "quote_all": FLAGS,
        "line_end": st.sampled_from(["\r\n", "\n", "\r"]),
        "encoding": st.sampled_from(["utf-8", "utf-8-sig"]),
        "empty_rows": st.integers(0, 2),
        "empty_columns": st.integers(0, 2),
    }
)


def read_sheet(folder, rows, columns, delimiter, quote_all, line_end, encoding, empty_rows=0, empty_columns=0):
    """What is read of `captions.csv` as spreadsheets write it: empty cells around it, quotation marks where needed."""

    def write(cell):
        needed = quote_all or any(sign in cell for sign in (delimiter, '"', "\n", "\r"))
        return '"' + cell.replace('"', '""') + '"' if needed else cell

    sheet = [COLUMNS, *rows]
    lines = [delimiter.join([*(write(row[name]) for name in columns), *[""] * empty_columns]) for row in sheet]
    lines = [delimiter * (len(columns) + empty_columns - 1)] * empty_rows + lines
    (folder / "captions.csv").write_bytes("".join(line + line_end for line in lines).encode(encoding))
    return [try_to(load, folder / "captions.csv") for load in (load_dataset, load_references)]


def try_to(load, path):
    """What is read, without notes on lines; None where it is refused."""
    try:
        found = load(path)
    except InputError:
        return None
    return found if isinstance(found, dict) else (found.image_paths, found.captions, found.splits)


@pytest.fixture
def photos(tmp_path):
    """A folder with `NAMES`, in which each example writes its captions."""
    for name in NAMES:
        (tmp_path / name).touch()
    return tmp_path


@given(ROWS, SHEETS)
def test_a_sheet_is_the_same_dataset_however_it_is_written(photos, rows, sheet):
    assert read_sheet(photos, rows, **sheet) == read_sheet(photos, rows, **PLAIN)


@given(
    st.lists(st.tuples(st.sampled_from(NAMES), SENTENCES.filter(len)), min_size=1),
    GENERATORS,
    st.integers(0, 9),
)
def test_splits_are_disjoint_and_do_not_follow_the_order_of_the_file(photos, rows, generator, seed):
    splits = []
    for _ in range(2):
        images = [{"id": number, "file_name": name} for number, name in enumerate(NAMES)]
        annotations = [{"image_id": NAMES.index(name), "caption": caption} for name, caption in rows]
        generator.shuffle(images)
        generator.shuffle(annotations)
        (photos / "coco.json").write_text(json.dumps({"images": images, "annotations": annotations}))
        (photos / "table.csv").write_text("\n".join(["image,caption", *map(",".join, rows)]))
        splits += [load_dataset(photos, captions=name, seed=seed).splits for name in ("coco.json", "table.csv")]
        generator.shuffle(rows)
    assert splits == splits[:1] * 4
    assert sorted(name for names in splits[0].values() for name in names) == sorted({name for name, _ in rows})


# ---- scores

REFERENCES = st.dictionaries(
    st.integers(0, 99), st.tuples(SENTENCES, st.lists(SENTENCES, min_size=1, max_size=4)), min_size=1, max_size=6
)


@given(REFERENCES, GENERATORS)
@example({1: ("a a a b", ["a a a b"]), 2: ("c", ["c"])}, random.Random(0))  # 10.000000000000002 before
def test_scores_stay_in_range_and_do_not_follow_the_order_of_photos_and_references(captions, generator):
    def score():
        candidates = {name: candidate for name, (candidate, _) in captions.items()}
        references = {name: several for name, (_, several) in captions.items()}
        found = compute_scores(candidates, references, extra_metrics=("cider",))
        return found.corpus, found.per_image

    corpus, per_image = score()
    for scores in (corpus, *per_image.values()):
        assert all(0 <= value <= (10 if name.startswith("cider") else 1) for name, value in scores.items())
    shuffled = generator.sample(list(captions.items()), len(captions))
    captions = {name: (candidate, generator.sample(several, len(several))) for name, (candidate, several) in shuffled}
    again, per_image_again = score()
    assert again == pytest.approx(corpus, rel=1e-9, abs=1e-12)
    for name, scores in per_image.items():
        assert per_image_again[name] == pytest.approx(scores, rel=1e-9, abs=1e-12)


# ---- models

WORDS, REGIONS = 11, (3, 4)  # of the toy decoders
TOKENS = st.lists(st.integers(1, WORDS - 1), min_size=2, max_size=6)


@functools.cache
def make_decoder(name, seed=0):
    keras.utils.set_random_seed(seed)
    return build_decoder(name, vocabulary_size=WORDS, feature_shape=REGIONS, **SIZES[name])


def compute_logits(decoder, tokens):
    """float32 (length, WORDS) of one photo."""
    photo = np.linspace(-1, 1, 12, dtype="float32").reshape(1, *REGIONS)
    return ops.convert_to_numpy(decoder((photo, np.array([tokens], "int32"))))[0]


@pytest.mark.parametrize("name", SIZES)
@FEW
@given(TOKENS, TOKENS, st.integers(0, 4))
def test_neither_later_words_nor_padding_change_a_logit(name, tokens, others, padding):
    decoder = make_decoder(name)
    logits = compute_logits(decoder, tokens)
    found = compute_logits(decoder, tokens + others + [0] * padding)
    np.testing.assert_allclose(found[: len(tokens)], logits, atol=1e-5)


@FEWER
@given(st.lists(TOKENS, min_size=1, max_size=4), st.integers(1, 5), st.sampled_from([0.0, 0.1]), st.integers(0, 99))
def test_padding_changes_no_loss(captions, padding, smoothing, seed):
    targets = pad_captions(captions)
    logits = np.random.default_rng(seed).normal(0, 3, (*targets.shape, WORDS)).astype("float32")
    more = [(0, 0), (0, padding)]
    loss = float(masked_cross_entropy(targets, logits, smoothing))
    padded = float(masked_cross_entropy(np.pad(targets, more), np.pad(logits, [*more, (0, 0)]), smoothing))
    assert padded == pytest.approx(loss, rel=1e-5)
    assert 0 <= loss < math.inf


@FEW
@given(st.sampled_from(list(SIZES)), st.integers(0, 2**32 - 1), TOKENS)
def test_a_saved_captioner_gives_the_same_logits(tmp_path, name, seed, tokens):
    captioner = make_captioner(name, REGIONS, seed=seed)
    captioner.save(tmp_path / "a.h5")
    loaded = load_captioner(tmp_path / "a.h5")
    np.testing.assert_array_equal(*(compute_logits(each.decoder, tokens) for each in (captioner, loaded)))
    assert loaded.fingerprint == captioner.fingerprint


class TableDecoder(CaptionDecoder):
    """A language model that the features bring along: row `w` has the logits of the token after token `w`."""

    def __init__(self, size):
        super().__init__(DecoderConfig(size, (size, size)))
        self.built = True

    def initial_state(self, features):
        return State({"table": features}, {"steps": ops.zeros(features.shape[:1])})

    def step(self, tokens, state):
        return ops.take_along_axis(state.photo["table"], tokens[:, None, None], axis=1)[:, 0], state


TWO_WORDS = CaptionGenerator(TableDecoder(6))
ALL_SENTENCES = 40  # of two words, up to four of them


@FEWER
@given(arrays(np.float32, (1, 6, 6), elements=st.floats(-8, 8, width=32)), st.sampled_from([0.0, 0.5, 1.0, 2.0]))
def test_a_beam_that_drops_no_sentence_scores_no_lower_than_greedy_search(table, length_penalty):
    greedy, wide = (
        TWO_WORDS.generate(
            table, GenerationConfig(beam_size=size, max_length=4, length_penalty=length_penalty, block_repeats=0)
        )
        for size in (1, ALL_SENTENCES)
    )
    ended, wide_ended = (Vocabulary.end_id in found.token_ids for found in (greedy, wide))
    assert wide_ended >= ended  # one that ends comes before all that do not
    if wide_ended == ended:
        assert wide.scores[0, 0] >= greedy.scores[0, 0] - 1e-5
