"""A captioner as ONNX graphs, so that it runs without Keras: on a small server, in another language, in a browser.

Three graphs and one JSON file. `encoder.onnx`: photos → features. `start.onnx`: one photo's features → the decoder's
state. `step.onnx`: the last words and the state → logits for the next words and the new state. The search is left to
the program that runs them; `caption.py`, written beside them, is one such program.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import keras
import numpy as np
from keras import ops

from captioning_utils.base.backend import in_standard_settings
from captioning_utils.base.errors import InputError
from captioning_utils.base.files import atomic_write, check_writable, write_json, write_text
from captioning_utils.base.types import AnyPath, Tensor
from captioning_utils.decoders.base import CaptionDecoder, State
from captioning_utils.encoders.encoder import ImageEncoder

if TYPE_CHECKING:
    import onnx

    from captioning_utils.captioner import Captioner


Graph: TypeAlias = tuple[Callable[..., dict[str, Tensor]], list[Any]]
"""A function of tensors, and a `tf.TensorSpec` with a name for each of them."""
FORMAT_VERSION = 1
OPSET = 18  # onnxruntime reads it since 1.14; newer ones add nothing that these graphs use
EXAMPLE = Path(__file__).with_name("onnx_captions.py")
_CATCH_ERRORS = "TF2ONNX_CATCH_ERRORS"


@in_standard_settings
def export_captioner(captioner: Captioner, folder: AnyPath, weights_path: AnyPath | None = None) -> list[Path]:
    """Write a captioner as ONNX graphs, its words and settings as JSON, and a program that uses them.

    Args:
        captioner: `Captioner`.
        folder: str or `Path`, made when missing; files of the same names in it are replaced.
        weights_path: str or `Path` of a file with the encoder's weights; None finds or downloads them.

    Returns:
        list of `Path`: encoder.onnx, start.onnx, step.onnx, captioner.json, caption.py.

    Raises:
        InputError: when tf2onnx is not installed, Keras runs on another backend than TensorFlow, the encoder's weights
            cannot be had, or the captioner looks at more of the photo than an encoder without its dense top.
    """
    check_export_is_possible(captioner)
    folder = Path(folder)
    paths = [folder / name for name in ("encoder.onnx", "start.onnx", "step.onnx", "captioner.json", "caption.py")]
    for path in paths:
        check_writable(path)
    encoder = _float32_encoder(captioner, weights_path)
    state = captioner.decoder.initial_state(ops.zeros((1, *encoder.output_shape), "float16"))
    _write_graph(paths[0], *encoder_graph(encoder))
    _write_graph(paths[1], *start_graph(captioner.decoder))
    _write_graph(paths[2], *step_graph(captioner.decoder, state))
    write_json(paths[3], _settings(captioner, encoder, state))
    write_text(paths[4], EXAMPLE.read_text(encoding="utf-8"))
    return paths


def check_export_is_possible(captioner: Captioner) -> None:
    """Refuse before the work what `export_captioner` cannot do; its errors are listed there."""
    if importlib.util.find_spec("tf2onnx") is None:
        raise InputError(
            "the export needs the package tf2onnx, which is not installed; run: "
            "python -m pip install 'captioning-utils[export]'"
        )
    if keras.backend.backend() != "tensorflow":
        raise InputError(f"Keras runs on {keras.backend.backend()}; the export needs KERAS_BACKEND=tensorflow")
    if captioner.encoder_id.layer == "fc2":
        raise InputError(
            "this captioner reads VGG16's dense layer fc2, whose export takes more than 20 GB of memory; "
            "train one on the layer grid"
        )


def _float32_encoder(captioner: Captioner, weights_path: AnyPath | None) -> ImageEncoder:
    """The captioner's encoder in float32, for onnxruntime's CPU kernels have no bfloat16."""
    if captioner.encoder_id.dtype == "float32":
        return captioner.image_encoder(weights_path)
    return captioner.build_image_encoder(weights_path, "float32")


def _settings(captioner: Captioner, encoder: ImageEncoder, state: State) -> dict[str, Any]:
    """What a program needs to know beside the graphs."""
    generation = captioner.generation
    return {
        "format_version": FORMAT_VERSION,
        "captioner": captioner.fingerprint,
        "encoder": encoder.fingerprint,
        "image_size": list(encoder.image_size),
        "beam_size": generation.beam_size,
        "max_length": generation.max_length,
        "length_penalty": generation.length_penalty,
        "block_repeats": generation.block_repeats,
        "followers": _list_followers(captioner),
        "longest": captioner.decoder.max_length or 1000,
        "state": sorted(_flatten(state)),  # the order of the graphs' outputs
        "changing_state": sorted(_flatten(State({}, state.words))),
        "words": list(captioner.vocabulary.words),
    }


def _list_followers(captioner: Captioner) -> list[list[int]] | None:
    """For every token those that may follow it, or None where all may."""
    if captioner.pairs is None or not captioner.generation.seen_pairs:
        return None
    first, second = captioner.pairs.T
    return [second[first == token].tolist() for token in range(len(captioner.vocabulary))]


def _flatten(state: State) -> dict[str, Tensor]:
    """A decoder's state by the names that its tensors have in the graphs, where TensorFlow allows no spaces."""
    photo = {f"photo_{name}": value for name, value in state.photo.items()}
    return {name.replace(" ", "_"): value for name, value in (photo | state.words).items()}


