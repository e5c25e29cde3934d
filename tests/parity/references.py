"""The published networks once more, each as a few lines of formula over a state dict in the official names.

Written from the papers' descriptions with `torch.nn.functional` alone: no module of ours, no code of theirs. Depths and
widths are read off the state dict; what is not in it (strides, head widths, activations) is that of the publication.
Maps are BCHW, tokens BNC.
"""

import itertools
import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional

State = Mapping[str, Tensor]


def _depth(state: State, name: str, first: int = 0) -> int:
    """How many of `name`, with the number of a block in its braces, there are in a row."""
    return next(count for count in itertools.count() if name.format(first + count) not in state)


def _linear(state: State, name: str, x: Tensor) -> Tensor:
    """A linear layer, or the pointwise convolution that is one, on the last axis."""
    return functional.linear(x, state[f"{name}.weight"].flatten(1), state.get(f"{name}.bias"))


def _conv(state: State, name: str, x_BCHW: Tensor, **options: int | str) -> Tensor:
    return functional.conv2d(x_BCHW, state[f"{name}.weight"], state.get(f"{name}.bias"), **options)  # type: ignore[arg-type]


def _patches(state: State, name: str, images: Tensor) -> Tensor:
    """Kernel = stride: tokens BNC."""
    return _conv(state, name, images, stride=state[f"{name}.weight"].shape[-1]).flatten(2).mT


def _layer_norm(state: State, name: str, x: Tensor, eps: float) -> Tensor:
    weight = state[f"{name}.weight"]
    return functional.layer_norm(x, weight.shape, weight, state.get(f"{name}.bias"), eps)


