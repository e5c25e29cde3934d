"""Which library names the parts of which family how. Read from the libraries' code; held against them in the tests."""

from __future__ import annotations

from collections.abc import Mapping

from nas.pretrained.isotropic import (
    FLAX_MIXER,
    HF_VIT,
    TIMM_GMLP,
    TIMM_MIXER,
    VIT,
    conv_mixer,
    flax_vit,
    res_mlp,
)
from nas.pretrained.naming import Naming
from nas.pretrained.pyramids import (
    BASELINES,
    CVT,
    HF_CVT,
    HF_POOLFORMER,
    HF_PVT,
    OFFICIAL_POOLFORMER,
    PVT,
    TIMM_POOLFORMER,
    VIT_PYTORCH_CVT,
)

NAMINGS: Mapping[str, Mapping[str, tuple[Naming, ...]]] = {
    "ConvMixer": {
        "timm": (conv_mixer("blocks.{b}", ("stem.0", "stem.2"), "head"),),
        "official": (conv_mixer("{b3}", ("0", "2"), "{end}"),),
    },
    "MLP-Mixer": {"timm": (TIMM_MIXER,), "official": (FLAX_MIXER,)},
    "gMLP": {"timm": (TIMM_GMLP,)},
    "ResMLP": {
        "timm": (res_mlp("stem.proj", "linear_tokens", "mlp_channels", ("ls1", "ls2"), "row"),),
        "official": (res_mlp("patch_embed.proj", "attn", "mlp", ("gamma_1", "gamma_2"), "same"),),
    },
    "ViT": {"timm": (VIT,), "transformers": HF_VIT, "official": (flax_vit(), flax_vit("opt/target/"))},
    "DeiT": {"timm": (VIT,), "transformers": HF_VIT, "official": (VIT,)},
    "PVT": {"transformers": (HF_PVT,), "official": (PVT,)},
    "PoolFormer": {
        "timm": (TIMM_POOLFORMER,),
        "transformers": (HF_POOLFORMER,),
        "official": (OFFICIAL_POOLFORMER,),
    },
    "MetaFormer": {"official": (OFFICIAL_POOLFORMER,)},
    "IdentityFormer": {"official": BASELINES["official"]},
    "RandFormer": {"official": BASELINES["official"]},
    "PoolFormerV2": BASELINES,
    "ConvFormer": BASELINES,
    "CAFormer": BASELINES,
    "CvT": {"transformers": (HF_CVT,), "official": (CVT, VIT_PYTORCH_CVT)},
}
