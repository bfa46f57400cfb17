"""Dropout that sets in later: the first epochs learn with all of the network."""

from typing import Any

import keras


class LateDropout(keras.callbacks.Callback):
    """Train without any dropout until an epoch, then with all of it.

    At the start a decoder underfits, and dropout slows it down; later it overfits, and dropout is what helps. Which
    epoch it is follows from its number alone, so that a run that was stopped goes on exactly.

    Args:
        first_epoch: int from 1, the first epoch with dropout; 1 changes nothing.

    Example:
        >>> import numpy as np
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dropout(0.5), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> seen = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: print(model.layers[0].rate))
        >>> x, y = np.ones((2, 4)), np.ones((2, 1))
        >>> history = model.fit(x, y, epochs=3, verbose=0, callbacks=[LateDropout(first_epoch=3), seen])
        0.0
        0.0
        0.5

    References:
        Morerio et al. 2017, Curriculum Dropout (arXiv:1703.06229), with a step instead of a curve: every other rate
        is another graph to compile.
    """

    def __init__(self, first_epoch: int) -> None:
        super().__init__()
        self.first_epoch = first_epoch

    def on_train_begin(self, logs: Any = None) -> None:
        """Keras's hook: note the rates that the decoder was built with."""
        layers = self.model._flatten_layers()
        self._rates = {layer: layer.rate for layer in layers if isinstance(layer, keras.layers.Dropout)}

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Keras's hook: set the rates of this epoch, which counts from 0 here."""
        self._set(epoch + 1 >= self.first_epoch)

    def on_train_end(self, logs: Any = None) -> None:
        """Keras's hook: leave the decoder as it was."""
        self._set(True)

    def _set(self, is_on: bool) -> None:
        rates = {layer: rate if is_on else 0.0 for layer, rate in self._rates.items()}
        if any(layer.rate != rate for layer, rate in rates.items()):
            for layer, rate in rates.items():
                layer.rate = rate
            self.model.make_train_function(force=True)  # a compiled step keeps the rates it was compiled with