def _batch_norm(state: State, name: str, x_BCHW: Tensor) -> Tensor:
    mean, variance, weight, bias = (
        state[f"{name}.{part}"][:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
    )
    return (x_BCHW - mean) / (variance + 1e-5).sqrt() * weight + bias


def _map(x_BNC: Tensor) -> Tensor:
    side = math.isqrt(x_BNC.shape[1])
    return x_BNC.mT.reshape(len(x_BNC), -1, side, side)


def _softmax_attention(q_BNC: Tensor, k_BMC: Tensor, v_BMC: Tensor, heads: int, scale: float) -> Tensor:
    q, k, v = (x.reshape(*x.shape[:2], heads, -1) for x in (q_BNC, k_BMC, v_BMC))
    weights = (torch.einsum("bnhd,bmhd->bhnm", q, k) * scale).softmax(dim=-1)
    return torch.einsum("bhnm,bmhd->bnhd", weights, v).flatten(2)


def _pooled(x_BCHW: Tensor) -> Tensor:
    """PoolFormer's mixer: the mean of the 3x3 neighbours that lie on the map, minus the position itself."""

    def neighbours(x: Tensor) -> Tensor:
        return functional.pad(x, (1, 1, 1, 1)).unfold(2, 3, 1).unfold(3, 3, 1).sum((4, 5))

    return neighbours(x_BCHW) / neighbours(torch.ones_like(x_BCHW)) - x_BCHW


def _mlp(state: State, name: str, x: Tensor, activation: Callable[[Tensor], Tensor] = functional.gelu) -> Tensor:
    return _linear(state, f"{name}.fc2", activation(_linear(state, f"{name}.fc1", x)))


def conv_mixer(state: State, images: Tensor, activation: Callable[[Tensor], Tensor] = functional.gelu) -> Tensor:
    """ConvMixer, locuslab/convmixer: everywhere activation, then batch norm; the pointwise half has no residual."""
    depth, width = _depth(state, "{}.0.fn.0.weight", first=3), state["0.weight"].shape[0]
    x = _batch_norm(state, "2", activation(_conv(state, "0", images, stride=state["0.weight"].shape[-1])))
    for block in range(3, 3 + depth):
        spatial = _conv(state, f"{block}.0.fn.0", x, padding="same", groups=width)
        x = x + _batch_norm(state, f"{block}.0.fn.2", activation(spatial))
        x = _batch_norm(state, f"{block}.3", activation(_conv(state, f"{block}.1", x)))
    return _linear(state, f"{depth + 5}", x.mean((2, 3)))  # after the mean over the map and the flattening


def flax_mixer(state: State, images: Tensor) -> Tensor:
    """MLP-Mixer, google-research/vision_transformer: Flax kernels are (in, out) and (height, width, in, out).

    The exact GELU, as ours and timm's; `flax.linen.gelu` is its tanh approximation.
    """

    def dense(name: str, x: Tensor) -> Tensor:
        return x @ state[f"{name}/kernel"] + state[f"{name}/bias"]

    def norm(name: str, x: Tensor) -> Tensor:
        return functional.layer_norm(x, x.shape[-1:], state[f"{name}/scale"], state[f"{name}/bias"], 1e-6)

    def mlp(name: str, x: Tensor) -> Tensor:
        return dense(f"{name}/Dense_1", functional.gelu(dense(f"{name}/Dense_0", x)))

    kernel_HWIO = state["stem/kernel"]
    patches = images.unfold(2, len(kernel_HWIO), len(kernel_HWIO)).unfold(3, len(kernel_HWIO), len(kernel_HWIO))
    x = (torch.einsum("bcyxhw,hwcd->byxd", patches, kernel_HWIO) + state["stem/bias"]).flatten(1, 2)
    for b in range(_depth(state, "MixerBlock_{}/LayerNorm_0/scale")):
        block = f"MixerBlock_{b}"
        x = x + mlp(f"{block}/token_mixing", norm(f"{block}/LayerNorm_0", x).mT).mT
        x = x + mlp(f"{block}/channel_mixing", norm(f"{block}/LayerNorm_1", x))
    return dense("head", norm("pre_head_layer_norm", x).mean(1))


def res_mlp(state: State, images: Tensor) -> Tensor:
    """ResMLP, facebookresearch/deit: one linear layer across tokens, a scale and a shift in place of every norm."""

    def affine(name: str, x: Tensor) -> Tensor:
        return x * state[f"{name}.alpha"] + state[f"{name}.beta"]

    x = _patches(state, "patch_embed.proj", images)
    for b in range(_depth(state, "blocks.{}.gamma_1")):
        block = f"blocks.{b}"
        x = x + state[f"{block}.gamma_1"] * _linear(state, f"{block}.attn", affine(f"{block}.norm1", x).mT).mT
        x = x + state[f"{block}.gamma_2"] * _mlp(state, f"{block}.mlp", affine(f"{block}.norm2", x))
    return _linear(state, "head", affine("norm", x).mean(1))


def pool_former(state: State, images: Tensor, plain: str = "pooling") -> Tensor:
    """PoolFormer and the hybrids of its paper, sail-sg/poolformer; `plain` blocks have no weights in their mixer.

    The norm is over the whole map, or over channels where there is attention anywhere.
    """
    by_token = any(".qkv." in name for name in state)

    def norm(name: str, x_BCHW: Tensor) -> Tensor:
        if by_token:
            return _layer_norm(state, name, x_BCHW.movedim(1, -1), 1e-5).movedim(-1, 1)
        return functional.group_norm(x_BCHW, 1, state[f"{name}.weight"], state[f"{name}.bias"], 1e-5)

    def mixer(name: str, x_BCHW: Tensor) -> Tensor:
        x_BCN = x_BCHW.flatten(2)
        if f"{name}.qkv.weight" in state:
            q, k, v = _linear(state, f"{name}.qkv", x_BCN.mT).chunk(3, dim=-1)
            x_BCN = _linear(state, f"{name}.proj", _softmax_attention(q, k, v, q.shape[-1] // 32, 32**-0.5)).mT
        elif f"{name}.fc.weight" in state:
            x_BCN = _linear(state, f"{name}.fc", x_BCN)
        else:
            return _pooled(x_BCHW) if plain == "pooling" else x_BCHW
        return x_BCN.reshape(x_BCHW.shape)

    x = _conv(state, "patch_embed.proj", images, stride=4, padding=2)
    for index in range(1 + max(int(name.split(".")[1]) for name in state if name.startswith("network."))):
        if f"network.{index}.pos_embed" in state:
            x = x + state[f"network.{index}.pos_embed"]
        elif f"network.{index}.proj.weight" in state:
            x = _conv(state, f"network.{index}.proj", x, stride=2, padding=1)
        for b in range(_depth(state, f"network.{index}.{{}}.layer_scale_1")):
            block = f"network.{index}.{b}"
            scales = [state[f"{block}.layer_scale_{which}"][:, None, None] for which in (1, 2)]
            x = x + scales[0] * mixer(f"{block}.token_mixer", norm(f"{block}.norm1", x))
            x = x + scales[1] * _mlp(state, f"{block}.mlp", norm(f"{block}.norm2", x).movedim(1, -1)).movedim(-1, 1)
    return _linear(state, "head", norm("norm", x).mean((2, 3)))


def _star_relu(state: State, name: str, x: Tensor) -> Tensor:
    return state[f"{name}.scale"] * x.relu().square() + state[f"{name}.bias"]


def _baseline_mixer(state: State, name: str, x_BHWC: Tensor, plain: str) -> Tensor:
    if f"{name}.pwconv1.weight" in state:
        wide = _star_relu(state, f"{name}.act1", _linear(state, f"{name}.pwconv1", x_BHWC)).movedim(-1, 1)
        wide = _conv(state, f"{name}.dwconv", wide, padding=3, groups=wide.shape[1])
        return _linear(state, f"{name}.pwconv2", wide.movedim(1, -1))
    tokens = x_BHWC.flatten(1, 2)
    if f"{name}.qkv.weight" in state:
        q, k, v = _linear(state, f"{name}.qkv", tokens).chunk(3, dim=-1)
        tokens = _linear(state, f"{name}.proj", _softmax_attention(q, k, v, q.shape[-1] // 32, 32**-0.5))
    elif f"{name}.random_matrix" in state:
        tokens = torch.einsum("mn,bnc->bmc", state[f"{name}.random_matrix"], tokens)
    elif plain == "pooling":
        return _pooled(x_BHWC.movedim(-1, 1)).movedim(1, -1)
    return tokens.reshape(x_BHWC.shape)


def baseline(state: State, images: Tensor, plain: str = "pooling") -> Tensor:
    """The MetaFormer baselines, sail-sg/metaformer: maps BHWC, no biases in blocks, a scale on the late residuals.

    Blocks have the norm over the whole map where the mixer is `plain` or random, over channels beside SepConv and
    attention; stem, down-samplings and the end have it over channels always. eps 1e-6, but 1e-5 inside the head.
    """
    strong = "head.fc1.weight" in state
    joint = [3] if strong else [1, 2, 3]

    def norm(name: str, x: Tensor, axes: list[int]) -> Tensor:
        centred = x - x.mean(axes, keepdim=True)
        return centred / (centred.square().mean(axes, keepdim=True) + 1e-6).sqrt() * state[f"{name}.weight"]

    def conv(name: str, x: Tensor, stride: int, padding: int) -> Tensor:
        return _conv(state, name, x.movedim(-1, 1), stride=stride, padding=padding).movedim(1, -1)

    x = norm("downsample_layers.0.post_norm", conv("downsample_layers.0.conv", images.movedim(1, -1), 4, 2), [3])
    for s in range(_depth(state, "downsample_layers.{}.conv.weight")):
        if s:
            x = conv(f"downsample_layers.{s}.conv", norm(f"downsample_layers.{s}.pre_norm", x, [3]), 2, 1)
        for b in range(_depth(state, f"stages.{s}.{{}}.norm1.weight")):
            block = f"stages.{s}.{b}"
            kept = [state.get(f"{block}.res_scale{which}.scale", 1.0) for which in (1, 2)]
            x = kept[0] * x + _baseline_mixer(state, f"{block}.token_mixer", norm(f"{block}.norm1", x, joint), plain)
            wide = _linear(state, f"{block}.mlp.fc1", norm(f"{block}.norm2", x, joint))
            x = kept[1] * x + _linear(state, f"{block}.mlp.fc2", _star_relu(state, f"{block}.mlp.act", wide))
    pooled = _layer_norm(state, "norm", x.mean((1, 2)), 1e-6)
    if not strong:
        return _linear(state, "head", pooled)
    hidden = _layer_norm(state, "head.norm", _linear(state, "head.fc1", pooled).relu().square(), 1e-5)
    return _linear(state, "head.fc2", hidden)


def cvt(state: State, images: Tensor, kv_stride: int = 2) -> Tensor:
    """CvT, microsoft/CvT: the softmax has the scale width^-0.5 whatever the number of heads of 64; QuickGELU."""

    def project(name: str, which: str, token: Tensor, x_BCHW: Tensor, stride: int) -> Tensor:
        conv = _conv(state, f"{name}.conv_proj_{which}.conv", x_BCHW, stride=stride, padding=1, groups=x_BCHW.shape[1])
        seen = torch.cat([token, _batch_norm(state, f"{name}.conv_proj_{which}.bn", conv).flatten(2).mT], dim=1)
        return _linear(state, f"{name}.proj_{which}", seen)

    x, tokens = images, images
    for s in range(_depth(state, "stage{}.patch_embed.proj.weight")):
        stride, padding = (4, 2) if s == 0 else (2, 1)
        x = _conv(state, f"stage{s}.patch_embed.proj", x, stride=stride, padding=padding)
        tokens = _layer_norm(state, f"stage{s}.patch_embed.norm", x.flatten(2).mT, 1e-5)
        extra = int(f"stage{s}.cls_token" in state)
        if extra:
            tokens = torch.cat([state[f"stage{s}.cls_token"].expand(len(x), -1, -1), tokens], dim=1)
        for b in range(_depth(state, f"stage{s}.blocks.{{}}.norm1.weight")):
            block = f"stage{s}.blocks.{b}"
            token, spatial = _layer_norm(state, f"{block}.norm1", tokens, 1e-5).tensor_split([extra], dim=1)
            q, k, v = (
                project(f"{block}.attn", which, token, _map(spatial), 1 if which == "q" else kv_stride)
                for which in "qkv"
            )
            mixed = _softmax_attention(q, k, v, q.shape[-1] // 64, q.shape[-1] ** -0.5)
            tokens = tokens + _linear(state, f"{block}.attn.proj", mixed)
            normed = _layer_norm(state, f"{block}.norm2", tokens, 1e-5)
            tokens = tokens + _mlp(state, f"{block}.mlp", normed, lambda wide: wide * torch.sigmoid(1.702 * wide))
        x = _map(tokens[:, extra:])
    return _linear(state, "head", _layer_norm(state, "norm", tokens, 1e-5)[:, 0])


def cifar_cvt(state: State, images: Tensor) -> Tensor:
    """The CvT of vit-pytorch as pprp/pytorch-cifar-model-zoo trained it: heads of 64 scaled by 1/8, no class token.

    The norm divides by the deviation + eps; keys and values share a convolution at stride 2.
    """

    def norm(name: str, x: Tensor) -> Tensor:
        deviation = x.var(1, correction=0, keepdim=True).sqrt()
        return (x - x.mean(1, keepdim=True)) / (deviation + 1e-5) * state[f"{name}.g"] + state[f"{name}.b"]

    def project(name: str, x: Tensor, stride: int) -> Tensor:
        spatial = _conv(state, f"{name}.net.0", x, stride=stride, padding=1, groups=x.shape[1])
        return _conv(state, f"{name}.net.2", _batch_norm(state, f"{name}.net.1", spatial)).flatten(2).mT

    x = images
    for s in range(_depth(state, "layers.{}.0.weight")):
        stage = f"layers.{s}"
        x = norm(f"{stage}.1", _conv(state, f"{stage}.0", x, stride=2 if s else 4, padding=1))
        for b in range(_depth(state, f"{stage}.2.layers.{{}}.0.norm.g")):
            attention, mlp = (f"{stage}.2.layers.{b}.{half}" for half in (0, 1))
            normed = norm(f"{attention}.norm", x)
            q = project(f"{attention}.fn.to_q", normed, 1)
            k, v = project(f"{attention}.fn.to_kv", normed, 2).chunk(2, dim=-1)
            mixed = _softmax_attention(q, k, v, q.shape[-1] // 64, 1 / math.sqrt(64))
            x = x + _conv(state, f"{attention}.fn.to_out.0", _map(mixed))
            wide = functional.gelu(_conv(state, f"{mlp}.fn.net.0", norm(f"{mlp}.norm", x)))
            x = x + _conv(state, f"{mlp}.fn.net.3", wide)
    return _linear(state, "layers.5", x.mean((2, 3)))  # after three stages, the mean over the map and the flattening


def pvt(state: State, images: Tensor) -> Tensor:
    """PVT v1, whai362/PVT: positions in every stage, a class token in the last, keys of a coarser map.

    eps is 1e-6 in blocks and at the end, 1e-5 after patch and reducing convolutions.
    """
    x, tokens = images, images
    for s, heads in zip((1, 2, 3, 4), (1, 2, 5, 8), strict=True):
        tokens = _layer_norm(state, f"patch_embed{s}.norm", _patches(state, f"patch_embed{s}.proj", x), 1e-5)
        if s == 4:
            tokens = torch.cat([state["cls_token"].expand(len(x), -1, -1), tokens], dim=1)
        tokens = tokens + state[f"pos_embed{s}"]
        for b in range(_depth(state, f"block{s}.{{}}.norm1.weight")):
            block = f"block{s}.{b}"
            normed = coarse = _layer_norm(state, f"{block}.norm1", tokens, 1e-6)
            if f"{block}.attn.sr.weight" in state:
                coarse = _patches(state, f"{block}.attn.sr", _map(normed))
                coarse = _layer_norm(state, f"{block}.attn.norm", coarse, 1e-5)
            q = _linear(state, f"{block}.attn.q", normed)
            k, v = _linear(state, f"{block}.attn.kv", coarse).chunk(2, dim=-1)
            mixed = _softmax_attention(q, k, v, heads, (q.shape[-1] // heads) ** -0.5)
            tokens = tokens + _linear(state, f"{block}.attn.proj", mixed)
            tokens = tokens + _mlp(state, f"{block}.mlp", _layer_norm(state, f"{block}.norm2", tokens, 1e-6))
        x = _map(tokens) if s < 4 else x
    return _linear(state, "head", _layer_norm(state, "norm", tokens, 1e-6)[:, 0])
