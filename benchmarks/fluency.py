"""How often does a captioner join words that nobody joins, about photos of a kind that it never saw?

    python benchmarks/fluency.py --data_path data/flickr8k --photos data/samples data/my_photos

Sentences for the photos of the given folders and for made pictures of other kinds: drawn scenes, noise, plain colours,
pages of text, and close-ups cut out of the given photos. A sentence is fluent where no word stands twice in a row and
every two neighbouring words stand side by side in a train caption, too. People join words in new ways as well: the
first line has their share. Each captioner writes twice: any pairs of words, and only those of its train captions.
"""

import argparse
import itertools
import sys
from pathlib import Path

import numpy as np
from measure import whole
from PIL import Image, ImageDraw

sys.path.insert(0, str(Path(__file__).parents[1]))

from captioning_utils import load_captioner, load_dataset
from captioning_utils.captioner import shipped_captioners
from captioning_utils.commands.shell import run_command
from captioning_utils.images import find_images, load_image
from captioning_utils.metrics import find_odd_pairs
from captioning_utils.scenes import draw_scene, generate_scene

SIDE = 448


def make_noise(number):
    """Grey or coloured noise, coarse or fine: uint8 `(448, 448, 3)`."""
    rng = np.random.default_rng(number)
    size = 2 ** (2 + number % 7)
    pixels = rng.integers(0, 256, (size, size, 3 if number % 2 else 1), dtype=np.uint8)
    return np.asarray(Image.fromarray(np.broadcast_to(pixels, (size, size, 3)).copy()).resize((SIDE, SIDE)))


def make_plain(number):
    """One colour all over."""
    return np.full((SIDE, SIDE, 3), np.random.default_rng(number).integers(0, 256, 3), np.uint8)


def make_page(number):
    """A page of text, as a scanner gives it."""
    page = Image.new("RGB", (SIDE, SIDE), "white")
    words = np.random.default_rng(number).choice(__doc__.split(), 400)
    lines = "\n".join(" ".join(words[start : start + 9]) for start in range(0, len(words), 9))
    ImageDraw.Draw(page).multiline_text((20, 20), lines, fill="black", spacing=2 + number)
    return np.asarray(page)


def cut_close_up(image, number):
    """A quarter to a half of a photo's width, anywhere in it."""
    rng = np.random.default_rng(number)
    sides = [int(side * rng.uniform(0.25, 0.5)) for side in image.shape[:2]]
    top, left = (int(rng.integers(0, side - part + 1)) for side, part in zip(image.shape, sides, strict=False))
    return image[top : top + sides[0], left : left + sides[1]]


def collect_pictures(folders, number):
    """Dict of kind to list of uint8 `(height, width, 3)`."""
    photos = {Path(folder).name: [load_image(path) for path in find_images(folder)] for folder in folders}
    given = list(itertools.chain(*photos.values()))
    return photos | {
        "close-ups": [cut_close_up(image, place) for place, image in enumerate(given)],
        "drawn scenes": [np.asarray(draw_scene(generate_scene(f"fluency {place}"))) for place in range(number)],
        "noise": [make_noise(place) for place in range(number)],
        "plain colours": [make_plain(place) for place in range(number)],
        "pages of text": [make_page(place) for place in range(number)],
    }


def encode(encoder, pictures, at_once=16):
    """The features of all pictures."""
    parts = [pictures[start : start + at_once] for start in range(0, len(pictures), at_once)]
    return np.concatenate(
        [encoder.encode(np.stack([load_image(image, encoder.image_size) for image in part])) for part in parts]
    )


def show(who, kind, sentences, train, examples=5):
    """Print the share of fluent sentences, and some that are not."""
    odd = find_odd_pairs(sentences, train)
    doubled = sum(any(left == right for left, right in pairs) for pairs in odd) / len(odd)
    share = sum(not pairs for pairs in odd) / len(odd)
    print(f"{who}, {kind}: {share:.1%} of {len(odd)} sentences are fluent, {doubled:.1%} double a word")
    broken = [sentence for sentence, pairs in zip(sentences, odd, strict=True) if pairs]
    print(*(f"    {sentence}\n" for sentence in broken[:examples]), sep="", end="", flush=True)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_path", required=True, help="the dataset of the captioners' training, for its captions")
    parser.add_argument("--photos", nargs="*", default=["data/samples"], help="folders of photos")
    parser.add_argument("--captioners", nargs="+", default=sorted(shipped_captioners()), help="names or files")
    parser.add_argument("--number", type=whole, default=20, help="made pictures of a kind")
    options = parser.parse_args(arguments)
    dataset = load_dataset(options.data_path)
    train = [caption for image_id in dataset.splits["train"] for caption in dataset.captions[image_id]]
    people = [dataset.captions[image_id][0] for image_id in dataset.splits["val"]]
    show("people", "val photos", people, train, examples=0)
    pictures = collect_pictures(options.photos, options.number)
    for name in options.captioners:
        captioner = load_captioner(name)
        kinds = {kind: encode(captioner.image_encoder(), images) for kind, images in pictures.items() if images}
        for seen, rule in ((False, "any pairs"), (True, "seen pairs")):
            written = {
                kind: [best.caption for best, *_ in captioner.caption_features(features, seen_pairs=seen)]
                for kind, features in kinds.items()
            }
            for kind, sentences in written.items():
                show(f"{Path(name).stem}, {rule}", kind, sentences, train)
            show(f"{Path(name).stem}, {rule}", "all kinds", list(itertools.chain(*written.values())), train, examples=0)


if __name__ == "__main__":
    sys.exit(run_command(main))
