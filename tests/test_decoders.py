"""What every decoder must do; a new decoder is one more line in DECODERS."""

import keras
import numpy as np
import pytest
from keras import ops

from captioning_utils import InputError
from captioning_utils.base.storage import assign_variables, collect_variables
from captioning_utils.decoders import build_decoder, decoder_name
from captioning_utils.decoders.attention import compute_coverage_loss
from captioning_utils.explain.attention_maps import compute_attention_weights
from captioning_utils.training import masked_cross_entropy

VOCABULARY = 23
SMALL = {"embedding_dim": 8, "hidden_dim": 16}
MEMBERS = [
    {"decoder": "merge", **SMALL, "dropout": 0.1, "hidden_dropout": 0.1},
    {"decoder": "transformer", "hidden_dim": 16, "num_heads": 2, "feedforward_dim": 32, "num_layers": 1},
]
CASES = {
    "merge-pooled": ("merge", (12,), SMALL),
    "merge-grid": ("merge", (5, 12), SMALL),
    "attention-gru": ("attention", (5, 12), SMALL | {"attention_dim": 8}),
    "attention-lstm": ("attention", (5, 12), SMALL | {"attention_dim": 8, "cell": "lstm"}),
    "transformer": ("transformer", (5, 12), {"hidden_dim": 16, "num_heads": 2, "feedforward_dim": 32}),
    "transformer-encoder": (
        *("transformer", (5, 12)),
        {"hidden_dim": 16, "num_heads": 2, "feedforward_dim": 32, "encoder_layers": 1, "region_dropout": 0.2},
    ),
    "ensemble": ("ensemble", (5, 12), {"members": MEMBERS}),
}
DROPOUTS = {
    "merge": ("dropout", "hidden_dropout"),
    "attention": ("dropout", "photo_dropout"),
    "transformer": ("dropout", "photo_dropout", "region_dropout"),
}


@pytest.fixture(params=CASES.values(), ids=CASES.keys())
def case(request):
    return request.param


def make(case, seed=0, **settings):
    keras.utils.set_random_seed(seed)
    name, feature_shape, small = case
    return build_decoder(name, vocabulary_size=VOCABULARY, feature_shape=feature_shape, **small, **settings)


def without_dropout(case):
    name, feature_shape, small = case
    if name == "ensemble":
        members = [without_dropout((each["decoder"], feature_shape, each))[2] for each in small["members"]]
        return name, feature_shape, {"members": members}
    return name, feature_shape, small | dict.fromkeys(DROPOUTS[name], 0.0)


def make_inputs(case, batch=4, length=7, scale=1.0):
    rng = np.random.default_rng(0)
    features = (scale * rng.random((batch, *case[1]))).astype("float16")
    return features, rng.integers(1, VOCABULARY, (batch, length)).astype("int32")


def logits_of(decoder, features, tokens, training=False):
    return ops.convert_to_numpy(decoder((features, tokens), training=training))


def test_is_causal(case):
    decoder = make(case)
    features, tokens = make_inputs(case)
    changed = tokens.copy()
    changed[:, 4:] = 1 + changed[:, 4:] % (VOCABULARY - 1)
    before, after = logits_of(decoder, features, tokens), logits_of(decoder, features, changed)
    np.testing.assert_allclose(before[:, :4], after[:, :4], atol=1e-6)
    assert np.abs(before[:, 4:] - after[:, 4:]).max() > 1e-3


def test_padding_on_the_right_changes_nothing(case):
    decoder = make(case)
    features, tokens = make_inputs(case)
    padded = np.pad(tokens, ((0, 0), (0, 5)))
    np.testing.assert_allclose(
        logits_of(decoder, features, tokens), logits_of(decoder, features, padded)[:, :7], atol=1e-6
    )


