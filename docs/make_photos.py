"""Draw docs/photos.jpg: the photographs of data/samples with the sentences of the captioner that ships.

    python docs/make_photos.py

In grey below each sentence stands what a person sees. The sentences are printed, for the pages that quote them.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from captioning_utils import predict_caption
from captioning_utils.images import list_samples
from captioning_utils.plots import plot_photos


def main():
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    samples = list_samples()
    sentences = predict_caption(list(samples))
    for path, sentence in zip(samples, sentences, strict=True):
        print(f"{path.name}: {sentence}")
    figure = plot_photos(list(samples), sentences, [[text] for text in samples.values()], columns=5)
    figure.savefig(Path(__file__).with_name("photos.jpg"), dpi=100, pil_kwargs={"quality": 85, "optimize": True})


if __name__ == "__main__":
    main()
