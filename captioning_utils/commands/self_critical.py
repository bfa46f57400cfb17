"""The command that trains on CIDEr-D: `python -m captioning_utils self_critical`."""

import argparse
from collections.abc import Sequence

from captioning_utils.base.backend import load_backend
from captioning_utils.commands.options import add_data_options, add_settings, chosen_settings, open_dataset
from captioning_utils.commands.shell import OK, PARTLY, build_parser, when_stopped
from captioning_utils.commands.train import show_samples
from captioning_utils.datasets.splits import SPLITS
from captioning_utils.settings import SelfCriticalConfig


@when_stopped("the same command goes on from here")
def self_critical_main(arguments: Sequence[str] | None = None) -> int:
    """`self_critical`: a trained captioner, trained further on CIDEr-D. Returns the exit code."""
    options = build_self_critical_parser().parse_args(arguments)
    load_backend()
    from captioning_utils.bulk import captioner_features, extract_views
    from captioning_utils.captioner import load_captioner
    from captioning_utils.training.run import check_places
    from captioning_utils.training.self_critical import train_self_critical

    config = SelfCriticalConfig(**chosen_settings(SelfCriticalConfig, vars(options)))
    check_places(options.model_path)
    captioner = load_captioner(options.start_from)
    dataset = open_dataset(options)
    print(dataset.summary())
    plain = [image_id for split in (("val",) if config.views else SPLITS) for image_id in dataset.splits[split]]
    features = captioner_features(captioner, dataset, plain, options.features, options.weights)
    views = extract_views(captioner, dataset, config.views, options.weights) if config.views else []
    trained = train_self_critical(captioner, dataset, features, options.model_path, config, views)
    history = trained.training["self_critical"]["history"]
    best = trained.training["self_critical"]["best_epoch"]
    start, end = history[0]["val_cider_d"], history[best]["val_cider_d"]
    print(
        f"{options.model_path}: CIDEr-D {100 * end:.1f} on the val split after epoch {best}, {100 * start:.1f} before"
    )
    show_samples(trained, dataset, features)
    return PARTLY if "stopped" in trained.training["self_critical"] else OK


def build_self_critical_parser() -> argparse.ArgumentParser:
    """The parser of `self_critical`."""
    parser = build_parser(
        "self_critical",
        "Train a captioner further on CIDEr-D, the score that captions are judged by (self-critical training). The\n"
        "captioner comes from train.py; the epoch with the best CIDEr-D on the val split is kept. A run that was\n"
        "stopped goes on from its last checkpoint when the same command is given again.",
        "--start_from image_caption_model.h5 --data_path data/flickr8k --model_path self_critical.h5",
    )
    parser.add_argument(
        "--start_from",
        required=True,
        help="captioner file to begin with, or the name of one that ships; it stays as it is",
    )
    parser.add_argument("--model_path", default="self_critical.h5", help="where the new captioner is written")
    add_data_options(parser)
    add_settings(parser.add_argument_group("training"), SelfCriticalConfig)
    return parser
