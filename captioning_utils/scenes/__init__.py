"""The drawn dataset: scenes made from a seed, their pictures, captions and facts, and whether a caption is true."""

from captioning_utils.scenes.dataset import draw_dataset as draw_dataset
from captioning_utils.scenes.dataset import draw_scene as draw_scene
from captioning_utils.scenes.dataset import locate_objects as locate_objects
from captioning_utils.scenes.scene import Scene as Scene
from captioning_utils.scenes.scene import SceneObject as SceneObject
from captioning_utils.scenes.scene import generate_scene as generate_scene
from captioning_utils.scenes.truth import compute_truth as compute_truth
from captioning_utils.scenes.truth_summary import load_facts as load_facts
from captioning_utils.scenes.truth_summary import summarize_truth as summarize_truth
from captioning_utils.scenes.wording import describe_scene as describe_scene
from captioning_utils.scenes.words import OBJECT_WORDS as OBJECT_WORDS
