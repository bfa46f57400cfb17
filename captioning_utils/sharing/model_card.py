"""The model card of a captioner: what it was made from, how well it does, where it fails, how to use it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from captioning_utils.base.errors import InputError
from captioning_utils.decoders import decoder_name
from captioning_utils.metrics.protocols import PROTOCOLS
from captioning_utils.metrics.scores import METRIC_LABELS, format_score

if TYPE_CHECKING:
    from captioning_utils.captioner import Captioner


CAPTIONER_FILE = "image_caption_model.h5"
LONGEST_CELL = 1000  # characters
_CARD = """---
{license_line}library_name: keras
pipeline_tag: image-to-text
tags:
- image-captioning
---

# {name}

Show it a photo, it answers with a sentence. A captioner of
`captioning_utils` (image captioning in Keras 3), in one file, `{file}`.

## How to use it

With `captioning_utils` installed:

```bash
python -m captioning_utils pull {repository}
python -m captioning_utils generate --model_path {name}.h5 --image_path photo.jpg
```

```python
from captioning_utils import predict_caption

predict_caption("photo.jpg", captioner="{name}.h5")
```

The pretrained encoder's weights are not in the file; they are downloaded once. Opening the file executes nothing from
it.

## What it is

{facts}
## Training

{training}
## Scores

{scores}
## Limits

- It knows what its training photos show. Of anything else it says what looks most alike in them.
- It knows {words:,} words and never uses another.
- It repeats how the people who captioned its photos judge others: who is a man or a woman, how old someone is, what
  someone does. Do not use it to decide anything about anyone, nor as the only description for someone who cannot see
  the photo.
- The encoder sees the photo squashed to {height}×{width} pixels; small things are lost.

## Licences

