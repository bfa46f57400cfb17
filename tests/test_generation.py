import itertools

import keras
import numpy as np
import pytest
from keras import ops
from toys import COMPILES

from captioning_utils import InputError
from captioning_utils.decoders import build_decoder
from captioning_utils.decoders.base import CaptionDecoder, DecoderConfig, State
from captioning_utils.decoders.next_words import forbid_tokens, sample_words
from captioning_utils.generation import MAX_COMPILED, CaptionGenerator, measure_agreement
from captioning_utils.settings import GenerationConfig

END = 2


class TableDecoder(CaptionDecoder):
    """A toy language model: the next token's logits are a row of a table, chosen by the last token and the photo."""

    def __init__(self, table):
        super().__init__(DecoderConfig(table.shape[-1], (1,)))
        self.table = ops.convert_to_tensor(table, "float32")  # (photos, vocabulary, vocabulary)
        self.traced = 0  # how often a program was made of it: a compiled one does not come back to Python
        self.built = True

    def initial_state(self, features):
        self.traced += 1
        number = ops.cast(features[:, 0], "int32")
        return State({"number": number}, {"steps": ops.zeros_like(number)})

    def step(self, tokens, state):
        rows = ops.take(self.table, state.photo["number"], axis=0)  # (batch, vocabulary, vocabulary)
        logits = ops.take_along_axis(rows, tokens[:, None, None], axis=1)[:, 0]
        return logits, State(state.photo, {"steps": state.words["steps"] + 1})


def make_table(vocabulary=7, photos=3, seed=0):
    return np.random.default_rng(seed).normal(0, 2, (photos, vocabulary, vocabulary))


def photos(*numbers):
    return np.array([[number] for number in numbers], "float16")


def plain_log_probs(table, photo, last, first):
    """The distribution over allowed tokens, in plain numpy."""
    logits = table[photo, last].copy()
    logits[[0, 1, 3]] = -np.inf
    if first:
        logits[END] = -np.inf
    return logits - np.log(np.exp(logits).sum())


def enumerate_sentences(table, photo, max_length):
    """Every sentence that ends, and every one cut at max_length, with its log-probability."""
    words = [token for token in range(table.shape[1]) if token not in (0, 1, 2, 3)]
    for length in range(1, max_length + 1):
        for sentence in itertools.product(words, repeat=length):
            tokens = (*sentence, END) if length < max_length else sentence
            yield tokens, score_sentence(table, photo, tokens)


def score_sentence(table, photo, tokens):
    pairs = zip((1, *tokens), tokens, strict=False)
    return sum(plain_log_probs(table, photo, last, i == 0)[token] for i, (last, token) in enumerate(pairs))


def plain_greedy(table, photo, max_length):
    tokens = []
    while len(tokens) < max_length and tokens[-1:] != [END]:
        last = tokens[-1] if tokens else 1
        tokens.append(int(np.argmax(plain_log_probs(table, photo, last, not tokens))))
    return tokens


def sentence_of(row):
    return tuple(int(token) for token in row if token != 0)


def config(**settings):
    return GenerationConfig(**({"max_length": 5, "block_repeats": 0} | settings))


def test_greedy_is_the_likeliest_word_each_time():
    table = make_table()
    generated = CaptionGenerator(TableDecoder(table)).generate(photos(0, 1, 2), config(beam_size=1))
    for photo in range(3):
        tokens = sentence_of(generated.token_ids[photo, 0])
        assert tokens == tuple(plain_greedy(table, photo, 5))
        np.testing.assert_allclose(generated.log_probs[photo, 0], score_sentence(table, photo, tokens), atol=1e-4)


@pytest.mark.parametrize("length_penalty", [0.0, 0.7, 1.0])
def test_a_wide_beam_finds_what_enumeration_finds(length_penalty):
    table = make_table(vocabulary=6, seed=3)  # two words: at most 2 + 4 + 8 + 16 sentences
    settings = config(beam_size=40, max_length=4, length_penalty=length_penalty, num_captions=5)
    generated = CaptionGenerator(TableDecoder(table)).generate(photos(0, 1, 2), settings)
    for photo in range(3):
        ended = [
            (log_prob / len(tokens) ** length_penalty, tokens)
            for tokens, log_prob in enumerate_sentences(table, photo, 4)
            if tokens[-1] == END
        ]
        scores, sentences = zip(*sorted(ended, reverse=True)[:5], strict=True)
        assert tuple(map(sentence_of, generated.token_ids[photo])) == sentences
        np.testing.assert_allclose(generated.scores[photo], scores, atol=1e-4)


