"""Small image-text models from scratch: a vision tower, a connector and a small Llama, saved as Hugging Face.

Surprising: patches are large against the picture (16 of 96 pixels) and nine become one token, so a picture takes four.
A model that learns from a thousand rows told people apart by four tokens after 24 epochs, by nine after more than 40.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from expunge.errors import InputError, unknown
from expunge.models.tiny import TinyConfig

MARKS = ("<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>")
ARCHITECTURES = ("idefics3", "llava")


class TinyVision(BaseModel):
    """Size of the vision side of a model made from scratch; the language side is a `TinyConfig`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    architecture: str = Field("idefics3", description="idefics3 or llava")
    layers: int = Field(2, ge=1, description="blocks of the vision tower")
    width: int = Field(64, ge=8, description="hidden size of the vision tower")
    heads: int = Field(4, ge=1, description="attention heads of the vision tower")
    image_size: int = Field(96, ge=16, description="pixels of a side that the tower sees")
    patch_size: int = Field(16, ge=4, description="pixels of a side of a patch")
    gather: int = Field(3, ge=1, description="idefics3: patches of a side that become one token")

    @property
    def tokens(self) -> int:
        """Tokens of a picture in the language model."""
        patches = (self.image_size // self.patch_size) ** 2
        return patches // self.gather**2 if self.architecture == "idefics3" else patches


def build_vision(vision: TinyVision, config: TinyConfig, tokenizer: Any, seed: int = 42) -> tuple[Any, Any]:
    """(model with random weights, processor); `tokenizer` learns the marks of pictures."""
    import torch
    from transformers import LlamaConfig

    _check(vision, config)
    tokenizer.add_special_tokens({"additional_special_tokens": list(MARKS)})
    ids = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id, "bos_token_id": None}
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=config.width,
        intermediate_size=config.width * 3,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        num_key_value_heads=config.heads,
        max_position_embeddings=config.context,
        tie_word_embeddings=False,
        **ids,
    )
    tower: dict[str, Any] = {
        "hidden_size": vision.width,
        "intermediate_size": vision.width * 3,
        "num_hidden_layers": vision.layers,
        "num_attention_heads": vision.heads,
        "image_size": vision.image_size,
        "patch_size": vision.patch_size,
    }
    image = tokenizer.convert_tokens_to_ids(MARKS[0])
    state = torch.random.get_rng_state()
    try:
        torch.manual_seed(seed)
        make = _idefics3 if vision.architecture == "idefics3" else _llava
        model, processor = make(vision, text, tower, image, tokenizer)
        torch.nn.init.normal_(model.get_input_embeddings().weight, std=config.embedding_std)
    finally:
        torch.random.set_rng_state(state)
    return model.to(torch.float32).eval(), processor


def _check(vision: TinyVision, config: TinyConfig) -> None:
    if vision.architecture not in ARCHITECTURES:
        raise unknown("architecture", vision.architecture, ARCHITECTURES)
    if vision.image_size % vision.patch_size or (
        vision.architecture == "idefics3" and (vision.image_size // vision.patch_size) % vision.gather
    ):
        raise InputError(
            "patch_size",
            f"patches of {vision.patch_size} pixels, {vision.gather} a side together, do "
            f"not divide {vision.image_size} pixels",
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
    pictures = Idefics3ImageProcessorPil(do_image_splitting=False, size=edge, max_image_size=edge)
    return (
        Idefics3ForConditionalGeneration(config),
        Idefics3Processor(pictures, tokenizer, image_seq_len=vision.tokens),
    )


def _llava(vision: TinyVision, text: Any, tower: dict[str, Any], image: int, tokenizer: Any) -> tuple[Any, Any]:
    from transformers import LlavaConfig, LlavaForConditionalGeneration, LlavaProcessor, SiglipVisionConfig
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

    config = LlavaConfig(
        vision_config=SiglipVisionConfig(**tower, vision_use_head=False),
        text_config=text,
        image_token_id=image,
        vision_feature_select_strategy="full",
        vision_feature_layer=-1,
        tie_word_embeddings=False,
    )
    side = {"height": vision.image_size, "width": vision.image_size}
    return LlavaForConditionalGeneration(config), LlavaProcessor(
        SiglipImageProcessorPil(size=side),
        tokenizer,
        patch_size=vision.patch_size,
        vision_feature_select_strategy="full",
        image_token=MARKS[0],
    )