def test_stepping_equals_the_full_pass(case):
    decoder = make(case)
    features, tokens = make_inputs(case)
    state = decoder.initial_state(ops.convert_to_tensor(features))
    stepped = []
    for position in range(tokens.shape[1]):
        logits, state = decoder.step(ops.convert_to_tensor(tokens[:, position]), state)
        stepped.append(ops.convert_to_numpy(logits))
    np.testing.assert_allclose(np.stack(stepped, axis=1), logits_of(decoder, features, tokens), atol=1e-5)


def test_the_words_state_keeps_names_and_shapes_and_the_photo_its_tensors(case):
    decoder = make(case)
    features, tokens = make_inputs(case)
    state = decoder.initial_state(ops.convert_to_tensor(features))
    _, after = decoder.step(ops.convert_to_tensor(tokens[:, 0]), state)
    assert {name: value.shape for name, value in state.words.items()} == {n: v.shape for n, v in after.words.items()}
    assert all(after.photo[name] is value for name, value in state.photo.items())


def test_says_whether_it_attends_and_how_far_it_writes(case):
    decoder = make(case)
    features, tokens = make_inputs(case)
    assert decoder.max_length == {"transformer": 64, "ensemble": 64}.get(case[0])
    assert decoder.has_attention == (case[0] in ("attention", "transformer"))
    if decoder.has_attention:
        state = decoder.initial_state(ops.convert_to_tensor(features))
        logits, _, weights = decoder.step_with_attention(ops.convert_to_tensor(tokens[:, 0]), state)
        alone, _ = decoder.step(ops.convert_to_tensor(tokens[:, 0]), state)
        np.testing.assert_array_equal(*map(ops.convert_to_numpy, (logits, alone)))
        assert weights.shape == (4, 5)
        np.testing.assert_allclose(ops.convert_to_numpy(weights).sum(axis=1), 1, atol=1e-6)


def test_the_photo_matters(case):
    decoder = make(case)
    features, tokens = make_inputs(case)
    other = features[::-1].copy()
    assert np.abs(logits_of(decoder, features, tokens) - logits_of(decoder, other, tokens)).max() > 1e-3


def test_a_training_step_changes_every_weight_and_any_feature_scale_gives_finite_gradients(case):
    decoder = make(case)
    features, tokens = make_inputs(case)
    before = collect_variables(decoder.trainable_variables)
    decoder.compile(optimizer=keras.optimizers.Adam(1e-2), loss=masked_cross_entropy, run_eagerly=True)
    decoder.train_on_batch((features, tokens), np.roll(tokens, -1, axis=1))
    after = collect_variables(decoder.trainable_variables)
    # A constant added to all regions' scores leaves their softmax as it was: that bias has no gradient.
    unchanged = [name for name in before if (before[name] == after[name]).all() and "region_scores bias" not in name]
    assert unchanged == []
    for scale in (1e-3, 1e4):  # the features of Inception-ResNet-V2 made other projects' losses NaN
        features, tokens = make_inputs(case, scale=scale)
        assert np.isfinite(decoder.train_on_batch((features, tokens), tokens))
    assert all(np.isfinite(ops.convert_to_numpy(variable)).all() for variable in decoder.trainable_variables)


def test_evaluation_and_generation_change_nothing(case):
    decoder = make(case)
    decoder.compile(optimizer=keras.optimizers.Adam(1e-2), loss=masked_cross_entropy)
    features, tokens = make_inputs(case)
    before = collect_variables(decoder.variables)
    decoder.test_on_batch((features, tokens), tokens)
    first, second = (logits_of(decoder, features, tokens) for _ in range(2))
    np.testing.assert_array_equal(first, second)  # no dropout outside training
    for name, array in collect_variables(decoder.variables).items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.slow  # trains for hundreds of steps
