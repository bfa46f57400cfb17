"""Captioners to and from Hugging Face's hub: one repository holds one captioner and its model card."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

from captioning_utils import __version__
from captioning_utils.base.errors import InputError
from captioning_utils.base.files import atomic_write
from captioning_utils.base.types import AnyPath
from captioning_utils.captioner import Captioner, captioner_path, load_captioner
from captioning_utils.sharing.model_card import CAPTIONER_FILE, build_model_card

if TYPE_CHECKING:
    from huggingface_hub import HfApi

LARGEST = 2 * 10**9  # bytes of a captioner; those of this package have up to 60 million
_ADVICE = {
    401: "log in with `hf auth login`, or set HF_TOKEN to a token of yours",
    403: "your token may not do this; use one with the right to write, and a name that is yours",
    404: "there is no such repository, no captioner in it, or it is private: check the name, and log in",
}


def push_captioner(
    captioner: AnyPath,
    repository: str,
    private: bool = False,
    license: str | None = None,
    results: Mapping[str, Any] | None = None,
) -> str:
    """Put a captioner and its model card on the hub, in one commit; the repository is made when it is not there.

    You must be logged in: `hf auth login`, or a token in the environment variable HF_TOKEN. `HF_ENDPOINT` names
    another hub than huggingface.co.

    Args:
        captioner: str or `Path` of a captioner's file, or the name of a shipped one.
        repository: str, "user/name".
        private: bool, whether a repository that is made now is for you alone.
        license: as for `build_model_card`.
        results: as for `build_model_card`.

    Returns:
        str, the address of the repository.

    Raises:
        InputError: when huggingface_hub is not installed, the file is no captioner, or the hub refuses.
    """
    api = connect()
    from huggingface_hub import CommitOperationAdd

    path = captioner_path(captioner)
    loaded = load_captioner(path)
    card = build_model_card(loaded, repository, license, results)
    with _refusals(api, repository):
        url = api.create_repo(repository, private=private or None, exist_ok=True)
        files: dict[str, str | bytes] = {CAPTIONER_FILE: str(path), "README.md": card.encode()}
        operations = [CommitOperationAdd(name, content) for name, content in files.items()]
        api.create_commit(repository, operations, commit_message=f"Captioner {loaded.fingerprint}")
    return str(url)


def pull_captioner(repository: str, path: AnyPath, revision: str | None = None) -> Captioner:
    """Fetch a captioner from the hub; it is kept only when it opens as one.

    Args:
        repository: str, "user/name".
        path: str or `Path` of the file to write.
        revision: str, a commit, branch or tag; None: the newest.

    Returns:
        `Captioner`.

    Raises:
        InputError: when huggingface_hub is not installed, the hub refuses, or the file is no captioner, damaged, or
            larger than any captioner.
    """
    api = connect()
    with tempfile.TemporaryDirectory() as folder:
        with _refusals(api, repository):
            found = api.hf_hub_download(repository, CAPTIONER_FILE, revision=revision, cache_dir=folder, dry_run=True)
            _check_size(found.file_size, repository)
            fetched = api.hf_hub_download(repository, CAPTIONER_FILE, revision=found.commit_hash, cache_dir=folder)
        _check_size(os.path.getsize(fetched), repository)
        captioner = load_captioner(fetched)
        with atomic_write(path) as temporary:
            shutil.copyfile(fetched, temporary)
    return captioner


def _check_size(size: int | None, repository: str) -> None:
    if size is None or size > LARGEST:
        found = "an unknown number of" if size is None else f"{size:,}"
        raise InputError(
            f"{CAPTIONER_FILE} of {repository} has {found} bytes, a captioner has {LARGEST:,} at most; look at "
            "what is in the repository"
        )


def connect() -> HfApi:
    """A client of the hub; InputError where huggingface_hub is not installed."""
    if importlib.util.find_spec("huggingface_hub") is None:
        raise InputError(
            "push and pull need the package huggingface_hub, which is not installed; run: "
            "python -m pip install 'captioning-utils[hub]'"
        )
    from huggingface_hub import HfApi

    return HfApi(library_name="captioning-utils", library_version=__version__)


@contextlib.contextmanager
def _refusals(api: HfApi, repository: str) -> Iterator[None]:
    """Say in one line what the hub refused. Of its answer only the number is shown: the rest could hold a token."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    failures = cast("tuple[type[Exception], ...]", (HfHubHTTPError, *HfHubHTTPError.__bases__))
    try:
        yield
    except HFValidationError as error:
        raise InputError(f"{repository!r:.100} is no name on the hub; give user/name") from error
    except failures as error:  # its bases: the HTTP library's own, and OSError
        response = getattr(error, "response", None) or getattr(error.__cause__, "response", None)
        status = getattr(response, "status_code", None)
        if status is None:
            raise InputError(f"{api.endpoint} does not answer ({type(error).__name__}); check the network") from error
        advice = _ADVICE.get(status, "try again later")
        raise InputError(f"{api.endpoint} refused {repository} (error {status}); {advice}") from error
