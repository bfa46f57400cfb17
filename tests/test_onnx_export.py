"""onnxruntime gives the sentences that Keras gives."""

import dataclasses
import itertools
import json
import subprocess
import sys

import keras
import numpy as np
import onnxruntime
import pytest
import tensorflow as tf
import toys
from PIL import Image

from captioning_utils import InputError
from captioning_utils.captioner import load_captioner
from captioning_utils.commands.deploy import export_main
from captioning_utils.commands.shell import OK
from captioning_utils.encoders import ImageEncoder
from captioning_utils.images import load_image
from captioning_utils.scenes import draw_scene, generate_scene
from captioning_utils.settings import GenerationConfig
from captioning_utils.sharing import export_captioner
from captioning_utils.sharing.onnx_captions import OnnxCaptioner, load_photo
from captioning_utils.sharing.onnx_export import convert, encoder_graph, write_in_8_bits

DECODERS = {
    "merge": {"embedding_dim": 8, "hidden_dim": 16},
    "attention": {"embedding_dim": 8, "hidden_dim": 16, "attention_dim": 8, "cell": "lstm"},
    "transformer": {"hidden_dim": 16, "num_heads": 2, "feedforward_dim": 32, "num_layers": 1, "max_positions": 12},
    "ensemble": {
        "members": [{"decoder": name, "embedding_dim": 8, "hidden_dim": 16} for name in ("merge", "attention")]
    },
}
WORDS = [" ".join(f"word{number}" for number in range(20))]


def make_captioner(name):
    """A small captioner of random weights with its encoder."""
    encoder, settings = toys.make_encoder(), GenerationConfig(beam_size=3, max_length=9)
    captioner = toys.make_captioner(name, (4, 6), WORDS, encoder.fingerprint, settings, seed=0, **DECODERS[name])
    for variable in captioner.decoder.weights:  # those of the usual size tell hardly one photo from another
        variable.assign(3.0 * variable)
    size = len(captioner.vocabulary)  # after a word of an even number any may come, after the others few or none
    pairs = np.array([*itertools.product([1, *range(4, size, 2)], range(2, size)), *((word, 4) for word in (5, 9))])
    captioner = dataclasses.replace(captioner, pairs=pairs[np.lexsort(pairs.T[::-1])])
    captioner.image_encoder = lambda weights_path=None: encoder
    return captioner