def test_doubly_stochastic_attention_spreads_the_looks():
    spread = {}
    for strength in (0.0, 5.0):
        keras.utils.set_random_seed(0)
        case = ("attention", (9, 12), SMALL | {"attention_dim": 8, "doubly_stochastic": strength})
        decoder = make(case)
        features, tokens = make_inputs(case)
        decoder.compile(optimizer=keras.optimizers.Adam(1e-2), loss=masked_cross_entropy)
        for _ in range(40):
            decoder.train_on_batch((features, tokens[:, :-1]), tokens[:, 1:])
        looks = [compute_attention_weights(decoder, *each) for each in zip(features, tokens.tolist(), strict=True)]
        spread[strength] = np.std([each.sum(axis=0) for each in looks])
    assert spread[5.0] < 0.5 * spread[0.0]


def test_looks_at_padding_do_not_count_for_doubly_stochastic_attention():
    weights = np.random.default_rng(0).dirichlet(np.ones(5), size=(2, 4)).astype("float32")
    tokens = np.array([[1, 4, 0, 0], [1, 5, 0, 0]])
    found = compute_coverage_loss(ops.convert_to_tensor(weights), ops.convert_to_tensor(tokens))
    np.testing.assert_allclose(float(found), ((1 - weights[:, :2].sum(axis=1)) ** 2).mean(), rtol=1e-5)


def test_dropout_acts_in_training(case):
    decoder = make(case)
    features, tokens = make_inputs(case)
    first, second = (logits_of(decoder, features, tokens, training=True) for _ in range(2))
    assert np.abs(first - second).max() > 1e-3


@pytest.mark.slow  # trains for hundreds of steps
def test_overfits_one_batch(case):
    decoder = make(without_dropout(case))
    features, tokens = make_inputs(case)
    inputs, targets = tokens[:, :-1], tokens[:, 1:]
    decoder.compile(optimizer=keras.optimizers.Adam(2e-2), loss=masked_cross_entropy)
    # An ensemble is right as soon as one member is; the others then have little left to learn from.
    enough = 0.3 if case[0] == "ensemble" else 0.05
    for _ in range(12):
        for _ in range(50):
            decoder.train_on_batch((features, inputs), targets)
        loss = float(masked_cross_entropy(ops.convert_to_tensor(targets), decoder((features, inputs))))
        if loss < enough:
            break
    assert loss < enough


def test_weights_move_between_two_decoders(case):
    decoder, other = make(case, seed=0), make(case, seed=1)
    features, tokens = make_inputs(case)
    assert np.abs(logits_of(decoder, features, tokens) - logits_of(other, features, tokens)).max() > 1e-3
    assign_variables("memory", other.weights, collect_variables(decoder.weights))
    np.testing.assert_array_equal(logits_of(decoder, features, tokens), logits_of(other, features, tokens))


def test_name_is_known_and_parameters_are_counted_before_anything_is_built(case):
    decoder = make(case)
    assert decoder.config.count_parameters() == decoder.count_params()
    assert decoder_name(decoder) == case[0]


GRID = {"feature_shape": (4, 6)}


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("mergee", {}, "choose from"),
        ("merge", {"hidden": 3}, "no setting 'hidden'"),
        ("merge", {"hidden_dim": 0}, "hidden_dim is 0"),
        ("merge", {"dropout": 1.0}, "dropout"),
        ("merge", {"feature_shape": (2, 3, 4)}, "feature_shape"),
        ("attention", GRID | {"cell": "rnn"}, "cell is 'rnn'; give one of"),
        ("attention", GRID | {"doubly_stochastic": -1.0}, r"doubly_stochastic is -1\.0; give 0 or"),
        ("transformer", GRID | {"hidden_dim": 30, "num_heads": 4}, "hidden_dim is 30; give a multiple of num_heads, 4"),
    ],
)
def test_refuses(name, settings, message):
    with pytest.raises(InputError, match=message):
        build_decoder(name, **({"vocabulary_size": 9, "feature_shape": (4,)} | settings))


def test_a_decoder_without_a_size_is_refused():
    with pytest.raises(InputError, match="the merge decoder needs vocabulary_size; give it"):
        build_decoder("merge", feature_shape=(4,))