{license_text} The licence of the photos and captions that it was trained on holds as well:
check whether your use is allowed.
{credit}"""
_VGG_CREDIT = """
VGG16's weights, which the captioner needs but does not contain, are by the Visual Geometry Group, University of Oxford
(Simonyan and Zisserman 2015, arXiv:1409.1556), under CC BY 4.0.
"""


def build_model_card(
    captioner: Captioner, repository: str, license: str | None = None, results: Mapping[str, Any] | None = None
) -> str:
    """A model card in Markdown, with the front matter that Hugging Face's hub reads.

    Args:
        captioner: `Captioner`; its training summary says data and settings.
        repository: str, "user/name".
        license: str, the identifier of a licence such as "mit"; None: the card says that none is stated.
        results: dict, a results file of `evaluate.py` (or of several captioners, this one among them); None: the card
            says that there are no scores.

    Returns:
        str.

    Raises:
        InputError: when the results are another captioner's, or the licence is no identifier.

    Example:
        >>> from captioning_utils import load_captioner
        >>> card = build_model_card(load_captioner(), "me/flickr8k-merge", license="mit")
        >>> "| photos | train: 6000, val: 1000, test: 1000 |" in card
        True
    """
    if license is not None and not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", license):
        raise InputError(f"{license!r:.80} is no licence's identifier; give one such as mit, apache-2.0 or cc-by-4.0")
    height, width = captioner.encoder_id.image_size
    return _CARD.format(
        license_line=f"license: {license}\n" if license else "",
        license_text=f"The file is under the licence `{license}`." if license else "No licence is stated for the file.",
        name=repository.rpartition("/")[2],
        repository=repository,
        file=CAPTIONER_FILE,
        facts=_table(_facts(captioner)),
        training=_training(captioner.training),
        scores=_checked_scores(captioner, results),
        words=len(captioner.vocabulary.ordinary_words),
        height=height,
        width=width,
        credit=_VGG_CREDIT if captioner.encoder_id.name == "vgg16" else "",
    )


def _facts(captioner: Captioner) -> dict[str, Any]:
    config = dataclasses.asdict(captioner.decoder.config)
    cleaning = dataclasses.asdict(captioner.cleaning)
    tuned = (
        f"of its blocks the last {captioner.encoder_id.tuned} were trained further and are in this file"
        if captioner.encoder_weights
        else "not trained here"
    )
    return {
        "decoder": f"`{decoder_name(captioner.decoder)}`, {captioner.decoder.count_params():,} numbers",
        "decoder's sizes": config,
        "encoder": f"{captioner.encoder} ({tuned})",
        "text cleaning": cleaning,
        "search": dataclasses.asdict(captioner.generation),
        "fingerprint": captioner.fingerprint,
    }


def _training(summary: dict[str, Any]) -> str:
    """Data, settings and outcome; a captioner from elsewhere may not say any of it."""
    known = _without_histories(summary)
    members = {f"member {number}": member for number, member in enumerate(known.pop("members", []), start=1)}
    if not known and not members:
        return "The file does not say how it was trained.\n"
    return _table({name.replace("_", " "): value for name, value in known.items()} | members)


def _without_histories(value: Any) -> Any:
    """A training summary without what fills pages, the losses of every epoch, and what says nothing."""
    if isinstance(value, list):
        return [_without_histories(each) for each in value]
    if not isinstance(value, dict):
        return value
    kept = {name: _without_histories(each) for name, each in value.items() if name != "history"}
    return {name: each for name, each in kept.items() if each not in (None, {}, [], "")}


def _checked_scores(captioner: Captioner, results: Mapping[str, Any] | None) -> str:
    """`_scores`, of a file that may be damaged."""
    try:
        return _scores(captioner, results)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"the results are incomplete or damaged ({error!r:.120}); write them anew") from error


def _scores(captioner: Captioner, results: Mapping[str, Any] | None) -> str:
    if results is None:
        return "None are stated here. `evaluate.py` computes them.\n"
    before = dataclasses.replace(captioner, pairs=None).fingerprint  # scored before it kept to pairs of words
    known = (captioner.fingerprint, before)
    found = [each for each in results.get("captioners", [results]) if _fingerprint(each) in known]
    if not found:
        stated = ", ".join(str(_fingerprint(each)) for each in results.get("captioners", [results]))
        raise InputError(
            f"the results are of captioner {stated:.80}, this one is {captioner.fingerprint}; give results "
            "of an evaluation of this captioner"
        )
    document = found[0]
    where = f"{document['dataset']}'s {document['split']} split, {document['num_images']:,} photos"
    protocol = PROTOCOLS[document["protocol"]]
    heading = (
        f"{where}; times 100. Protocol `{document['protocol']}`: {protocol.description}. In brackets the 95 % interval "
        "over photos.\n\n"
    )
    if _fingerprint(document) == before != captioner.fingerprint:
        heading += "Scored with `seen_pairs` off: any word might follow any other.\n\n"
    scores = {METRIC_LABELS[name]: _score(score) for name, score in document["scores"].items()}
    return heading + _table(scores)


def _fingerprint(document: Mapping[str, Any]) -> str | None:
    return document.get("captioner", {}).get("fingerprint")


def _score(score: Mapping[str, float]) -> str:
    """With its interval, where there is one: METEOR has none."""
    value = format_score(score["value"])
    return f"{value} ({format_score(score['low'])}–{format_score(score['high'])})" if "low" in score else value


def _table(rows: Mapping[str, Any]) -> str:
    lines = [f"| {name} | {_cell(value)} |\n" for name, value in rows.items()]
    return "| | |\n|---|---|\n" + "".join(lines)


def _cell(value: Any) -> str:
    """A value in one line; the file may be a stranger's, so that it must not break out of the table."""
    if isinstance(value, dict):
        value = ", ".join(f"{name}: {each}" for name, each in value.items())
    if isinstance(value, float):
        value = f"{value:.4g}"
    text = " ".join(str(value).split())
    text = text if len(text) <= LONGEST_CELL else f"{text[:LONGEST_CELL]}…"
    return re.sub(r"([|<>\[\]])", r"\\\1", text)