@pytest.fixture(scope="module", params=DECODERS, ids=str)
def exported(request, tmp_path_factory):
    """A small captioner and the folder that it was exported to."""
    captioner = make_captioner(request.param)
    folder = tmp_path_factory.mktemp("exported")
    export_captioner(captioner, folder)
    return captioner, folder


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Paths of drawn pictures."""
    folder = tmp_path_factory.mktemp("pictures")
    for seed in range(6):
        draw_scene(generate_scene(seed)).save(folder / f"{seed}.png")
    return sorted(folder.iterdir())


@pytest.mark.parametrize("beam_size", [1, 4])
def test_sentences_and_scores_are_the_captioners(exported, beam_size):
    captioner, folder = exported
    features = np.random.default_rng(beam_size).normal(size=(5, 4, 6)).astype("float16")
    runtime = OnnxCaptioner(folder)
    followers = runtime.settings["followers"]
    for block_repeats, seen_pairs in ((0, True), (2, True), (2, False)):
        runtime.settings |= {"block_repeats": block_repeats, "followers": followers if seen_pairs else None}
        settings = {"block_repeats": block_repeats, "seen_pairs": seen_pairs}
        expected = captioner.caption_features(features, beam_size=beam_size, num_captions=beam_size, **settings)
        assert len({best[0].caption for best in expected}) > 1
        for feature, wanted in zip(features, expected, strict=True):
            found = runtime.caption_features(feature[None], beam_size)
            assert found[0][0] == wanted[0].caption
            assert dict(found) == pytest.approx({each.caption: each.score for each in wanted}, abs=1e-4)


def test_photos_go_the_whole_way(exported, pictures):
    captioner, folder = exported
    runtime = OnnxCaptioner(folder)
    expected = captioner.caption_images(pictures)
    assert [runtime.caption(picture) for picture in pictures] == [best[0].caption for best in expected]


def test_the_folder_is_complete_and_says_what_it_is(exported):
    captioner, folder = exported
    names = ["caption.py", "captioner.json", "encoder.onnx", "start.onnx", "step.onnx"]
    assert sorted(path.name for path in folder.iterdir()) == names
    settings = json.loads((folder / "captioner.json").read_text())
    assert settings["captioner"] == captioner.fingerprint
    assert settings["encoder"] == captioner.encoder
    assert settings["words"] == list(captioner.vocabulary.words)


def test_a_sentence_too_long_for_the_decoder_is_refused(exported):
    captioner, folder = exported
    runtime = OnnxCaptioner(folder)
    longest = runtime.settings["longest"]
    assert longest == (12 if "transformer" in captioner.decoder.name else 1000)
    with pytest.raises(ValueError, match=f"at most {longest} words"):
        runtime.caption_features(np.zeros((1, 4, 6), "float16"), max_length=longest + 1)


def test_the_program_needs_neither_keras_nor_this_package(exported, pictures, tmp_path):
    captioner, folder = exported
    check = (
        "import sys, runpy; sys.argv = sys.argv[1:]; sys.modules.update(dict.fromkeys("
        "['keras', 'tensorflow', 'h5py', 'captioning_utils'])); runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    command = [sys.executable, "-c", check, folder / "caption.py", pictures[0], "--beam_size", "1"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    caption = captioner.caption_images(pictures[:1], beam_size=1)[0][0].caption
    assert result.stdout == f"{pictures[0]}: {caption}\n"


def test_photos_are_read_as_the_package_reads_them(tmp_path):
    rng = np.random.default_rng(0)
    turned = Image.fromarray(rng.integers(0, 256, (40, 60, 3), dtype="uint8"))
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.png", exif=exif)
    Image.fromarray(rng.integers(0, 256, (40, 60, 4), dtype="uint8")).save(tmp_path / "clear.png")
    Image.fromarray(rng.integers(0, 256, (40, 60), dtype="uint8")).save(tmp_path / "grey.jpg")
    for path in tmp_path.iterdir():
        np.testing.assert_array_equal(load_photo(path, [30, 20]), load_image(path, (30, 20)))


def test_the_shipped_captioner_on_drawn_pictures(vgg16_weights, pictures, tmp_path):
    captioner = load_captioner()
    export_captioner(captioner, tmp_path)
    runtime = OnnxCaptioner(tmp_path)
    for beam_size in (1, captioner.generation.beam_size):
        expected = captioner.caption_images(pictures[:4], beam_size=beam_size)
        found = [runtime.caption(picture, beam_size) for picture in pictures[:4]]
        assert found == [best[0].caption for best in expected]


def relative_error(features, expected):
    difference = features.astype("float32") - expected.astype("float32")
    return np.linalg.norm(difference) / np.linalg.norm(expected.astype("float32"))


def test_8_bits_are_close_to_float32_and_keep_a_range_of_the_photos(tmp_path):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((32, 32, 3), dtype="uint8")
    x = keras.ops.cast(inputs, "float32") - np.float32([103, 116, 123])
    for filters in (16, 32, 32):
        x = keras.layers.Conv2D(filters, 3, 2, "same", activation="relu")(x)
    encoder = ImageEncoder("vgg16", "grid", "float32", keras.Model(inputs, keras.layers.Reshape((16, 32))(x)))
    images = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), dtype="uint8")
    write_in_8_bits(tmp_path / "forwards.onnx", encoder, images)
    write_in_8_bits(tmp_path / "backwards.onnx", encoder, images[::-1])
    forwards, backwards = (
        onnxruntime.InferenceSession(tmp_path / f"{name}.onnx").run(None, {"images": images})[0]
        for name in ("forwards", "backwards")
    )
    np.testing.assert_array_equal(forwards, backwards)
    assert 0 < relative_error(forwards, encoder.encode(images)) < 0.05
    size = len(convert(*encoder_graph(encoder)).SerializeToString())
    assert (tmp_path / "forwards.onnx").stat().st_size < 0.6 * size
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backwards.onnx", "forwards.onnx"]


def test_of_many_photos_some_are_taken_evenly(tmp_path, pictures):
    photos = [photo for picture in pictures * 32 for photo in (picture, "missing.png")]  # each second one of 384
    captioner = make_captioner("merge")
    export_captioner(captioner, tmp_path, calibration_photos=photos)
    runtime = OnnxCaptioner(tmp_path)
    for picture in pictures:
        (features,) = runtime.encoder.run(None, {"images": load_photo(picture, (224, 224))[None]})
        ((best, *_),) = captioner.caption_features(features)
        assert runtime.caption(picture) == best.caption
    with pytest.raises(InputError, match=r"missing\.png is not there"):
        export_captioner(captioner, tmp_path / "out", calibration_photos=photos[:20])
    assert not (tmp_path / "out").exists()


def test_the_quick_captioner_in_8_bits(vgg16_weights, pictures, tmp_path, capsys):
    (tmp_path / "photos" / "more").mkdir(parents=True)
    for seed in range(16):
        draw_scene(generate_scene(seed + 100)).save(tmp_path / "photos" / ("more" if seed % 2 else ".") / f"{seed}.png")
    arguments = ("flickr8k_merge", "--out", tmp_path / "out", "--calibration_photos", tmp_path / "photos")
    assert toys.run(export_main, *arguments) == OK
    assert "encoder.onnx: 14.8 MB" in capsys.readouterr().out
    captioner, runtime = load_captioner("flickr8k_merge"), OnnxCaptioner(tmp_path / "out")
    images = np.stack([load_photo(picture, (224, 224)) for picture in pictures[:3]])
    (features,) = runtime.encoder.run(None, {"images": images})
    assert relative_error(features, captioner.image_encoder().encode(images)) < 0.1
    found = [runtime.caption(picture) for picture in pictures[:3]]
    assert found == [best.caption for best, *_ in captioner.caption_features(features)]


def test_constants_outside_the_function_are_in_the_graph():
    offset = tf.random.normal((3,))
    model = convert(lambda x: {"moved": x + offset}, [tf.TensorSpec((None, 3), "float32", name="x")])
    assert [entry.name for entry in model.graph.input] == ["x"]
    x = np.ones((2, 3), "float32")
    (moved,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})
    np.testing.assert_allclose(moved, x + offset.numpy())


def test_what_cannot_be_exported_is_refused_before_the_work(tmp_path, monkeypatch):
    captioner = make_captioner("merge")
    monkeypatch.setattr(captioner, "encoder", captioner.encoder.replace(" grid ", " fc2 "))
    with pytest.raises(InputError, match="20 GB"):
        export_captioner(captioner, tmp_path / "out")
    with monkeypatch.context() as patch:
        patch.setattr("keras.backend.backend", lambda: "jax")
        with pytest.raises(InputError, match="needs KERAS_BACKEND=tensorflow"):
            export_captioner(captioner, tmp_path / "out")
    photos = [np.zeros((2, 2, 3), "uint8")] * 15
    with pytest.raises(InputError, match="15 are too few; give 16 or more"):
        export_captioner(make_captioner("merge"), tmp_path / "out", calibration_photos=photos)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name if name == "tf2onnx" else None)
    with pytest.raises(InputError, match="package onnxruntime, which is not installed"):
        export_captioner(captioner, tmp_path / "out", calibration_photos=photos)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'captioning-utils\[export\]'"):
        export_captioner(captioner, tmp_path / "out")
    assert not (tmp_path / "out").exists()
