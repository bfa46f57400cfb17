import functools
import itertools
import json
import re

import h5py
import keras
import numpy as np
import pytest
from keras import ops
from toys import (
    COLOURS,
    COMPILES,
    ON_TORCH,
    SIZES,
    ColourFeatures,
    FailingFeatures,
    RowFeatures,
    SpoiledFeatures,
    assert_same_weights,
    fine_tune,
    make_balls,
    small,
    train,
    weights_of,
)

from captioning_utils import InputError
from captioning_utils.base.wording import name_some
from captioning_utils.captioner import load_captioner
from captioning_utils.datasets import CaptionDataset
from captioning_utils.decoders.plain import PLAIN_DECODERS
from captioning_utils.metrics import find_odd_pairs
from captioning_utils.text import TextCleaning, build_vocabulary
from captioning_utils.training import (
    NatsPerToken,
    encode_captions,
    fine_tune_captioner,
    masked_cross_entropy,
    train_captioner,
    train_on_photos,
)
from captioning_utils.training.run import Run
from captioning_utils.training.train import RampedAdam


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return make_balls(tmp_path_factory.mktemp("photos"))


@pytest.mark.slow  # trains for 30 epochs
def test_learns_to_name_the_colour(dataset, tmp_path):
    sizes = {"embedding_dim": 16, "hidden_dim": 32, "dropout": 0.1, "hidden_dropout": 0.0}
    settings = {"epochs": 30, "patience": 30, "label_smoothing": 0.0, "decoder_settings": sizes}
    captioner = train(dataset, tmp_path / "model.h5", **settings)
    images = dataset.splits["test"]
    captions = captioner.caption_features(ColourFeatures().get(images))
    for name, best in zip(images, captions, strict=True):
        assert COLOURS[int(name[:-4]) % 4] in best[0].caption.split()


AVERAGED = pytest.param({"ema": 0.9, "weight_decay": 0.01}, marks=pytest.mark.slow, id="averaged")


RESUMES = pytest.mark.skipif(ON_TORCH, reason="on PyTorch Keras draws dropout from a state that it does not give")


@RESUMES
@pytest.mark.parametrize("settings", [pytest.param({}, id="plain"), AVERAGED])
def test_a_killed_and_resumed_run_equals_one_that_never_stopped(dataset, tmp_path, settings):
    path = tmp_path / "model.h5"
    with pytest.raises(Exception, match="the disk went away"):  # TensorFlow wraps it in an error of its own
        train_captioner(dataset, FailingFeatures(ColourFeatures(), 30), path, small(**settings), verbose=0)
    with h5py.File(f"{path}.checkpoint") as file:
        done = json.loads(file["documents/state"][()].tobytes())["epoch"]
    assert 1 <= done < 4
    straight = train(dataset, tmp_path / "straight.h5", **settings)
    keras.utils.set_random_seed(99)  # whatever happened in between must not matter
    resumed = train(dataset, path, **settings)
    assert_same_weights(straight, resumed)
    losses = [[epoch["loss"] for epoch in captioner.training["history"]] for captioner in (straight, resumed)]
    assert losses[0] == losses[1]


@COMPILES
@pytest.mark.parametrize(
    "name", ["merge", *(pytest.param(name, marks=pytest.mark.slow) for name in PLAIN_DECODERS if name != "merge")]
)
def test_the_third_epoch_compiles_nothing(dataset, tmp_path, monkeypatch, name):
    kind, _ = PLAIN_DECODERS[name]
    call, note = kind.call, Run.note
    traced, after = [], []  # lengths of captions whose program was made; how many there were after each epoch

    @functools.wraps(call)
    def traced_call(self, inputs, **kwargs):  # a compiled program does not come back to Python
        traced.append(inputs[1].shape)
        return call(self, inputs, **kwargs)

    monkeypatch.setattr(kind, "call", traced_call)
    monkeypatch.setattr(Run, "note", lambda run, logs: (after.append(len(traced)), note(run, logs))[1])
    features = RowFeatures(np.random.default_rng(0).random((60, 4, 8)).astype("float16"))
    config = small(decoder=name, decoder_settings=SIZES[name], epochs=3, patience=3)
    train_captioner(dataset, features, tmp_path / "model.h5", config, verbose=0)
    assert 0 < after[0] <= after[1] == after[2] == len(traced)


