"""A program that trains on made-up photos and prints its losses as JSON: python train_on_devices.py FOLDER one|all.

As many logical devices as DEVICES says; of several processes as Keras's own variables say.
"""

import json
import os
import sys
import time
from pathlib import Path

folder, devices = Path(sys.argv[1]), sys.argv[2]
number = int(os.environ.get("DEVICES", "1"))
os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={number}"

from captioning_utils import load_backend  # noqa: E402

if os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow" and number > 1:
    import tensorflow as tf

    configuration = [tf.config.LogicalDeviceConfiguration()] * number
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], configuration)
load_backend()

from toys import ColourFeatures, FailingFeatures, make_balls, small, weights_of  # noqa: E402

from captioning_utils.training import train_captioner, use_devices  # noqa: E402


class SlowFeatures(ColourFeatures):
    """Time to be killed in."""

    def get(self, image_ids):
        time.sleep(0.3)
        return super().get(image_ids)


sizes = {"embedding_dim": 8, "hidden_dim": 12, "dropout": 0.0, "hidden_dropout": 0.0}
settings = {
    "decoder_settings": sizes,
    "epochs": 4,
    "clip_norm": float(os.environ.get("CLIP", "5")),
    "ema": 0.9,
    "weight_decay": 0.01,
}
settings |= {"batch_size": int(os.environ.get("BATCH", "8"))}
features = ColourFeatures()
if "SLOW" in os.environ:
    features = SlowFeatures()
if "BATCHES" in os.environ:  # the disk goes away after so many
    features = FailingFeatures(features, int(os.environ["BATCHES"]))
with use_devices(devices) as share:
    captioner = train_captioner(make_balls(folder), features, folder / "model.h5", small(**settings), verbose=0)
sums = [float(abs(weights).sum()) for weights in weights_of(captioner)]
captions = [best[0].caption for best in captioner.caption_features(ColourFeatures().get(["40.jpg", "41.jpg"]))]
history = captioner.training["history"]
print(json.dumps({"share": share, "history": history, "weights": sums, "captions": captions}))