def test_consensus_reorders_the_beams_of_the_same_search():
    generator = CaptionGenerator(TableDecoder(make_table(vocabulary=6, seed=3)))
    settings = {"beam_size": 6, "num_captions": 6, "max_length": 4}
    likeliest, agreed = (generator.generate(photos(0, 1, 2), config(consensus=c, **settings)) for c in (False, True))
    for photo in range(3):
        sentences = [sentence_of(ids) for ids in likeliest.token_ids[photo]]
        ended = [index for index, tokens in enumerate(sentences) if tokens[-1] == END]
        assert len(ended) > 2
        agreement = measure_agreement([sentences[i][:-1] for i in ended], likeliest.scores[photo][ended])
        order = [ended[i] for i in np.argsort(-agreement, kind="stable")]
        found = [sentence_of(ids) for ids in agreed.token_ids[photo][: len(ended)]]
        assert found == [sentences[i] for i in order]
        np.testing.assert_allclose(agreed.scores[photo][: len(ended)], -np.sort(-agreement), rtol=1e-5)


@pytest.mark.parametrize("beam_size", [1, 3])
def test_best_live_beam_where_nothing_ends(beam_size):
    table = make_table()
    table[:, :, END] = -1e9  # the end token never comes
    generated = CaptionGenerator(TableDecoder(table)).generate(photos(0, 1), config(beam_size=beam_size))
    assert (generated.token_ids[:, 0] >= 4).all()
    for photo in range(2):
        tokens = sentence_of(generated.token_ids[photo, 0])
        np.testing.assert_allclose(generated.log_probs[photo, 0], score_sentence(table, photo, tokens), atol=1e-4)
    settings = config(beam_size=beam_size, num_captions=beam_size)
    wide = CaptionGenerator(TableDecoder(table)).generate(photos(0, 1), settings)
    assert (np.diff(wide.scores, axis=1) <= 0).all()  # the beam's own best comes first


@pytest.mark.parametrize("settings", [{"beam_size": 1}, {"beam_size": 4}, {"temperature": 2.0, "num_captions": 8}])
def test_never_a_boundary_or_unknown_token_in_a_sentence(settings):
    table = make_table()
    table[:, :, [0, 1, 3]] += 20  # the decoder would like nothing better
    generated = CaptionGenerator(TableDecoder(table)).generate(photos(0, 1, 2), config(**settings))
    for row in generated.token_ids.reshape(-1, 5):
        sentence = sentence_of(row)
        assert sentence[0] != END
        assert all(token >= 4 for token in sentence if token != END)
        assert END not in sentence[:-1]


def test_batches_of_any_size_give_the_same_sentences():
    table = make_table()
    generator = CaptionGenerator(TableDecoder(table))
    numbers = [i % 3 for i in range(70)]
    together = generator.generate(photos(*numbers), config(beam_size=3))
    for photo in range(3):
        alone = generator.generate(photos(photo), config(beam_size=3))
        np.testing.assert_array_equal(together.token_ids[numbers.index(photo)], alone.token_ids[0])
        np.testing.assert_allclose(together.scores[numbers.index(photo)], alone.scores[0], atol=1e-5)


def full_pass(decoder, feature, tokens):
    """The log-probabilities of what may follow each prefix of a sentence, in plain numpy."""
    logits = ops.convert_to_numpy(decoder((feature[None], np.array([[1, *tokens]]))))[0].astype("float64")
    logits[:, [0, 1, 3]] = -np.inf
    logits[0, END] = -np.inf
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


@pytest.mark.parametrize("name", ["merge", "attention", "transformer"])
def test_carrying_the_state_equals_running_every_prefix_again(name):
    keras.utils.set_random_seed(1)
    decoder = build_decoder(name, vocabulary_size=30, feature_shape=(6, 8), hidden_dim=16)
    features = np.random.default_rng(0).random((2, 6, 8)).astype("float16")
    generator = CaptionGenerator(decoder)
    greedy = generator.generate(features, config(beam_size=1, max_length=8)).token_ids[:, 0]
    beams = generator.generate(features, config(beam_size=4, max_length=8, num_captions=4))
    for feature, likeliest, rows, log_probs in zip(features, greedy, beams.token_ids, beams.log_probs, strict=True):
        tokens = []
        while len(tokens) < 8 and tokens[-1:] != [END]:
            tokens.append(int(full_pass(decoder, feature, tokens)[-1].argmax()))
        assert sentence_of(likeliest) == tuple(tokens)
        for row, log_prob in zip(rows, log_probs, strict=True):
            sentence = sentence_of(row)
            expected = full_pass(decoder, feature, sentence[:-1])[np.arange(len(sentence)), sentence].sum()
            np.testing.assert_allclose(log_prob, expected, atol=1e-3)


