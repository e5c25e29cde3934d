"""The trace that the costs are held against: what fvcore passes by is counted or refused."""

import pytest
import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from nas.audit import traced_macs
from nas.errors import NasError


class SelfAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(8, 24)

    def forward(self, x_BCHW):
        query, key, value = self.qkv(x_BCHW.flatten(2).transpose(1, 2)).chunk(3, dim=2)
        return scaled_dot_product_attention(query, key, value)


class Recurrent(nn.Module):
    def __init__(self, cell):
        super().__init__()
        self.cell = cell(8, 8, batch_first=True)

    def forward(self, x_BCHW):
        return self.cell(x_BCHW.flatten(2).transpose(1, 2))[0]


class BatchedProduct(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, 8, 8))

    def forward(self, x_BCHW):
        tokens_BNC = x_BCHW.flatten(2).transpose(1, 2)
        return torch.baddbmm(tokens_BNC, tokens_BNC, self.weight)


def fvcore_alone(model, image):
    from fvcore.nn import FlopCountAnalysis

    analysis = FlopCountAnalysis(model.eval(), image)
    return analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).total()


def test_a_convolution_padded_by_name_is_counted_where_fvcore_alone_sees_nothing():
    model = nn.Conv2d(8, 12, 3, padding="same", groups=2)

    macs = traced_macs(model, resolution=6, in_channels=8)

    assert macs == 6 * 6 * 12 * (8 // 2) * 9
    assert fvcore_alone(model, torch.zeros(1, 8, 6, 6)) == 0


def test_fused_attention_is_counted_where_fvcore_alone_sees_the_linear_layer_only():
    model = SelfAttention()

    macs = traced_macs(model, resolution=6, in_channels=8)

    assert macs == 36 * 8 * 24 + 2 * 36 * 36 * 8
    assert fvcore_alone(model, torch.zeros(1, 8, 6, 6)) == 36 * 8 * 24


def test_norms_count_nothing_where_fvcore_alone_counts_them():
    model = nn.Sequential(nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8), nn.GroupNorm(1, 8))

    macs = traced_macs(model, resolution=6)

    assert macs == 36 * 3 * 8
    assert fvcore_alone(model, torch.zeros(1, 3, 6, 6)) > macs


@pytest.mark.parametrize(
    ("model", "op"), [(Recurrent(nn.LSTM), "lstm"), (Recurrent(nn.GRU), "gru"), (BatchedProduct(), "baddbmm")]
)
def test_a_product_that_the_trace_cannot_count_is_an_error(model, op):
    counter = traced_macs

    with pytest.raises(NasError, match=rf"^fvcore has no count for aten::{op}.*: the traced MACs would be too low$"):
        counter(model, resolution=6, in_channels=8)


def test_a_trace_leaves_the_mode_of_the_model_as_it_was():
    model = nn.Conv2d(3, 4, 1)

    modes = []
    for training in (True, False):
        traced_macs(model.train(training), resolution=4)
        modes.append(model.training)

    assert modes == [True, False]
