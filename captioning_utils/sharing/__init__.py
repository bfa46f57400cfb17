"""A captioner for others: on Hugging Face's hub, as a model card, without Keras."""

from captioning_utils.sharing.hub import pull_captioner as pull_captioner
from captioning_utils.sharing.hub import push_captioner as push_captioner
from captioning_utils.sharing.model_card import build_model_card as build_model_card
from captioning_utils.sharing.onnx_export import export_captioner as export_captioner
