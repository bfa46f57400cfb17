"""Training on several devices, and with JAX on several machines: each takes a share of the rows of every batch.

The one file of the training that names a backend, because TensorFlow's strategy has no name in Keras.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import keras
import numpy as np

from captioning_utils.base.errors import InputError
from captioning_utils.base.types import Tensor
from captioning_utils.base.wording import one_line
from captioning_utils.text import Vocabulary


class Share(NamedTuple):
    """How the rows of a batch are divided."""

    devices: int  # of all processes
    processes: int = 1
    process: int = 0  # the number of this one, from 0


@contextlib.contextmanager
def use_devices(devices: str = "all") -> Iterator[Share]:
    """Train on all devices of this machine, and of the other processes that Keras knows of.

    What is trained in here has the losses of one device, to rounding. On TensorFlow without dropout only, which there
    draws the same numbers on each device.

    Args:
        devices: "all", or "one", which changes nothing.

    Yields:
        `Share`.

    Raises:
        InputError: for another word, for all on PyTorch, or where another process ends in the middle.

    Example:
        >>> with use_devices("one") as share:
        ...     share.devices
        1
    """
    if devices not in ("one", "all"):
        raise InputError(f"devices is {devices!r:.40}; give one or all")
    if devices == "all" and keras.backend.backend() == "torch":
        raise InputError("devices is all; on PyTorch give one, or set KERAS_BACKEND to tensorflow or jax")
    if devices == "one":
        yield Share(1)
    elif keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        with tf.distribute.MirroredStrategy().scope():
            yield find_share()
    else:
        import jax

        try:
            with keras.distribution.DataParallel(auto_shard_dataset=False).scope():
                yield find_share()
        except jax.errors.JaxRuntimeError as error:
            if jax.process_count() == 1:
                raise
            raise InputError(
                f"another process of this run stopped ({one_line(error):.120}); start all of them again, which go on "
                "from the last checkpoint"
            ) from error


def find_share() -> Share:
    """The share of this process, inside `use_devices` or not."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return Share(tf.distribute.get_strategy().num_replicas_in_sync)
    distribution = keras.distribution.distribution()
    if distribution is None:
        return Share(1)
    import jax

    return Share(distribution.device_mesh.devices.size, jax.process_count(), jax.process_index())


class SharedBatches(keras.utils.PyDataset):
    """The rows of other batches that this process takes, and the weight of every target, `(inputs, targets, weights)`.

    All weights of a batch together are 1, so that losses are added up over the devices. Rows without targets fill a
    batch up, so that every device gets as many.

    Args:
        batches: `keras.utils.PyDataset` of `(inputs, target_tokens)`, with `start`.
        share: `Share`.

    Example:
        >>> class OneBatch(keras.utils.PyDataset):
        ...     def __getitem__(self, index):
        ...         return np.array([7, 8, 9]), np.array([[4, 2], [5, 2], [2, 0]])
        >>> inputs, targets, weights = SharedBatches(OneBatch(), Share(devices=4, processes=2, process=1))[0]
        >>> inputs.tolist(), targets.tolist(), weights.tolist()
        ([9, 9], [[2, 0], [0, 0]], [[0.20000000298023224, 0.0], [0.0, 0.0]])
    """

    def __init__(self, batches: Any, share: Share) -> None:
        super().__init__()
        self._batches, self._share = batches, share

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> tuple[Any, Any, Any]:
        inputs, targets = self._batches[index]
        real = (targets != Vocabulary.pad_id).astype(np.float32)
        weights = real / max(real.sum(), 1)
        missing = -len(targets) % self._share.devices
        size = (len(targets) + missing) // self._share.processes
        mine = slice(size * self._share.process, size * (self._share.process + 1))

        def fill(array: Any, filling: Any) -> Any:
            return np.concatenate([array, np.repeat(filling, missing, axis=0)])[mine]

        inputs = keras.tree.map_structure(lambda array: fill(array, array[-1:]), inputs)
        return inputs, fill(targets, 0 * targets[-1:]), fill(weights, 0 * weights[-1:])

    def start(self, epoch: int) -> None:
        """As of the batches."""
        self._batches.start(epoch)

    def on_epoch_end(self) -> None:
        """Keras's hook."""
        self._batches.on_epoch_end()


def shared_optimizer(make: Callable[..., Any]) -> Callable[..., Any]:
    """An optimizer class that shortens the gradient of all devices together; TensorFlow's shortens each one's."""
    if keras.backend.backend() != "tensorflow":
        return make
    import tensorflow as tf

    class SharedOptimizer(make):  # type: ignore[misc, valid-type]
        """The gradients are added up before they are shortened, and not again."""

        def _clip_gradients(self, gradients: list[Tensor]) -> list[Tensor]:
            context = tf.distribute.get_replica_context()
            dense = [tf.convert_to_tensor(gradient) for gradient in gradients]
            return super()._clip_gradients(context.all_reduce(tf.distribute.ReduceOp.SUM, dense))

        def _all_reduce_sum_gradients(self, grads_and_vars: Any) -> Any:
            return grads_and_vars

    return SharedOptimizer
