"""The plainest formulas, to hold layers against, and modules whose every number is random."""

import torch
from torch.nn import functional


def shaken(module):
    """The module with every parameter and statistic random, so that no zero or one hides a mistake."""
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if tensor.is_floating_point():
            tensor.data.copy_(torch.rand_like(tensor) + 0.5 if "var" in name else torch.randn_like(tensor) * 0.3)
    return module.eval()


def naive_heads(x_BNC, heads):
    batch, tokens, width = x_BNC.shape
    return x_BNC.reshape(batch, tokens, heads, width // heads).permute(0, 2, 1, 3)


def naive_attention(q_BNC, k_BNC, v_BNC, heads, scale):
    q, k, v = (naive_heads(x_BNC, heads) for x_BNC in (q_BNC, k_BNC, v_BNC))
    weights = torch.softmax(torch.einsum("bhqd,bhkd->bhqk", q, k) * scale, dim=-1)
    return torch.einsum("bhqk,bhkd->bhqd", weights, v).permute(0, 2, 1, 3).reshape(q_BNC.shape)


def naive_projection(projection, x_BNC, side, kernel, stride, extra):
    conv, norm = projection.conv, projection.norm
    assert (conv.kernel_size, conv.stride, conv.bias) == ((kernel, kernel), (stride, stride), None)
    map_BCHW = x_BNC[:, extra:].transpose(1, 2).reshape(x_BNC.shape[0], -1, side, side)
    out = functional.conv2d(map_BCHW, conv.weight, None, stride, kernel // 2, groups=map_BCHW.shape[1])
    scaled = (out - norm.running_mean[:, None, None]) / (norm.running_var[:, None, None] + norm.eps).sqrt()
    normed = scaled * norm.weight[:, None, None] + norm.bias[:, None, None]
    tokens = torch.cat((x_BNC[:, :extra], normed.flatten(2).transpose(1, 2)), dim=1)
    projected = tokens @ projection.linear.weight.T
    return projected if projection.linear.bias is None else projected + projection.linear.bias
