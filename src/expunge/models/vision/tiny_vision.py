"""Small image-text models from scratch: a vision tower, a connector and a small Llama, saved as Hugging Face.

Patches are large (16 of 96 pixels), and idefics3 joins nine of them, so an image takes four tokens. On a thousand
rows, a model separates people by four tokens after 24 epochs, and by nine after more than 40.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from expunge._config import FrozenModel
from expunge.errors import InputError, unknown
from expunge.models.tiny import TinyConfig, initialize, llama_config

IMAGE_TOKENS = ("<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>")
ARCHITECTURES = ("idefics3", "llava")


class TinyVision(FrozenModel):
    """Size of the vision side of a model made from scratch; the language side is a `TinyConfig`."""

    architecture: str = Field("idefics3", description="idefics3 or llava")
    layers: int = Field(2, ge=1, description="blocks of the vision tower")
    width: int = Field(64, ge=8, description="hidden size of the vision tower")
    heads: int = Field(4, ge=1, description="attention heads of the vision tower")
    image_size: int = Field(96, ge=16, description="side of the tower's input in pixels")
    patch_size: int = Field(16, ge=4, description="side of a patch in pixels")
    gather: int = Field(3, ge=1, description="idefics3: side of the square of patches that becomes one token")

    @property
    def tokens(self) -> int:
        """Tokens of an image in the language model."""
        patches = (self.image_size // self.patch_size) ** 2
        return patches // self.gather**2 if self.architecture == "idefics3" else patches


def build_vision(vision: TinyVision, config: TinyConfig, tokenizer: Any, seed: int = 42) -> tuple[Any, Any]:
    """(model with random weights, processor); adds the special tokens of images to `tokenizer`."""
    _check(vision, config)
    tokenizer.add_special_tokens({"additional_special_tokens": list(IMAGE_TOKENS)})
    tower: dict[str, Any] = {
        "hidden_size": vision.width,
        "intermediate_size": vision.width * 3,
        "num_hidden_layers": vision.layers,
        "num_attention_heads": vision.heads,
        "image_size": vision.image_size,
        "patch_size": vision.patch_size,
    }
    image = tokenizer.convert_tokens_to_ids(IMAGE_TOKENS[0])
    parts = _idefics3 if vision.architecture == "idefics3" else _llava
    make, processor = parts(vision, llama_config(config, tokenizer), tower, image, tokenizer)
    return initialize(make, config, seed), processor


def _check(vision: TinyVision, config: TinyConfig) -> None:
    if vision.architecture not in ARCHITECTURES:
        raise unknown("architecture", vision.architecture, ARCHITECTURES)
    if vision.image_size % vision.patch_size or (
        vision.architecture == "idefics3" and (vision.image_size // vision.patch_size) % vision.gather
    ):
        raise InputError(
            "patch_size",
            f"patches of {vision.patch_size} pixels, joined {vision.gather} by {vision.gather}, do not divide an image "
            f"of {vision.image_size} pixels",
            "for example 16 and 3 for 96 pixels",
        )
    for name, width, heads in (("heads", config.width, config.heads), ("vision heads", vision.width, vision.heads)):
        if width % heads:
            raise InputError(name, f"{heads} heads do not divide a width of {width}")


def _idefics3(vision: TinyVision, text: Any, tower: dict[str, Any], image: int, tokenizer: Any) -> tuple[Any, Any]:
    from transformers import Idefics3Config, Idefics3ForConditionalGeneration, Idefics3Processor
    from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

    config = Idefics3Config(
        vision_config=tower,
        text_config=text.to_dict(),
        image_token_id=image,
        scale_factor=vision.gather,
        tie_word_embeddings=False,
    )
    edge = {"longest_edge": vision.image_size}
    images = Idefics3ImageProcessorPil(do_image_splitting=False, size=edge, max_image_size=edge)
    processor = Idefics3Processor(images, tokenizer, image_seq_len=vision.tokens)
    return lambda: Idefics3ForConditionalGeneration(config), processor


def _llava(vision: TinyVision, text: Any, tower: dict[str, Any], image: int, tokenizer: Any) -> tuple[Any, Any]:
    from transformers import LlavaConfig, LlavaForConditionalGeneration, LlavaProcessor, SiglipVisionConfig
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

    features: dict[str, Any] = {"vision_feature_select_strategy": "full"}
    config = LlavaConfig(
        vision_config=SiglipVisionConfig(**tower, vision_use_head=False),
        text_config=text,
        image_token_id=image,
        vision_feature_layer=-1,
        tie_word_embeddings=False,
        **features,
    )
    images = SiglipImageProcessorPil(size={"height": vision.image_size, "width": vision.image_size})
    processor = LlavaProcessor(images, tokenizer, patch_size=vision.patch_size, image_token=IMAGE_TOKENS[0], **features)
    return lambda: LlavaForConditionalGeneration(config), processor