@pytest.mark.parametrize("ema", [0.0, 0.5])
def test_early_stopping_keeps_the_best_weights(dataset, tmp_path, ema):
    captioner = train(dataset, tmp_path / "model.h5", epochs=40, patience=2, learning_rate=0.3, ema=ema)
    history = captioner.training["history"]
    losses = [epoch["val_nats_per_token"] for epoch in history]
    best = int(np.argmin(losses)) + 1
    assert len(history) == best + 2 < 40
    assert captioner.training["best_epoch"] == best
    rows = encode_captions(dataset, "val", captioner.vocabulary, captioner.cleaning, 40, dataset.image_paths)
    metric = NatsPerToken()
    for image_id, ids in rows:
        logits = captioner.decoder((ColourFeatures().get([image_id]), np.array([ids[:-1]])))
        metric.update_state(np.array([ids[1:]]), logits)
    np.testing.assert_allclose(float(metric.result()), losses[best - 1], rtol=1e-4)


def test_a_run_says_what_the_start_is_worth_and_a_resumed_one_does_not(dataset, tmp_path, capsys):
    captioner = train(dataset, tmp_path / "model.h5", epochs=1, verbose=1)
    guess = np.log(len(captioner.vocabulary))  # what a fresh decoder's equal probabilities cost
    said = capsys.readouterr().out.split("before training: ")[1].split(" nats")[0]
    assert float(said) == pytest.approx(guess, abs=0.1)
    again = train(dataset, tmp_path / "model.h5", epochs=1, verbose=1)
    assert again.training["history"] == captioner.training["history"]  # nothing was trained
    assert "before training" not in capsys.readouterr().out


@pytest.mark.slow  # trains
def test_a_run_that_makes_a_captioner_worse_says_so(dataset, tmp_path, capsys):
    good = train(dataset, tmp_path / "good.h5", epochs=5)
    fine_tune(good, dataset, tmp_path / "better.h5", epochs=1, verbose=1, learning_rate=1e-3)
    assert "no epoch was better" not in capsys.readouterr().err
    fine_tune(good, dataset, tmp_path / "worse.h5", epochs=1, verbose=1, learning_rate=1.0)
    assert "no epoch was better than the start" in capsys.readouterr().err


@pytest.mark.slow  # trains
def test_weight_decay_shrinks_matrices_and_leaves_biases(dataset, tmp_path):
    free, decayed = (
        train(dataset, tmp_path / f"{decay}.h5", weight_decay=decay, epochs=1).decoder for decay in (0.0, 0.9)
    )

    def size(decoder, layer, place):
        return float(ops.sum(ops.abs(getattr(decoder, layer).weights[place])))

    assert size(decayed, "merged", 0) < 0.97 * size(free, "merged", 0)
    assert size(decayed, "merged", 1) > 0.97 * size(free, "merged", 1)


def test_checkpoint_of_other_settings_captions_or_features_is_refused_and_kept(dataset, tmp_path):
    path = tmp_path / "model.h5"
    train(dataset, path, epochs=1)
    before = (tmp_path / "model.h5.checkpoint").read_bytes()
    with pytest.raises(InputError, match="batch_size=8, this run has 16"):
        train(dataset, path, epochs=1, batch_size=16)
    captions = dataset.captions | {"0.jpg": ["There is a red ball on the grass .", "A red ball ."]}
    other = CaptionDataset("other", dataset.image_paths, captions, dataset.splits)
    with pytest.raises(InputError, match="other captions, photos or features"):
        train(other, path, epochs=1)
    features = ColourFeatures()
    features.fingerprint = ColourFeatures.fingerprint.replace("float32", "bfloat16")
    with pytest.raises(InputError, match="other captions, photos or features"):
        train_captioner(dataset, features, path, small(epochs=1), verbose=0)
    assert (tmp_path / "model.h5.checkpoint").read_bytes() == before


def test_a_checkpoint_of_photos_that_others_took_the_place_of_is_refused(dataset, tmp_path):
    features = ColourFeatures()
    features.identities = {"0.jpg": "red 100 1 1", "59.jpg": "blue 100 1 1"}
    train_captioner(dataset, features, tmp_path / "model.h5", small(epochs=1), verbose=0)
    features.identities = {"0.jpg": "red 100 2 2", "59.jpg": "green 100 2 2"}  # copied, and another one in test
    train_captioner(dataset, features, tmp_path / "model.h5", small(epochs=1), verbose=0)
    features.identities = {"0.jpg": "green 100 2 2"}
    with pytest.raises(InputError, match="made with other captions, photos or features"):
        train_captioner(dataset, features, tmp_path / "model.h5", small(epochs=1), verbose=0)