def test_sampling_follows_the_distribution():
    table = make_table(seed=5)
    draws = 400
    generated = CaptionGenerator(TableDecoder(table)).generate(
        photos(0), config(temperature=1.0, num_captions=draws, max_length=1)
    )
    counts = np.bincount(generated.token_ids[0, :, 0], minlength=7) / draws
    np.testing.assert_allclose(counts, np.exp(plain_log_probs(table, 0, 1, True)), atol=0.08)
    settings = config(temperature=100.0, num_captions=300, max_length=1, consensus=True)  # sampling knows no consensus
    hottest = CaptionGenerator(TableDecoder(table)).generate(photos(0), settings)
    assert set(np.unique(hottest.token_ids)) <= {4, 5, 6}  # words only


def test_sampling_is_repeatable_and_varies_with_the_seed():
    generator = CaptionGenerator(TableDecoder(make_table()))
    runs = [generator.generate(photos(0, 1, 2), config(temperature=1.5, num_captions=6, seed=s)) for s in (1, 1, 2)]
    np.testing.assert_array_equal(runs[0].token_ids, runs[1].token_ids)
    assert (runs[0].token_ids != runs[2].token_ids).any()
    for tokens, scores in zip(runs[0].token_ids, runs[0].scores, strict=True):
        ended = (tokens == END).any(axis=1)
        assert sorted(zip(ended, scores, strict=True), reverse=True) == list(zip(ended, scores, strict=True))


def test_low_temperature_and_small_top_p_are_greedy():
    table = make_table()
    generator = CaptionGenerator(TableDecoder(table))
    greedy = generator.generate(photos(0, 1, 2), config(beam_size=1)).token_ids
    for settings in ({"temperature": 0.01}, {"temperature": 1.0, "top_p": 1e-6}):
        np.testing.assert_array_equal(generator.generate(photos(0, 1, 2), config(**settings)).token_ids, greedy)


@COMPILES
def test_temperatures_share_one_compiled_program():
    decoder, traced = TableDecoder(make_table()), []
    generator = CaptionGenerator(decoder)
    for temperature, top_p in ((0.5, 1.0), (1.0, 0.9), (2.0, 0.5)):
        generator.generate(photos(0), config(temperature=temperature, top_p=top_p))
        traced.append(decoder.traced)
    assert traced[0] == traced[-1] > 0


@COMPILES
def test_only_the_latest_settings_stay_compiled():
    decoder = TableDecoder(make_table())
    generator, lengths = CaptionGenerator(decoder), range(1, MAX_COMPILED + 3)
    for length in lengths:
        generator.generate(photos(0), config(beam_size=1, max_length=length))
    traced = decoder.traced
    for length in lengths[2:]:
        generator.generate(photos(0), config(beam_size=1, max_length=length))
    assert decoder.traced == traced
    generator.generate(photos(0), config(beam_size=1, max_length=1))
    assert decoder.traced > traced


def test_a_transformer_writes_no_more_words_than_it_has_positions():
    decoder = build_decoder(
        "transformer", vocabulary_size=9, feature_shape=(4, 8), hidden_dim=8, num_heads=2, max_positions=6
    )
    with pytest.raises(InputError, match="at most 6"):
        CaptionGenerator(decoder).generate(np.ones((1, 4, 8)), config(max_length=7))


@pytest.mark.parametrize("top_p", [0.5, 0.8, 1.0])
def test_nucleus_is_the_smallest_set_that_reaches_top_p(top_p):
    probs = np.array([0.1, 0.4, 0.05, 0.3, 0.15], "float32")
    order = np.argsort(-probs)
    size = int(np.searchsorted(np.cumsum(probs[order]), top_p - 1e-6)) + 1
    uniforms = ops.convert_to_tensor(np.linspace(0, 0.9999999, 500, dtype="float32"))
    logits = ops.broadcast_to(ops.log(ops.convert_to_tensor(probs)), (500, 5))
    drawn = ops.convert_to_numpy(sample_words(logits, uniforms, top_p))
    assert set(drawn.tolist()) == set(order[:size].tolist())


def test_repeats_are_blocked():
    table = np.full((1, 8, 8), -5.0)
    for last, following in ((1, 4), (4, 5), (5, 6), (6, 4)):  # 4 5 6 4 5 6 …
        table[0, last, following] = 5.0
    generator = CaptionGenerator(TableDecoder(table))
    free = sentence_of(generator.generate(photos(0), config(beam_size=1, max_length=9)).token_ids[0, 0])
    assert free == (4, 5, 6, 4, 5, 6, 4, 5, 6)
    for settings in ({"beam_size": 1}, {"beam_size": 3}, {"temperature": 1.0, "num_captions": 5}):
        blocked = generator.generate(photos(0), config(max_length=9, block_repeats=3, **settings))
        for row in blocked.token_ids[0]:
            runs = list(itertools.pairwise(itertools.pairwise(sentence_of(row))))
            assert len(set(runs)) == len(runs)


