"""The drawn dataset: scenes made from a seed, their pictures, captions and facts, and whether a caption is true."""

from captioning_utils.scenes.dataset import draw_dataset, draw_scene, locate_objects
from captioning_utils.scenes.scene import Scene, SceneObject, generate_scene
from captioning_utils.scenes.truth import compute_truth
from captioning_utils.scenes.truth_summary import load_facts, summarize_truth
from captioning_utils.scenes.wording import describe_scene
from captioning_utils.scenes.words import OBJECT_WORDS
