"""Sentences for photos from an exported captioner: onnxruntime, numpy and Pillow are all that this file needs.

`python -m captioning_utils export` puts a copy of it beside the graphs, to run or to build on:

    python caption.py photo.jpg another.jpg --beam_size 5
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from PIL import Image, ImageOps

PAD, START, END, UNKNOWN = 0, 1, 2, 3  # the first four words of every vocabulary
IMPOSSIBLE = -1e9  # a log-probability that no sum of real ones reaches


class OnnxCaptioner:
    """An exported captioner. It searches, greedy or with beams; it does not sample."""

    def __init__(self, folder: str | Path) -> None:
        folder = Path(folder)
        self.settings = json.loads((folder / "captioner.json").read_text(encoding="utf-8"))
        self.encoder, self.start, self.step = (
            onnxruntime.InferenceSession(folder / f"{name}.onnx", providers=["CPUExecutionProvider"])
            for name in ("encoder", "start", "step")
        )

    def caption(self, photo: str | Path | BinaryIO, beam_size: int | None = None, max_length: int | None = None) -> str:
        """One sentence for a photo."""
        (features,) = self.encoder.run(None, {"images": load_photo(photo, self.settings["image_size"])[None]})
        return self.caption_features(features, beam_size, max_length)[0][0]

    def caption_features(
        self, features: NDArray[np.float16], beam_size: int | None = None, max_length: int | None = None
    ) -> list[tuple[str, float]]:
        """All sentences of the search for one photo, best first.

        Args:
            features: float16 `(1, *feature_shape)`, one photo's, from the encoder.
            beam_size: as for `caption`.
            max_length: as for `caption`.

        Returns:
            list of (str, float): sentence and score, the log-probability / tokens ** length_penalty.

        Raises:
            ValueError: where the captioner cannot write so long a sentence.
        """
        beams = beam_size or self.settings["beam_size"]
        length = max_length or self.settings["max_length"]
        if length > self.settings["longest"]:
            raise ValueError(f"max_length is {length}; this captioner writes at most {self.settings['longest']} words")
        state = dict(zip(self.settings["state"], self.start.run(None, {"features": features}), strict=True))
        state = {name: np.repeat(value, beams, axis=0) for name, value in state.items()}
        tokens = np.full((beams, length), PAD, np.int32)
        log_probs = np.where(np.arange(beams) == 0, 0, IMPOSSIBLE).astype(np.float32)  # all begin alike: one may grow
        lengths, finished = np.zeros(beams, np.float32), np.zeros(beams, bool)
        for position in range(length):
            last = tokens[:, position - 1] if position else np.full(beams, START, np.int32)
            logits, state = self._next(last, state)
            forbid_tokens(logits, tokens[:, :position], self.settings["block_repeats"])
            steps = logits - logits.max(axis=1, keepdims=True)
            steps -= np.log(np.exp(steps).sum(axis=1, keepdims=True))  # log-probabilities
            if self.settings["followers"]:
                keep_followers(steps, [self.settings["followers"][token] for token in last], position)
            steps[finished] = np.where(np.arange(steps.shape[1]) == PAD, 0, IMPOSSIBLE)
            totals = log_probs[:, None] + steps  # (beams, vocabulary)
            scores = totals / (lengths + ~finished)[:, None] ** self.settings["length_penalty"]
            best = np.argsort(-scores.ravel(), kind="stable")[:beams]
            beam, word = np.divmod(best, steps.shape[1])
            log_probs, lengths = totals.ravel()[best], (lengths + ~finished)[beam]
            tokens, finished = tokens[beam], finished[beam]
            tokens[:, position] = np.where(finished, PAD, word)
            finished |= word == END
            state = {name: value[beam] for name, value in state.items()}
            if finished.all():
                break
        return self._rank(tokens, log_probs, lengths, finished)

    def _next(
        self, tokens: NDArray[np.int32], state: dict[str, NDArray[Any]]
    ) -> tuple[NDArray[np.float32], dict[str, NDArray[Any]]]:
        """Logits for the next word and the new state; what depends on the photo alone stays as it is."""
        logits, *changed = self.step.run(None, {"tokens": tokens, **state})
        return logits, state | dict(zip(self.settings["changing_state"], changed, strict=True))

    def _rank(
        self,
        tokens: NDArray[np.int32],
        log_probs: NDArray[np.float32],
        lengths: NDArray[np.float32],
        finished: NDArray[np.bool_],
    ) -> list[tuple[str, float]]:
        """Sentences that ended come before those that did not."""
        scores = log_probs / lengths ** self.settings["length_penalty"]
        real = np.flatnonzero(log_probs > IMPOSSIBLE / 2)  # few words may fill the beams with impossible sentences
        order = real[np.lexsort((-scores[real], ~finished[real]))]
        words = self.settings["words"]
        return [
            (" ".join(words[token] for token in tokens[row] if token not in (PAD, END)), float(scores[row]))
            for row in order
        ]


def forbid_tokens(logits: NDArray[np.float32], history: NDArray[np.int32], block_repeats: int) -> None:
    """Mask, in place, what may not come next: special tokens, an empty sentence, repeated runs of words.

    Args:
        logits: float32 `(beams, vocabulary_size)`.
        history: int32 `(beams, position)`, the words so far.
        block_repeats: int, runs of so many words occur once in a sentence; 0 allows repeats.

    Example:
        >>> logits = np.zeros((1, 7), np.float32)
        >>> forbid_tokens(logits, np.array([[4, 5, 6, 4, 5]]), block_repeats=3)
        >>> (logits[0] < 0).nonzero()[0].tolist()
        [0, 1, 3, 6]
    """
    position = history.shape[1]
    logits[:, [PAD, START, UNKNOWN, *([] if position else [END])]] = IMPOSSIBLE
    if not block_repeats:
        return
    for row, words in enumerate(history.tolist()):
        recent = words[position - block_repeats + 1 :]
        for start in range(position - block_repeats + 1):
            if words[start : start + block_repeats - 1] == recent:
                logits[row, words[start + block_repeats - 1]] = IMPOSSIBLE


def keep_followers(log_probs: NDArray[np.float32], followers: Sequence[Sequence[int]], position: int) -> None:
    """Mask, in place, the tokens that do not follow the last one in any train caption.

    Where none is left the sentence ends; the first word is then any.

    Args:
        log_probs: float32 `(beams, vocabulary_size)`, of the tokens that `forbid_tokens` leaves.
        followers: for each beam the tokens that may follow.
        position: int, the number of words so far.

    Example:
        >>> log_probs = np.zeros((2, 7), np.float32)
        >>> keep_followers(log_probs, [[4, 6], []], position=1)
        >>> [(row > IMPOSSIBLE).nonzero()[0].tolist() for row in log_probs]
        [[4, 6], [2]]
    """
    for row, allowed in enumerate(followers):
        if not (log_probs[row, allowed] > IMPOSSIBLE / 2).any():
            allowed = [END] if position else range(log_probs.shape[1])
        kept = np.full_like(log_probs[row], IMPOSSIBLE)
        kept[allowed] = log_probs[row, allowed]
        log_probs[row] = kept


def load_photo(photo: str | Path | BinaryIO, size: tuple[int, int] | list[int]) -> NDArray[np.uint8]:
    """A photo as the encoder takes it: turned as the camera says, transparency on white, RGB, squashed to `size`.

    Args:
        photo: path or open binary file.
        size: (height, width) in pixels.

    Returns:
        uint8 `(height, width, 3)`, RGB, 0–255.
    """
    with Image.open(photo) as file:
        image = ImageOps.exif_transpose(file)
        if image.has_transparency_data:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        height, width = size
        return np.asarray(image.convert("RGB").resize((width, height), Image.Resampling.BILINEAR))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a sentence for each photo."""
    parser = argparse.ArgumentParser(description="Describe photos in sentences, with the graphs beside this file.")
    parser.add_argument("photos", nargs="+", help="photos to describe")
    parser.add_argument("--beam_size", type=int, help="sentences kept in mind at once; 1 is greedy")
    parser.add_argument("--folder", default=Path(__file__).parent, help="where the graphs are, if not here")
    options = parser.parse_args(arguments)
    captioner = OnnxCaptioner(options.folder)
    for photo in options.photos:
        print(f"{photo}: {captioner.caption(photo, options.beam_size)}")


if __name__ == "__main__":
    main()