def test_a_loss_that_is_no_number_is_an_error_and_no_captioner(dataset, tmp_path, capsys):
    path = tmp_path / "model.h5"
    with pytest.raises(InputError, match="lower the learning rate"):
        train(dataset, path, learning_rate=1e30, clip_norm=1e30)
    assert not list(tmp_path.iterdir())
    assert "training stops" in capsys.readouterr().err


@RESUMES
def test_a_loss_that_is_no_number_is_told_with_step_and_photos_and_the_last_good_epoch_is_kept(
    dataset, tmp_path, capsys
):
    path, spoiled = tmp_path / "model.h5", SpoiledFeatures(20)  # 10 batches a train split, 3 a val split
    captioner = train_captioner(dataset, spoiled, path, small(batch_size=8), verbose=0)
    where = re.search(r"the loss became nan in step (\d+) \((.+)\) in epoch 2; training stops", capsys.readouterr().err)
    assert 1 <= int(where[1]) <= 10
    assert name_some(spoiled.spoiled) in where[2]
    assert captioner.training["best_epoch"] == len(captioner.training["history"]) == 1
    assert where[0].startswith(captioner.training["stopped"])
    assert all(np.isfinite(array).all() for array in weights_of(captioner))
    resumed = train(dataset, path)  # the disk is whole again
    assert_same_weights(resumed, train(dataset, tmp_path / "straight.h5"))
    assert "stopped" not in resumed.training


def test_lengths_that_vary_in_a_later_epoch_only(tmp_path):
    names = [f"{number}.jpg" for number in range(80)]
    captions = {name: ["one two three four five six seven eight nine"] for name in names}
    captions |= {name: ["one two"] for name in names[:2]}
    splits = {"train": names[:70], "val": names[70:], "test": []}
    mixed = CaptionDataset("mixed", {name: tmp_path / name for name in names}, captions, splits)
    captioner = train(mixed, tmp_path / "model.h5", epochs=3, batch_size=2)
    assert len(captioner.training["history"]) == 3


def test_words_beyond_a_transformers_positions_are_refused(dataset, tmp_path):
    class Grid(ColourFeatures):
        output_shape = (2, 8)

    config = small(decoder="transformer", decoder_settings={"hidden_dim": 8, "num_heads": 2, "max_positions": 16})
    with pytest.raises(InputError, match="give up to 14"):
        train_captioner(dataset, Grid(), tmp_path / "model.h5", config, verbose=0)


def test_the_saved_file_says_how_it_was_trained(dataset, tmp_path):
    path = tmp_path / "model.h5"
    captioner = train(dataset, path, epochs=2, save_every=2)
    opened = load_captioner(path)
    assert opened.training == json.loads(json.dumps(captioner.training))
    assert opened.training["settings"]["seed"] == 0
    assert opened.training["photos"] == {"train": 40, "val": 10, "test": 10}
    table = (tmp_path / "model.h5.csv").read_text().splitlines()
    assert len(table) == 3
    assert "val_nats_per_token" in table[0]


@pytest.mark.parametrize("settings", [{}, {"beam_size": 1}, {"temperature": 3.0, "num_captions": 5}])
def test_whatever_the_photo_words_are_joined_as_in_the_train_captions(dataset, tmp_path, settings):
    captioner = train(dataset, tmp_path / "model.h5", epochs=1)
    noise = np.random.default_rng(0).normal(0, 30, (40, 8)).astype("float16")
    train_captions = [*itertools.chain(*dataset.split_captions("train").values())]

    def find_odd(**more):
        written = captioner.caption_features(noise, **settings, **more)
        return [*filter(None, find_odd_pairs([each.caption for best in written for each in best], train_captions))]

    assert find_odd(seen_pairs=False)
    assert not find_odd()
    np.testing.assert_array_equal(load_captioner(tmp_path / "model.h5").pairs, captioner.pairs)
    assert [captioner.vocabulary.start_id, captioner.vocabulary.encode("there")[1]] in captioner.pairs.tolist()


