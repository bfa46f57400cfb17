"""The drawn dataset: pictures made from a seed, five captions each, and the facts that the captions must agree with."""

from __future__ import annotations

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from captioning_utils.base.errors import InputError
from captioning_utils.base.files import atomic_write, read_json, write_json, write_text
from captioning_utils.base.tables import to_csv
from captioning_utils.base.types import AnyPath
from captioning_utils.scenes.scene import Scene, generate_scene
from captioning_utils.scenes.scenery import DRAWING_VERSION, render
from captioning_utils.scenes.wording import describe_scene

if TYPE_CHECKING:
    from PIL import Image


def draw_scene(scene: Scene) -> Image.Image:
    """Draw a scene: an RGB `PIL.Image` of 224×224 pixels, the same pixels for the same scene.

    Example:
        >>> draw_scene(generate_scene(0)).mode
        'RGB'
    """
    return render(scene)[0]


def locate_objects(scene: Scene) -> list[list[list[int]]]:
    """Where the objects of a scene are drawn.

    Returns:
        For each of `scene.objects`: a list of boxes [left, top, right, bottom] in pixels of the 224×224 picture, one
        for every single one (two dogs: two boxes).

    Example:
        >>> from captioning_utils.scenes import Scene, SceneObject
        >>> scene = Scene("beach", "sunny", (SceneObject("dog", "brown", 2, "running"),))
        >>> [len(boxes) for boxes in locate_objects(scene)]
        [2]
    """
    return render(scene)[1]


def draw_dataset(folder: AnyPath, num_scenes: int = 800, seed: int = 0) -> Path:
    """Draw the dataset: pictures, captions, splits and facts.

    A folder that is complete is left as it is; one that a killed run left half-way is completed; one that was drawn
    with another number, seed or version of the drawing code is drawn anew.

    Args:
        folder: str or `Path` to draw into:
            `Images/scene_0001.jpg` and so on, 224×224 RGB;
            `captions.csv` with the columns image, caption, split, one row a caption, five a picture;
            `facts.json`, {image file name: `Scene.facts`};
            `drawn_with.json`, what the folder was drawn with.
        num_scenes: int, at least 3. Of the scenes 10 % (one at least) are for "val", as many for "test".
        seed: int. The same seed gives the same captions, facts and pixels.

    Returns:
        `Path` of the folder.

    Raises:
        InputError: when `num_scenes` is too small, or the folder holds another dataset or is a file.

    Example:
        >>> import tempfile
        >>> folder = draw_dataset(Path(tempfile.mkdtemp()) / "scenes", num_scenes=3)
        >>> sorted(path.name for path in folder.iterdir())
        ['Images', 'captions.csv', 'drawn_with.json', 'facts.json']
    """
    folder = Path(folder)
    if not isinstance(num_scenes, int) or num_scenes < 3:
        raise InputError(f"num_scenes is {num_scenes!r}; give 3 or more, so that every split has a scene")
    names = [f"scene_{number:04d}.jpg" for number in range(1, num_scenes + 1)]
    made_with = {"drawn_scenes": num_scenes, "seed": seed, "drawing_version": DRAWING_VERSION}
    _start_over_unless(folder, made_with)
    paths = [folder / "Images" / name for name in names]
    results = [folder / "captions.csv", folder / "facts.json"]
    if all(path.is_file() for path in paths + results):
        return folder
    scenes = [generate_scene(f"{seed} {name}") for name in names]
    missing = [(path, scene) for path, scene in zip(paths, scenes, strict=True) if not path.is_file()]
    with ThreadPoolExecutor() as pool:  # Pillow lets other threads work while it fills, blurs, pastes and compresses
        list(tqdm(pool.map(_save_scene, missing), desc="Drawing scenes", unit="scene", total=len(missing)))
    write_json(folder / "facts.json", {name: scene.facts for name, scene in zip(names, scenes, strict=True)})
    write_text(folder / "captions.csv", _captions_csv(names, scenes, seed))
    return folder


def _save_scene(path_and_scene: tuple[Path, Scene]) -> None:
    path, scene = path_and_scene
    with atomic_write(path) as temporary:
        draw_scene(scene).save(temporary, "JPEG", quality=92, subsampling=0)


def _start_over_unless(folder: Path, made_with: dict[str, int]) -> None:
    """Empty a folder that was drawn with other settings than `made_with`, and record these."""
    record = folder / "drawn_with.json"
    if record.is_file():
        if read_json(record) == made_with:
            return
        for path in [folder / "captions.csv", folder / "facts.json", *folder.glob("Images/scene_*.jpg")]:
            path.unlink(missing_ok=True)
    elif folder.exists() and (
        not folder.is_dir() or (folder / "captions.csv").exists() or (folder / "Images").exists()
    ):
        raise InputError(f"{folder} holds something else; give a new folder for the drawn dataset")
    write_json(record, made_with)


def _captions_csv(names: Sequence[str], scenes: Sequence[Scene], seed: int) -> str:
    share = max(1, len(names) // 10)
    order = random.Random(f"{seed} splits").sample(names, len(names))
    splits = dict.fromkeys(order, "train") | dict.fromkeys(order[:share], "val")
    splits |= dict.fromkeys(order[share : 2 * share], "test")
    rows = [
        {"image": name, "caption": caption, "split": splits[name]}
        for name, scene in zip(names, scenes, strict=True)
        for caption in describe_scene(scene)
    ]
    return to_csv(rows)