def encoder_graph(encoder: ImageEncoder) -> Graph:
    """Photos → features, as the function and the signature that `convert` takes.

    Args:
        encoder: `ImageEncoder`, float32.

    Returns:
        (function, list of `tf.TensorSpec`): images uint8 `(batch, height, width, 3)` → features float16.
    """
    import tensorflow as tf

    largest = float(np.finfo(np.float16).max)

    def encode(images: Tensor) -> dict[str, Tensor]:
        features = encoder.model(images, training=False)
        return {"features": ops.cast(ops.clip(features, -largest, largest), "float16")}

    return encode, [tf.TensorSpec((None, *encoder.image_size, 3), "uint8", name="images")]


def start_graph(decoder: CaptionDecoder) -> Graph:
    """One photo's features → the state before the first word, as `encoder_graph`.

    One photo, because a decoder may ask how many there are while its graph is made.
    """
    import tensorflow as tf

    def start(features: Tensor) -> dict[str, Tensor]:
        return {name: tf.identity(value) for name, value in _flatten(decoder.initial_state(features)).items()}

    return start, [tf.TensorSpec((1, *decoder.config.feature_shape), "float16", name="features")]


def step_graph(decoder: CaptionDecoder, state: State) -> Graph:
    """The last words and the state → logits and the entries of the state that have changed, as `encoder_graph`."""
    import tensorflow as tf

    def step(tokens: Tensor, *values: Tensor) -> dict[str, Tensor]:
        split = len(state.photo)
        photo = dict(zip(state.photo, values[:split], strict=True))
        words = dict(zip(state.words, values[split:], strict=True))
        logits, (_, words) = decoder.step(tokens, State(photo, words))
        changed = _flatten(State({}, words)).items()
        return {"logits": logits} | {f"next_{name}": tf.identity(value) for name, value in changed}

    rows = [tf.TensorSpec((None, *value.shape[1:]), value.dtype, name=name) for name, value in _flatten(state).items()]
    return step, [tf.TensorSpec((None,), "int32", name="tokens"), *rows]


def convert(function: Callable[..., dict[str, Tensor]], signature: Sequence[Any]) -> onnx.ModelProto:
    """A function of tensors as an ONNX model.

    Example:
        >>> import tensorflow as tf
        >>> model = convert(lambda x: {"twice": 2.0 * x}, [tf.TensorSpec((None,), "float32", name="x")])
        >>> [each.name for each in (*model.graph.input, *model.graph.output)]
        ['x', 'twice']
    """
    import onnx
    import tensorflow as tf

    traced = tf.function(function, autograph=False)
    concrete = traced.get_concrete_function(*signature)
    with _quick_tf2onnx() as tf2onnx:
        model, _ = tf2onnx.convert.from_function(
            traced, signature, opset=OPSET, custom_op_handlers={"Erfc": (_write_erfc, [])}
        )
    _hold_constants(model, concrete)
    onnx.checker.check_model(model)
    return model


@contextlib.contextmanager
def _quick_tf2onnx() -> Iterator[Any]:
    """tf2onnx, told not to copy the whole graph, weights and all, before each of its many passes."""
    import tf2onnx

    before = os.environ.get(_CATCH_ERRORS)
    os.environ[_CATCH_ERRORS] = "FALSE"
    try:
        yield tf2onnx
    finally:
        os.environ.pop(_CATCH_ERRORS)
        if before is not None:
            os.environ[_CATCH_ERRORS] = before


def _write_erfc(graph: Any, node: Any, name: str, arguments: Any) -> None:
    """TensorFlow's complementary error function, part of gelu, has no operator in ONNX: 1 - erf(x)."""
    (result,), shape, dtype = node.output, graph.get_shape(node.output[0]), graph.get_dtype(node.output[0])
    (argument,) = node.input
    graph.remove_node(node.name)
    one = graph.make_const(f"{name}_one", np.ones((), np.float32))
    erf = graph.make_node("Erf", [argument], shapes=[shape], dtypes=[dtype])
    graph.make_node("Sub", [one.output[0], erf.output[0]], outputs=[result], shapes=[shape], dtypes=[dtype])


def _hold_constants(model: onnx.ModelProto, concrete: Any) -> None:
    """Give the graph the constants that Keras keeps outside it, such as the mean colour.

    tf2onnx takes tensors that a function refers to, but that are no variables, for inputs.
    """
    from onnx import numpy_helper

    values = {inside.name: outside for outside, inside in concrete.graph.captures if outside.dtype != "resource"}
    used = {
        name for node in model.graph.node for name in node.input
    }  # not all: some were computed on, once and for all
    for entry in [entry for entry in model.graph.input if entry.name in values]:
        model.graph.input.remove(entry)
        if entry.name in used:
            model.graph.initializer.append(numpy_helper.from_array(values[entry.name].numpy(), entry.name))


def _write_graph(path: AnyPath, function: Callable[..., dict[str, Tensor]], signature: Sequence[Any]) -> None:
    model = convert(function, signature)
    with atomic_write(path) as temporary:
        temporary.write_bytes(model.SerializeToString())