def test_blocking_agrees_with_a_plain_search():
    rng = np.random.default_rng(0)
    for _ in range(30):
        length, size = int(rng.integers(2, 10)), int(rng.integers(2, 4))
        words = rng.integers(4, 7, length).tolist()
        history = np.array([words + [0] * (12 - length)], "int32")
        logits = ops.convert_to_numpy(forbid_tokens(ops.zeros((1, 8)), ops.convert_to_tensor(history), length, size))
        runs = {tuple(words[i : i + size]) for i in range(length - size + 1)}
        expected = {word for word in range(4, 8) if (*words[length - size + 1 :], word) in runs}
        assert {word for word in range(4, 8) if logits[0, word] < 0} == expected


# ---- only pairs of words that train captions have


PAIRS = np.array([(1, 4), (1, 5), (1, 6), (4, 2), (4, 5), (5, 6), (5, 7), (6, 4), (6, 2), (7, 4)])


def is_seen(tokens):
    return {*itertools.pairwise((1, *tokens))} <= {*map(tuple, PAIRS.tolist())}


def test_a_wide_beam_of_seen_pairs_finds_what_enumeration_finds_at_its_own_likelihood():
    table = make_table(vocabulary=8, seed=2)
    settings = config(beam_size=60, max_length=4, num_captions=5)
    generated = CaptionGenerator(TableDecoder(table), pairs=PAIRS).generate(photos(0, 1, 2), settings)
    for photo in range(3):
        ended = [
            (log_prob / len(tokens), tokens)
            for tokens, log_prob in enumerate_sentences(table, photo, 4)
            if tokens[-1] == END and is_seen(tokens)
        ]
        scores, sentences = zip(*sorted(ended, reverse=True)[:5], strict=True)
        assert tuple(map(sentence_of, generated.token_ids[photo])) == sentences
        np.testing.assert_allclose(generated.scores[photo], scores, atol=1e-4)


def test_greedy_is_the_likeliest_seen_word_each_time_and_can_be_told_not_to_look():
    table = make_table(vocabulary=8, seed=2)
    generator = CaptionGenerator(TableDecoder(table), pairs=PAIRS)
    kept = np.full_like(table, -1e9)
    first, second = PAIRS.T
    kept[:, first, second] = table[:, first, second]
    for words, settings in ((kept, config(beam_size=1)), (table, config(beam_size=1, seen_pairs=False))):
        generated = generator.generate(photos(0, 1, 2), settings)
        for photo in range(3):
            assert sentence_of(generated.token_ids[photo, 0]) == tuple(plain_greedy(words, photo, 5))


@pytest.mark.parametrize("repeats", [0, 2])
@pytest.mark.parametrize("settings", [{"beam_size": 1}, {"beam_size": 3}, {"temperature": 5.0, "num_captions": 40}])
def test_sentences_hold_seen_pairs_only(settings, repeats):
    table = make_table(vocabulary=8, photos=3, seed=4)
    settings = config(max_length=12, block_repeats=repeats, **settings)
    generated = CaptionGenerator(TableDecoder(table), pairs=PAIRS).generate(photos(0, 1, 2), settings)
    for row in generated.token_ids.reshape(-1, 12):
        pairs = set(itertools.pairwise((1, *sentence_of(row))))
        stuck = {(5, END), (7, END)}  # a sentence that cannot go on ends
        assert pairs <= {*map(tuple, PAIRS.tolist()), *(stuck if repeats else ())}


@pytest.mark.parametrize("settings", [{"beam_size": 1}, {"beam_size": 3}, {"temperature": 1.0}])
def test_a_sentence_that_cannot_go_on_ends(settings):
    table = make_table(vocabulary=8, seed=1)
    table[:, 1, 7] += 20  # what the decoder likes best leads nowhere
    generator = CaptionGenerator(TableDecoder(table), pairs=np.array([(1, 6), (1, 7), (6, END)]))
    generated = generator.generate(photos(0), config(**settings))
    assert sentence_of(generated.token_ids[0, 0]) == (7, END)
    np.testing.assert_allclose(generated.log_probs[0, 0], score_sentence(table, 0, (7, END)), atol=1e-4)


def test_where_no_word_may_begin_any_may():
    table = make_table(vocabulary=8)
    generated = CaptionGenerator(TableDecoder(table), pairs=PAIRS[3:]).generate(photos(0), config(beam_size=1))
    assert generated.token_ids[0, 0, 0] == plain_log_probs(table, 0, 1, True).argmax()
