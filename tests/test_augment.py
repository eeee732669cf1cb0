import pytest
import torch
from torch.nn.functional import affine_grid

import model.augment
from model.augment import _affine, _grid, augment, to_input
from model.settings import FLIP_ONLY, NO_CHANGE, Augmentation

MEAN, STD = torch.tensor([0.5, 0.4, 0.6]), torch.tensor([0.25, 0.2, 0.3])


def pictures(n=20, size=32):
    return torch.randint(
        0, 256, (n, size, size, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )


def changed(how, *, size=32, seed=3, **what):
    generator = torch.Generator().manual_seed(seed)
    given = what.get("given", pictures())
    return augment(given, size=size, how=how, mean=MEAN, std=STD, generator=generator)


def test_without_changes_a_batch_is_only_normalised():
    wanted = (pictures().permute(0, 3, 1, 2) / 255 - MEAN.view(3, 1, 1)) / STD.view(3, 1, 1)
    assert torch.allclose(changed(NO_CHANGE), wanted, atol=1e-5)
    assert torch.allclose(to_input(pictures(), mean=MEAN, std=STD), wanted, atol=1e-5)


def test_batches_stay_in_channels_last_memory():
    for how in (NO_CHANGE, Augmentation()):
        assert changed(how).is_contiguous(memory_format=torch.channels_last)


def test_a_flip_gives_each_picture_or_its_mirror_image():
    plain, flipped = changed(NO_CHANGE), changed(FLIP_ONLY)
    mirrored = [
        torch.allclose(f, p.flip(2), atol=1e-5) for f, p in zip(flipped, plain, strict=True)
    ]
    kept = [torch.allclose(f, p, atol=1e-5) for f, p in zip(flipped, plain, strict=True)]
    assert all(m != k for m, k in zip(mirrored, kept, strict=True))
    assert any(mirrored)
    assert any(kept)


def test_the_same_generator_gives_the_same_changes_and_another_one_others():
    assert torch.equal(changed(Augmentation()), changed(Augmentation()))
    assert not torch.equal(changed(Augmentation()), changed(Augmentation(), seed=4))


@pytest.mark.parametrize("how", [NO_CHANGE, FLIP_ONLY, Augmentation()])
def test_how_many_pictures_are_changed_at_a_time_changes_no_bit(how, monkeypatch):
    several = changed(how)
    for pictures_at_once in (1, 3, 20):
        monkeypatch.setattr(model.augment, "AT_ONCE", pictures_at_once * 32**2)
        assert torch.equal(changed(how), several)


def test_our_grid_is_pytorch_s():
    affine = _affine(torch.rand(5, 17, generator=torch.Generator().manual_seed(0)), Augmentation())
    theirs = affine_grid(affine, [5, 3, 40, 40], align_corners=False)
    assert torch.allclose(_grid(affine, size=40), theirs, atol=1e-5)


def test_a_stretch_makes_wider_or_higher_and_keeps_the_area():
    how = Augmentation(**{**vars(NO_CHANGE), "stretch": 0.2})
    affine = _affine(torch.rand(500, 17, generator=torch.Generator().manual_seed(0)), how)
    assert torch.allclose(torch.linalg.det(affine[:, :, :2]), torch.ones(500), atol=1e-5)
    ratio = torch.log(affine[:, 0, 0] / affine[:, 1, 1])
    assert ratio.abs().max() <= 0.2
    assert ratio.min() < -0.19
    assert ratio.max() > 0.19
    assert not torch.equal(changed(how), changed(NO_CHANGE))


@pytest.mark.parametrize("size", [16, 32, 48])
def test_a_batch_comes_in_the_size_asked_for(size):
    assert changed(Augmentation(), size=size).shape == (20, 3, size, size)


def test_rotating_by_nothing_but_resizing_keeps_flat_pictures_flat():
    flat = torch.full((2, 32, 32, 3), 200, dtype=torch.uint8)
    out = changed(Augmentation(flip=0.5, light=0, contrast=0, tint=0, erase=0), given=flat)
    wanted = (200 / 255 - MEAN) / STD
    assert torch.allclose(out, wanted.view(1, 3, 1, 1).expand_as(out), atol=1e-4)


def test_the_share_of_grey_and_erased_pictures_is_as_asked():
    many = pictures(400, 16)
    erased = changed(Augmentation(**{**vars(NO_CHANGE), "erase": 0.4}), given=many, size=16)
    boxes = (erased == 0).all(1).any(2).any(1).float().mean()
    assert boxes == pytest.approx(0.4, abs=0.08)
    grey = changed(Augmentation(**{**vars(NO_CHANGE), "grey": 0.3}), given=many, size=16)
    back = grey * STD.view(3, 1, 1) + MEAN.view(3, 1, 1)
    colourless = ((back.amax(1) - back.amin(1)).amax((1, 2)) < 1e-4).float().mean()
    assert colourless == pytest.approx(0.3, abs=0.08)


def test_light_and_contrast_stay_within_their_bounds():
    grey = torch.full((300, 8, 8, 3), 128, dtype=torch.uint8)
    how = Augmentation(**{**vars(NO_CHANGE), "light": 0.2, "contrast": 0.3, "tint": 0.05})
    back = changed(how, given=grey, size=8) * STD.view(3, 1, 1) + MEAN.view(3, 1, 1)
    middle = 128 / 255
    assert back.min() >= middle * 0.74 - 0.25 - 1e-3
    assert back.max() <= middle * 1.35 + 0.25 + 1e-3
    assert back.std() > 0.05
