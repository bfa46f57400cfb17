"""Training: `train_captioner` and what it is made of; fine-tuning, self-critical training, ensembles."""

from captioning_utils.training.encoder_tuning import fine_tune_encoder as fine_tune_encoder
from captioning_utils.training.ensembles import combine_captioners as combine_captioners
from captioning_utils.training.fine_tuning import fine_tune_captioner as fine_tune_captioner
from captioning_utils.training.growing import grow_captioner as grow_captioner
from captioning_utils.training.growing import grow_vocabulary as grow_vocabulary
from captioning_utils.training.losses import NatsPerToken as NatsPerToken
from captioning_utils.training.losses import masked_cross_entropy as masked_cross_entropy
from captioning_utils.training.losses import token_cross_entropy as token_cross_entropy
from captioning_utils.training.self_critical import CiderReward as CiderReward
from captioning_utils.training.self_critical import compute_advantages as compute_advantages
from captioning_utils.training.self_critical import train_self_critical as train_self_critical
from captioning_utils.training.train import build_optimizer as build_optimizer
from captioning_utils.training.train import build_schedule as build_schedule
from captioning_utils.training.train import encode_captions as encode_captions
from captioning_utils.training.train import fit_decoder as fit_decoder
from captioning_utils.training.train import prepare_captions as prepare_captions
from captioning_utils.training.train import train_captioner as train_captioner
