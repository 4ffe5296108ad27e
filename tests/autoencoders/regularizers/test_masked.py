"""MaskedAutoencodingObjective: codes of images with hidden patches."""

# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest
import torch
from _regularized import maps, step_with
from numpy.testing import assert_allclose, assert_array_equal
from skorch.callbacks import Callback
from torch.nn import functional as F

from latentgen.autoencoders import MaskedAutoencodingObjective
from latentgen.autoencoders.regularizers._base import resize


@pytest.fixture(scope="module")
def masked_model(digits):
    return maps(MaskedAutoencodingObjective(), batch_size=20, max_epochs=5).fit(digits[0])


def test_mask_hides_the_given_fraction_of_whole_patches(x):
    step, objective = step_with(MaskedAutoencodingObjective(patch_size=2), x)
    fractions = set()
    for _ in range(40):
        mask = objective._draw_mask(step)
        assert mask.shape == (5, 1, 8, 8)
        patches = mask.reshape(5, 4, 2, 4, 2)
        assert (patches == patches[:, :, :1, :, :1]).all()
        fractions.update(mask.mean(dim=(1, 2, 3)).tolist())
    assert fractions == {7 / 16, 8 / 16, 9 / 16}
    assert not (mask[0] == mask[1]).all()


def test_one_patch_is_never_hidden(x):
    step, objective = step_with(MaskedAutoencodingObjective(patch_size=8), x)
    assert objective._draw_mask(step).max() == 0


def test_fraction_of_hidden_patches_goes_to_zero_at_the_end(x):
    fractions = []
    for progress in (0.8, 0.9, 0.999):
        step, objective = step_with(MaskedAutoencodingObjective(patch_size=1), x, progress=progress)
        fractions.append(objective._draw_mask(step).mean().item())
    assert_allclose(fractions, [0.6, 0.3, 0], atol=0.01)


def masked_codes(module, X, change, where=None):
    """Codes of masked images after a change of the pixels that are hidden, or of all."""
    step, objective = step_with(MaskedAutoencodingObjective(), X, module=module)
    mask = objective._draw_mask(step)
    # The same mask again.
    step, objective = step_with(MaskedAutoencodingObjective(), X, module=module)
    step.x = X + change * (mask if where is None else where)
    objective._replace(step)
    return step.z.detach()


def test_the_encoder_cannot_see_hidden_pixels(masked_model, digits):
    module, X = masked_model.net_.module_, torch.tensor(digits[0][:5])
    codes = masked_codes(module, X, 0.0)
    assert_array_equal(codes, masked_codes(module, X, 0.5))
    assert not np.allclose(codes, masked_codes(module, X, 0.5, where=1))


def test_transform_says_that_nothing_is_hidden(masked_model, digits):
    module, X = masked_model.net_.module_, torch.tensor(digits[0])
    with torch.no_grad():
        whole, hidden = (
            module.encode(X, mask).mean for mask in (torch.zeros_like(X), torch.ones_like(X))
        )
    assert_allclose(masked_model.transform(digits[0]), whole, atol=1e-6)
    assert not np.allclose(whole, hidden, atol=1e-2)


class Snapshots(Callback):
    """Keep the weights of each epoch."""

    taken = []

    def on_train_begin(self, net, **kwargs):
        self.taken.clear()

    def on_epoch_end(self, net, **kwargs):
        state = net.module_.state_dict()
        self.taken.append({name: value.clone() for name, value in state.items()})


def test_the_encoder_is_frozen_in_the_second_phase(digits):
    objective = MaskedAutoencodingObjective(decoder_only=0.4)
    maps(objective, max_epochs=5, callbacks=[Snapshots()]).fit(digits[0])
    *_, before, third, _, last = Snapshots.taken
    encoder = [name for name in last if name.startswith(("encoder_stages", "code_layer"))]
    assert len(encoder) > 3
    assert all(torch.equal(third[name], last[name]) for name in encoder)
    assert not any(torch.equal(before[name], third[name]) for name in encoder)
    assert not torch.equal(third["first_layer.weight"], last["first_layer.weight"])


def masked_step(x, mask=None, **params):
    """A step whose images were decoded, as if the patches of a mask had been hidden."""
    step, objective = step_with(MaskedAutoencodingObjective(decoder_only=0.0, **params), x)
    step.encode(x)
    step.target, step.logits = x, step.decode(step.z)
    objective.mask_ = objective._draw_mask(step) if mask is None else mask
    return step, objective, objective.mask_


def test_masked_weight_is_the_loss_of_hidden_pixels_alone(x):
    step, objective, mask = masked_step(x, targets=(), masked_weight=3.0)
    errors = (torch.sigmoid(step.logits) - x).square()
    assert_allclose(objective._penalty(step), 3 * errors[mask.bool()].mean(), rtol=1e-5)


def test_features_are_predicted_where_patches_are_hidden(x):
    mask = torch.zeros_like(x[:, :1])
    mask[..., :4, :4] = 1
    step, objective, _ = masked_step(x, mask, targets=("moments",))
    penalty = objective._penalty(step)
    pixels = objective.masked_weight * step.reconstruction(x, step.logits, mask)
    prediction = objective.heads_["predict"][0](step.z)
    target = resize(objective.features_[0](x), prediction.shape[2:])
    hidden = F.adaptive_avg_pool2d(mask, prediction.shape[2:])[0, 0] == 1
    errors = (prediction - target).square().mean(dim=1)[:, hidden]
    assert 0 < hidden.float().mean() < 0.5
    expected = objective.target_weight * errors.mean()
    assert_allclose((penalty - pixels).item(), expected.item(), rtol=1e-5)


@pytest.mark.parametrize("before", [False, True])
def test_masks_need_a_network_of_their_own(digits, before):
    masks = [MaskedAutoencodingObjective()]
    model = maps(*(masks if before else []), warm_start=True).fit(digits[0])
    model.set_params(regularizers=None if before else masks)
    message = f"which has {{'masked': {before}}}, got {{'masked': {not before}}}"
    with pytest.raises(ValueError, match=message):
        model.fit(digits[0])
