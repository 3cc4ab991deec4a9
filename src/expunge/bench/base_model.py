"""The pretrained model that an experiment teaches its references from.

Its content decides what an experiment makes, not the path: the digest of weights, configuration and tokenizer stands in
the names of folders.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from expunge._config import FrozenModel
from expunge._io import read_json
from expunge.errors import InputError
from expunge.models.fingerprint import cached_folder, model_digest


class PretrainedBase(FrozenModel):
    """A pretrained model by its name, and where it lies.

    Attributes:
        pretrained: name for the page; also the folder, or the id in the cache of the hub, where no other is given.
        template: prompt template, as in `expunge train --template`.
        dtype: precision in which it is loaded and in which its references are stored; runs and scoring follow it.
        every: keep every so-manieth block only, from the first; 1 for all.
        healing: settings of the training that heals a model without some of its blocks, as in `expunge train --model`.
        folder: where it lies; set by `located`.
        digest: SHA-256 over its content; set by `located`.
    """

    pretrained: str = Field(min_length=1, description="folder of the model, or its name with the folder in --model")
    template: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16"] = Field("auto", exclude_if=lambda dtype: dtype == "auto")
    every: int = Field(1, ge=1, exclude_if=lambda every: every == 1)
    healing: Mapping[str, Any] = Field({}, exclude_if=lambda healing: not healing)
    folder: Path | None = Field(None, exclude=True)
    digest: str = ""

    def located(self, given: str | Path | None = None) -> PretrainedBase:
        """This base with its folder and digest.

        Args:
            given: folder or hub id of the command; None for that of the file.

        Raises:
            InputError: nothing lies there, or it is no model folder.
        """
        source = str(given or self.pretrained)
        folder = Path(source).expanduser()
        if not folder.is_dir():
            cached = cached_folder(source)
            if cached is None:
                where = "--model" if given else "model.pretrained"
                what = f'there is no folder "{source}", and no model of this name in the cache of the hub'
                raise InputError(where, what, "name the folder of the model with --model")
            folder = cached
        if not (folder / "config.json").is_file():
            raise InputError(str(folder), "is no model folder: it has no config.json", "name another with --model")
        return self.model_copy(update={"folder": folder, "digest": model_digest(str(folder))})

    @property
    def path(self) -> Path:
        """Folder of the weights; `InputError` before `located`."""
        if self.folder is None:
            raise InputError("model.pretrained", "is not located yet", "name the folder of the model with --model")
        return self.folder

    def about(self) -> dict[str, Any]:
        """Name, digest and shape, for the results."""
        config = read_json(self.path / "config.json")
        name = self.pretrained if not Path(self.pretrained).expanduser().is_dir() else Path(self.pretrained).name
        return {
            "pretrained": name,
            "digest": self.digest,
            **({"dtype": self.dtype} if self.dtype != "auto" else {}),
            "architecture": config.get("model_type"),
            "layers": config.get("num_hidden_layers", config.get("n_layer")),
            "width": config.get("hidden_size", config.get("n_embd")),
        }
