"""Random numbers of torch that come from a generator of our own."""

# SPDX-License-Identifier: BSD-3-Clause

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from latentgen.training._random import DrawFrom, make_generator


def draw_everything():
    """What layers and users draw without naming a generator."""
    modules = [
        nn.Linear(3, 4),
        nn.Conv2d(1, 2, 3),
        nn.Embedding(5, 2),
        nn.LSTM(2, 3),
        nn.MultiheadAttention(4, 2),
    ]
    x = torch.ones(4, 3, 5, 5)
    drawn = [p.detach().flatten() for module in modules for p in module.parameters()]
    drawn += [torch.rand(3), torch.randn(3), torch.randn_like(x), torch.rand_like(x)]
    drawn += [
        torch.randperm(9).float(),
        torch.randint(9, (3,)).float(),
        torch.normal(0.0, 1.0, (3,)),
    ]
    drawn += [torch.bernoulli(torch.full((9,), 0.5)), torch.empty(3).exponential_()]
    attention = nn.MultiheadAttention(4, 2, dropout=0.5)
    drawn += [attention(*3 * [torch.ones(9, 1, 4)])[0].detach(), F.gumbel_softmax(x[0, 0])]
    drawn += [nn.LSTM(2, 3, num_layers=2, dropout=0.5)(torch.ones(9, 2))[0].detach()]
    drawn += [F.scaled_dot_product_attention(x, x, x, dropout_p=0.5), F.alpha_dropout(x, 0.5)]
    drawn += [F.dropout(x, 0.5), F.dropout2d(x, 0.5), nn.Dropout(0.3)(x), nn.Dropout1d()(x[0])]
    return torch.cat([values.flatten() for values in drawn])


def test_everything_is_drawn_from_the_generator_and_nothing_from_the_global_one():
    before = torch.get_rng_state()
    first, second, other = (None, None, None)
    with DrawFrom(make_generator("cpu", 1)):
        first = draw_everything()
    with DrawFrom(make_generator("cpu", 1)):
        second = draw_everything()
    with DrawFrom(make_generator("cpu", 2)):
        other = draw_everything()
    assert torch.equal(first, second) and not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_generator_that_is_passed_stays():
    own = torch.Generator().manual_seed(5)
    expected = torch.rand(3, generator=torch.Generator().manual_seed(5))
    with DrawFrom(make_generator("cpu", 1)):
        assert torch.equal(torch.rand(3, generator=own), expected)


@pytest.mark.parametrize(
    "drop, axes", [(F.dropout, None), (F.dropout1d, 2), (F.dropout2d, 2), (F.dropout3d, 2)]
)
def test_dropout_keeps_the_mean_and_drops_whole_channels(drop, axes):
    sides = {None: (2,), F.dropout1d: (6,), F.dropout2d: (6, 6), F.dropout3d: (3, 3, 3)}
    x = torch.ones(200, 50, *sides.get(drop, (2,)))
    with DrawFrom(make_generator("cpu", 0)):
        y = drop(x, 0.3)
    assert y.unique().tolist() == pytest.approx([0, 1 / 0.7])
    dropped = (y == 0).float()
    # Five standard errors of a fraction of 10 000 channels.
    assert abs(float(dropped.mean()) - 0.3) < 5 * (0.21 / 10_000) ** 0.5
    if axes is not None:
        assert torch.equal(dropped.flatten(2).amin(2), dropped.flatten(2).amax(2))


def test_dropout_outside_of_training_is_the_identity():
    x = torch.rand(5, 5)
    with DrawFrom(make_generator("cpu", 0)):
        assert torch.equal(F.dropout(x, 0.5, training=False), x)


def test_dropout_in_place_has_the_gradient_of_the_mask():
    x = torch.ones(100, requires_grad=True)
    with DrawFrom(make_generator("cpu", 0)):
        y = F.dropout(x * 1, 0.5, inplace=True)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())


def test_streams_of_different_integers_differ():
    seeds = [(0,), (1,), (0, 0), (0, 1), (1, 0)]
    first = {float(torch.rand((), generator=make_generator("cpu", *s))) for s in seeds}
    assert len(first) == len(seeds)
