"""What does one photo cost, besides the network that looks at it?

    python benchmarks/one_photo.py
    python benchmarks/one_photo.py --exported exported    # by ONNX Runtime, after an export with --calibration_photos

Warm: from the file to the sentence, as `predict_caption` does it, against a pass of the captioner's encoder over the
same pixels; for the captioner of `generate.py --fast` against a pass of VGG16 over 224×224 pixels, which is its own.
Cold: the whole process `generate.py`, less one that only imports TensorFlow, less the encoder's pass. And how long
the slowest command needs to explain itself by --help.
"""

import functools
import sys
from pathlib import Path

from measure import build_parser, claim, finish, parse, ratios, seconds_of_command, take_turns, whole

sys.path.insert(0, str(Path(__file__).parents[1]))

from captioning_utils.__main__ import COMMANDS
from captioning_utils.base.backend import load_backend
from captioning_utils.commands.shell import run_command
from captioning_utils.images import list_samples, load_image
from captioning_utils.settings import FAST_CAPTIONER

ROOT = Path(__file__).parents[1]


def measure_warm(write, encoder, photo, options):
    """(seconds of file to sentence, seconds of the encoder) of each round; `write` makes the sentence."""
    pixels = load_image(photo, encoder.image_size)[None]
    sides = {"sentence": lambda: write(photo), "encoder": lambda: encoder.encode(pixels)}
    for side in sides.values():
        side()  # compiles
    found = take_turns(sides, options.rounds)
    return found["sentence"], found["encoder"]


def measure_cold(name, photo, options):
    """(seconds of generate.py, seconds of an import of TensorFlow) of each round."""
    which = [] if name is None else ["--model_path", name]
    sides = {
        "whole": [sys.executable, str(ROOT / "generate.py"), "--image_path", str(photo), *which],
        "import": [sys.executable, "-c", "import tensorflow"],
    }
    found = take_turns(sides, options.cold_rounds, seconds_of_command)
    return found["whole"], found["import"]


def measure_help(options):
    """{command: seconds of each round}."""
    sides = {name: [sys.executable, "-m", "captioning_utils", name, "--help"] for name in COMMANDS}
    return take_turns(sides, options.cold_rounds, lambda command: seconds_of_command(command, cwd=ROOT))


def compare_warm(label, sentence, encoder, warm_limit, network="the encoder"):
    """The figure of a warm photo."""
    here, other = (f"{1e3 * sorted(each)[len(each) // 2]:.0f} ms" for each in (sentence, encoder))
    what = f"one photo, warm, {label}: file to sentence over {network}'s pass"
    return claim(what, ratios(sentence, encoder), here, f"{network}: {other}", at_most=warm_limit)


def describe_exported(folder, photo, options):
    """The figure of a captioner in an exported folder, against a pass of VGG16 in Keras, float32."""
    from captioning_utils.encoders import build_encoder
    from captioning_utils.sharing.onnx_captions import OnnxCaptioner

    sentence, encoder = measure_warm(OnnxCaptioner(folder).caption, build_encoder(), photo, options)
    return compare_warm(f"{FAST_CAPTIONER} in 8 bits", sentence, encoder, 1.2, "VGG16")


def describe(name, photo, options, warm_limit):
    """The two figures of a captioner."""
    from captioning_utils.captioner import load_captioner, predict_caption

    label, captioner = name or "predict_caption's captioner", load_captioner(name)
    write = functools.partial(predict_caption, captioner=captioner)
    sentence, encoder = measure_warm(write, captioner.image_encoder(), photo, options)
    whole, started = measure_cold(name, photo, options)
    middle = sorted(encoder)[len(encoder) // 2]
    beyond = [one - other - middle for one, other in zip(whole, started, strict=True)]
    return [
        compare_warm(label, sentence, encoder, warm_limit),
        claim(
            f"one photo, cold, {label}: beyond the import of TensorFlow and the encoder's pass",
            beyond,
            f"`generate.py`: {sorted(whole)[len(whole) // 2]:.1f} s",
            f"`import tensorflow`: {sorted(started)[len(started) // 2]:.1f} s",
            unit="s",
            at_most=2,
        ),
    ]


def main(arguments=None):
    parser = build_parser(__doc__, rounds=15)
    parser.add_argument("--cold_rounds", type=whole, default=3, help="turns of whole processes")
    parser.add_argument("--exported", help=f"only this: the folder of an export of {FAST_CAPTIONER} in 8 bits")
    options = parse(parser, arguments)
    if options.small:
        options.rounds, options.cold_rounds = 3, 1
    photo = next(iter(list_samples()))
    if options.exported:
        load_backend()
        return finish(options, [describe_exported(options.exported, photo, options)])
    found = measure_help(options)
    slowest = max(found, key=lambda name: sorted(found[name])[len(found[name]) // 2])
    claims = [claim("--help, the slowest command", found[slowest], slowest, "", unit="s", at_most=0.5)]
    load_backend()
    claims += describe(FAST_CAPTIONER, photo, options, 1.2)
    if not options.small:
        claims += describe(None, photo, options, 1.1)
    return finish(options, claims)


if __name__ == "__main__":
    sys.exit(run_command(main))
