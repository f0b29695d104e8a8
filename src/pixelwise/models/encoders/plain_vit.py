"""A feature pyramid from a plain vision transformer, whose maps all have one stride.

Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021 (arXiv 2010.11929), figure 1, in
timm's variants: DeiT, CLIP, DINOv2 and v3, EVA-02 and others. Four maps are taken behind equally
spaced blocks, the last one included, and brought to a quarter, half, one and two times the stride
of the patches: by two 2x2 transposed convolutions, by one, as it is, and by 2x2 max-pooling, as in
BEiT (Bao et al., ICLR 2022, arXiv 2106.08254, section 3.2). Li et al., "Exploring Plain Vision
Transformer Backbones for Object Detection", ECCV 2022 (arXiv 2203.16527, section 3) compare such
pyramids; theirs takes the last map four times.

Against timm's forward pass: positions that were learnt on one grid are resampled for each picture
by products with matrices, since engines differ in what they make of an antialiased resizing. The
numbers are the same.

A patch whose side is not a multiple of four, 14 in DINOv2 and EVA-02, has no whole strides. The
picture then counts as shrunk (bilinearly) so far that such a patch covers the next multiple: 14
pixels of the shrunk picture are 16 of the given one, and the strides are 4, 8, 16 and 32 exactly.
No new pixel needs any from beyond its patch, so that the same comes of a stretched patch filter.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import timm
import torch
from timm.models.eva import Eva
from torch import nn
from torch.nn import functional

from pixelwise.models.encoders.base import Encoder, steps_over
from pixelwise.models.encoders.timm_encoder import timm_classification
from pixelwise.models.layers import BatchNorm

__all__ = ["FeaturePyramid", "PlainViT", "resample_grid"]

_LEVELS = 4


class FeaturePyramid(nn.Module):
    """Four maps of one stride become a pyramid; each keeps its channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.finest = nn.Sequential(
            nn.ConvTranspose2d(channels, channels, kernel_size=2, stride=2),
            BatchNorm(channels),
            nn.GELU(),
            nn.ConvTranspose2d(channels, channels, kernel_size=2, stride=2),
        )
        self.fine = nn.ConvTranspose2d(channels, channels, kernel_size=2, stride=2)

    def forward(self, maps: list[torch.Tensor]) -> list[torch.Tensor]:
        """Four `[B, C, h, w]` -> `[B, C, 4h, 4w]`, `2h`, `h` and `[B, C, ceil(h/2), ceil(w/2)]`."""
        first, second, third, last = maps
        # A line more on either side rounds up; OpenVINO does not do so by itself on a single line.
        coarse = functional.max_pool2d(functional.pad(last, (0, 1, 0, 1), value=-torch.inf), 2)
        return [self.finest(first), self.fine(second), third, coarse]