def test_photos_without_features_are_left_out(dataset):
    lost = CaptionDataset(
        "lost",
        dataset.image_paths | {"lost.jpg": dataset.image_paths["0.jpg"]},
        dataset.captions | {"lost.jpg": ["A ball ."]},
        dataset.splits | {"train": [*dataset.splits["train"], "lost.jpg"]},
    )
    vocabulary = build_vocabulary(["a red ball"], 1)
    rows = encode_captions(lost, "train", vocabulary, TextCleaning(), 40, ColourFeatures())
    assert len(rows) == 80
    assert "lost.jpg" not in {image_id for image_id, _ in rows}


def test_a_split_without_features_is_refused_before_the_first_step(dataset, tmp_path):
    class NoFeatures(ColourFeatures):
        def __contains__(self, image_id):
            return False

    with pytest.raises(InputError, match=r"no photo of the train split .* has features; extract"):
        train_captioner(dataset, NoFeatures(), tmp_path / "model.h5", small(), verbose=0)
    assert not list(tmp_path.iterdir())


def test_empty_split_is_refused_before_the_first_step(dataset, tmp_path):
    empty = CaptionDataset("empty", dataset.image_paths, dataset.captions, dataset.splits | {"val": []})
    with pytest.raises(InputError, match="val split"):
        train(empty, tmp_path / "model.h5")
    assert not list(tmp_path.iterdir())


def test_loss_ignores_padding_and_label_smoothing_is_a_mixture():
    rng = np.random.default_rng(0)
    targets = np.array([[3, 1, 2, 0, 0]], "int32")
    logits = rng.normal(size=(1, 5, 6)).astype("float32")
    other = logits.copy()
    other[:, 3:] += rng.normal(size=(1, 2, 6))
    loss = float(masked_cross_entropy(ops.convert_to_tensor(targets), ops.convert_to_tensor(logits)))
    assert loss == float(masked_cross_entropy(ops.convert_to_tensor(targets), ops.convert_to_tensor(other)))
    log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    plain = -np.mean([log_probs[0, i, targets[0, i]] for i in range(3)])
    uniform = -np.mean(log_probs[0, :3])
    np.testing.assert_allclose(loss, plain, rtol=1e-5)
    smoothed = masked_cross_entropy(ops.convert_to_tensor(targets), ops.convert_to_tensor(logits), 0.2)
    np.testing.assert_allclose(float(smoothed), 0.8 * plain + 0.2 * uniform, rtol=1e-5)
    assert float(masked_cross_entropy(ops.zeros((2, 3), "int32"), ops.ones((2, 3, 5)))) == 0.0  # no real token


@pytest.mark.parametrize("run_eagerly", [False, True])
def test_the_average_of_the_weights_soon_forgets_the_start(run_eagerly):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")])
    optimizer = RampedAdam(0.1, use_ema=True, ema_momentum=0.999)
    model.compile(optimizer, "mse", run_eagerly=run_eagerly)
    kernels, average = [], None
    for step in range(12):
        model.train_on_batch(np.ones((1, 1)), np.zeros((1, 1)))
        kernels.append(model.layers[0].kernel.numpy().item())
        momentum = (1 + step) / (10 + step) if step else 0.0
        average = momentum * (average or 0.0) + (1 - momentum) * kernels[-1]
    optimizer.finalize_variable_values(model.trainable_variables)
    assert model.layers[0].kernel.numpy().item() == pytest.approx(average, rel=1e-4)
    assert abs(average - kernels[-1]) < abs(average - 1.0)


@pytest.mark.parametrize(("name", "log_dir"), [("m" * 250, None), ("model.h5", "file")])
def test_a_place_that_cannot_be_written_is_refused_before_the_first_step(dataset, tmp_path, name, log_dir):
    (tmp_path / "file").write_text("")
    where = log_dir and tmp_path / log_dir
    with pytest.raises(InputError, match="cannot write to"):
        train_captioner(dataset, None, tmp_path / name, log_dir=where)
    with pytest.raises(InputError, match="cannot write to"):
        fine_tune_captioner(None, dataset, None, tmp_path / name, log_dir=where)
    with pytest.raises(InputError, match="cannot write to"):
        train_on_photos(dataset, None, tmp_path / name, small(), log_dir=where)
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]
