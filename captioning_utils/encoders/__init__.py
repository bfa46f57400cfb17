"""Photos to features: pretrained networks of `keras.applications`, and where their weights come from."""

from captioning_utils.encoders.encoder import ENCODERS as ENCODERS
from captioning_utils.encoders.encoder import ImageEncoder as ImageEncoder
from captioning_utils.encoders.encoder import build_encoder as build_encoder
from captioning_utils.encoders.encoder_id import EncoderId as EncoderId
from captioning_utils.encoders.weights import find_vgg16_weights as find_vgg16_weights
