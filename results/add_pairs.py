"""Let a captioner of an older release know which words follow which in the captions that it was trained on.

    python results/add_pairs.py image_caption_model.h5 --data_path data/flickr8k

Newer captioners know it from their training. Nothing else in the file changes.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from captioning_utils import load_captioner, load_dataset
from captioning_utils.base.storage import read_storage, write_storage
from captioning_utils.base.word_pairs import collect_pairs, pack_pairs
from captioning_utils.captioner import FILE_KIND, FORMAT_VERSION
from captioning_utils.commands.options import add_place_options
from captioning_utils.commands.shell import OK, run_command
from captioning_utils.training import encode_captions


def add_pairs(path, dataset):
    """Write the pairs of the train split's captions into a captioner's file; gives their number."""
    captioner = load_captioner(path)
    max_words = captioner.training["settings"]["max_words"]
    rows = encode_captions(
        dataset, "train", captioner.vocabulary, captioner.cleaning, max_words, dataset.splits["train"]
    )
    pairs = collect_pairs(tokens for _, tokens in rows)
    documents, arrays = read_storage(path, FILE_KIND, FORMAT_VERSION)
    arrays["pairs"] = pack_pairs(pairs, len(captioner.vocabulary))
    write_storage(path, FILE_KIND, FORMAT_VERSION, documents, arrays)
    return len(pairs)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("captioners", nargs="+", type=Path, metavar="FILE", help="captioner to write to")
    parser.add_argument("--data_path", required=True, help="the dataset of its training")
    add_place_options(parser)
    options = parser.parse_args(arguments)
    dataset = load_dataset(options.data_path, options.images, options.captions)
    for path in options.captioners:
        print(f"{path}: {add_pairs(path, dataset)} pairs of words")
    return OK


if __name__ == "__main__":
    sys.exit(run_command(main))
