"""Photos to features: pretrained networks of `keras.applications`, and where their weights come from."""

from captioning_utils.encoders.encoder import ENCODERS, ImageEncoder, build_encoder
from captioning_utils.encoders.encoder_id import EncoderId
from captioning_utils.encoders.weights import find_vgg16_weights
