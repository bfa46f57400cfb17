"""A captioner for others: on Hugging Face's hub, as a model card, without Keras."""

from captioning_utils.base.files import join_parts, write_parts
from captioning_utils.sharing.hub import pull_captioner, push_captioner
from captioning_utils.sharing.model_card import build_model_card
from captioning_utils.sharing.onnx_export import export_captioner