class PlainViT(Encoder):
    """The pyramid of a timm vision transformer.

    Args:
        name: a timm model of one of the `PLAIN_VIT_FAMILIES`, such as `"vit_tiny_patch16_224"`.
        in_channels: bands of the input picture.
    """

    shrinking: torch.Tensor  # [patch, cell]

    def __init__(self, name: str, in_channels: int) -> None:
        super().__init__()
        self.name = name
        # Without the options for features only, layers behind the last block would stay.
        body: Any = timm.create_model(
            name,
            pretrained=False,
            features_only=True,
            in_chans=in_channels,
            dynamic_img_size=True,
        ).model
        self.body = body
        self.pyramid = FeaturePyramid(body.embed_dim)
        patch = int(body.patch_embed.patch_size[0])
        self._cell = -(-patch // 4) * 4  # pixels of the given picture
        pixels = torch.eye(self._cell).unsqueeze(0)  # [1, cell, cell]
        shrunk = functional.interpolate(pixels, size=patch, mode="linear")  # [1, cell, patch]
        self.register_buffer("shrinking", shrunk[0].mT.contiguous(), persistent=False)
        self._prefix = tuple(
            key
            for key in ("cls_token", "dist_token", "reg_token")
            if key in dict(body.named_parameters(recurse=False))
        )
        self._rotated = isinstance(body, Eva) and body.rope is not None
        self._own_rotations = self._rotated and body.rope_mixed  # a rotation for each block
        depth = len(body.blocks)
        self._taps = tuple(depth * level // _LEVELS - 1 for level in range(1, _LEVELS + 1))
        self.channels = (int(body.embed_dim),) * _LEVELS
        self.strides = (self._cell // 4, self._cell // 2, self._cell, 2 * self._cell)

    def classification_key(self, key: str) -> str:
        """The same key without the name of the wrapper."""
        return key.removeprefix("body.")

    def download_classification(self) -> dict[str, torch.Tensor]:
        """See `Encoder`."""
        return timm_classification(self.name)

    def load_classification(self, stored: Mapping[str, torch.Tensor], *, where: str) -> None:
        """See `Encoder`; the pyramid, which classification knows nothing of, is left as it is."""
        pyramid = {f"pyramid.{key}": tensor for key, tensor in self.pyramid.state_dict().items()}
        super().load_classification({**stored, **pyramid}, where=where)

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        """`[B, bands, H, W]` -> `[B, channels[i], ceil(H/strides[i]), ceil(W/strides[i])]` each."""
        height, width = image.shape[-2:]
        rows, columns = steps_over(height, self._cell), steps_over(width, self._cell)
        below, right = rows * self._cell - height, columns * self._cell - width
        image = functional.pad(image, (0, right, 0, below))
        return [
            features[:, :, : steps_over(height, stride), : steps_over(width, stride)]
            for features, stride in zip(self.pyramid(self._maps(image)), self.strides, strict=True)
        ]

    def _maps(self, image: torch.Tensor) -> list[torch.Tensor]:
        """`[B, bands, rows · cell, columns · cell]` -> four `[B, C, rows, columns]`."""
        patches = self._patches(image)  # [B, rows, columns, C]
        grid = patches.shape[1:3]
        tokens = self.body.norm_pre(self._with_positions(patches))
        prefix = tokens.shape[1] - grid[0] * grid[1]
        rotation = self.body.rope.get_embed(shape=grid) if self._rotated else None
        maps = []
        for index, block in enumerate(self.body.blocks):
            if rotation is None:
                tokens = block(tokens)
            else:
                tokens = block(tokens, rope=rotation[index] if self._own_rotations else rotation)
            if index in self._taps:
                # [B, prefix + rows · columns, C] -> [B, C, rows, columns]
                maps.append(tokens[:, prefix:].unflatten(1, grid).permute(0, 3, 1, 2))
        return maps

    def _patches(self, image: torch.Tensor) -> torch.Tensor:
        """`[B, bands, rows · cell, columns · cell]` -> `[B, rows, columns, C]`."""
        projection = self.body.patch_embed.proj
        # [cell, patch] · [C, bands, patch, patch] · [patch, cell] -> [C, bands, cell, cell]
        weight = self.shrinking.mT @ projection.weight @ self.shrinking
        patches = functional.conv2d(image, weight, projection.bias, stride=self._cell)
        normalised: torch.Tensor = self.body.patch_embed.norm(patches.permute(0, 2, 3, 1))
        return normalised

    def _with_positions(self, patches: torch.Tensor) -> torch.Tensor:
        """`[B, rows, columns, C]` -> `[B, prefix + rows · columns, C]`."""
        prefix = [self.body.get_parameter(key) for key in self._prefix]  # [1, n, C] each
        if self.body.pos_embed is not None:
            old_grid = self.body.patch_embed.grid_size
            positions = self.body.pos_embed  # [1, prefix + old rows · old columns, C], or no prefix
            own = positions.shape[1] - old_grid[0] * old_grid[1]
            if own:
                prefix = [torch.cat(prefix, dim=1) + positions[:, :own]]
            learnt = positions[:, own:].unflatten(1, old_grid)  # [1, old rows, old columns, C]
            patches = patches + resample_grid(learnt, patches.shape[1], patches.shape[2])
        leading = [tokens.expand(patches.shape[0], -1, -1) for tokens in prefix]
        return torch.cat([*leading, patches.flatten(1, 2)], dim=1)


def resample_grid(grid: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """Bicubic resizing with antialiasing: `[1, h, w, C]` -> `[1, rows, columns, C]`.

    The numbers are those of torch's `interpolate(mode="bicubic", antialias=True)`.
    """
    down = _cubic_weights(grid, grid.shape[1], rows)  # [rows, h]
    across = _cubic_weights(grid, grid.shape[2], columns)  # [columns, w]
    # [columns, w] · [1, h, w, C] -> [1, h, columns, C]
    resized = across @ grid
    # [rows, h] · [1, h, columns · C] -> [1, rows, columns, C]
    return (down @ resized.flatten(2)).reshape(1, rows, columns, grid.shape[3])


def _cubic_weights(like: torch.Tensor, old: int, new: int) -> torch.Tensor:
    """What each old place gives to each new one: `[new, old]`; Keys' kernel with a = -1/2."""
    centre = (torch.arange(new, device=like.device) + 0.5).unsqueeze(1) * old / new  # [new, 1]
    place = torch.arange(old, device=like.device) + 0.5  # [old]
    # Where the grid shrinks the kernel is as much wider, and takes in every old place.
    stretch: Any = torch.sym_max(old, new)
    distance = (place - centre).abs() * new / stretch  # [new, old]
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    weights = torch.where(distance < 1, near, torch.where(distance < 2, far, 0.0))
    return (weights / weights.sum(dim=1, keepdim=True)).to(like.dtype)
