"""Keras as other people have set it up: in keras.json, or in their program."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from toys import make_balls, make_captioner, train

from captioning_utils import InputError
from captioning_utils.base.backend import load_backend
from captioning_utils.commands.shell import REFUSED
from captioning_utils.encoders import build_encoder

SETTINGS = ("float64", "mixed_float16")
MORE_SETTINGS = ("float16", "channels_first", "mixed_bfloat16", "policy float64", "policy float16")


@pytest.fixture(params=[*SETTINGS, *(pytest.param(name, marks=pytest.mark.slow) for name in MORE_SETTINGS)])
def other_settings(request):
    """Keras with one setting that the package does not have by itself."""
    before = keras.config.floatx(), keras.config.image_data_format(), keras.config.dtype_policy()
    name = request.param.removeprefix("policy ")
    if name == "channels_first":
        keras.config.set_image_data_format(name)
    else:
        if name == request.param and not name.startswith("mixed"):
            keras.config.set_floatx(name)
        keras.config.set_dtype_policy(name)
    after = keras.config.floatx(), keras.config.image_data_format(), keras.config.dtype_policy().name
    yield request.param
    assert after == (keras.config.floatx(), keras.config.image_data_format(), keras.config.dtype_policy().name)
    keras.config.set_floatx(before[0])
    keras.config.set_image_data_format(before[1])
    keras.config.set_dtype_policy(before[2])


def test_sentences_under_any_settings(other_settings):
    features = np.random.default_rng(0).normal(size=(3, 4, 8)).astype("float16")
    quick = other_settings in SETTINGS
    ways = ({"temperature": 0.9, "top_p": 0.8},) if quick else ({}, {"temperature": 0.9})
    for decoder in ("transformer",) if quick else ("merge", "attention", "transformer"):
        captioner = make_captioner(decoder, (4, 8))
        for settings in ways:
            found = captioner.caption_features(features, **settings)
            assert len(found) == 3
            assert all(np.isfinite(each.log_prob) and each.caption for photo in found for each in photo)


@pytest.mark.slow  # trains
def test_training_under_any_settings(other_settings, tmp_path):
    captioner = train(make_balls(tmp_path), tmp_path / "a.h5", epochs=1)
    assert np.isfinite(captioner.training["val_nats_per_token"])
    assert {array.dtype for array in captioner.decoder.get_weights()} == {np.dtype("float32")}


@pytest.mark.slow  # compiles EfficientNet for each
def test_features_under_any_settings(other_settings):
    photos = np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3), dtype=np.uint8)
    encoder = build_encoder("efficientnet_v2_b0", "avg", weights=None)
    found = encoder.encode(photos)
    assert encoder.output_shape == (1280,)
    assert found.dtype == np.float16
    assert np.isfinite(found).all()


@pytest.mark.parametrize("settings", [{"backend": "theano"}, {"floatx": "float13"}, {"backend": "no_such_backend"}])
def test_settings_under_which_keras_does_not_start_are_told_in_one_line(tmp_path, settings):
    (tmp_path / "keras.json").write_text(json.dumps(settings))
    code = (
        "import sys; from captioning_utils.__main__ import main; sys.exit(main(['generate', '--image_path', 'a.png']))"
    )
    (tmp_path / "a.png").touch()
    environment = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    environment |= {"KERAS_HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == REFUSED
    assert done.stderr.startswith("error: Keras does not start (")
    assert "keras.json" in done.stderr
    assert done.stderr.count("\n") == 1


def test_whatever_keeps_keras_from_starting_is_told_in_one_line(monkeypatch):
    def fail():
        raise AssertionError("no such\ndevice")

    monkeypatch.setattr(keras.distribution, "list_devices", fail)
    with pytest.raises(InputError, match=r"^Keras does not start \(no such device\); give a backend .*keras\.json"):
        load_backend()


@pytest.mark.slow  # starts JAX in a process of its own
@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="needs JAX")
def test_jax_keeps_what_it_compiled_between_processes(tmp_path):
    show = "import jax; print(jax.config.jax_compilation_cache_dir)"
    code = f"from captioning_utils import load_backend; load_backend(); {show}"
    environment = os.environ | {"KERAS_BACKEND": "jax", "XDG_CACHE_HOME": str(tmp_path)}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert result.stdout.strip() == str(tmp_path / "captioning_utils" / "jax"), result.stderr
