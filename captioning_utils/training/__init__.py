"""Training: `train_captioner` and what it is made of; fine-tuning, self-critical training, ensembles."""

from captioning_utils.metrics.cider_reward import CiderReward
from captioning_utils.training.devices import use_devices
from captioning_utils.training.ensembles import combine_captioners
from captioning_utils.training.fine_tuning import fine_tune_captioner
from captioning_utils.training.growing import grow_captioner, grow_vocabulary
from captioning_utils.training.losses import NatsPerToken, masked_cross_entropy
from captioning_utils.training.photo_training import train_on_photos
from captioning_utils.training.self_critical import compute_advantages, train_self_critical
from captioning_utils.training.train import encode_captions, prepare_captions, train_captioner
