"""Contextual attention: it copies what is there again, and looks at nothing that is in the hole."""

import torch

from gan_lab.layers.contextual_attention import _joined, contextual_attention


def scene() -> tuple[torch.Tensor, torch.Tensor]:
    """Features of 32x32 whose 12x12 at (2, 2) are there again at (16, 18), where the inner 4x4 are the hole."""
    random = torch.Generator().manual_seed(0)
    features = 2 * torch.randn(1, 8, 32, 32, generator=random)
    features[:, :, 16:28, 18:30] = features[:, :, 2:14, 2:14]
    mask = torch.zeros(1, 1, 128, 128)
    mask[:, :, 4 * 20 : 4 * 24, 4 * 22 : 4 * 26] = 1
    return features, mask


def test_a_repeated_patch_is_copied():
    features, mask = scene()
    attended = contextual_attention(features, mask)
    torch.testing.assert_close(attended[:, :, 20:24, 22:26], features[:, :, 6:10, 6:10], atol=1e-3, rtol=0)


def test_what_is_known_finds_itself():
    """The border has fewer patches laid over it, and the same mean."""
    features, _ = scene()
    torch.testing.assert_close(contextual_attention(features, torch.zeros(1, 1, 32, 32)), features, atol=1e-3, rtol=0)


def test_nothing_in_the_hole_is_copied():
    """The other way round: what matches best lies in the hole, and every place is a mean of others."""
    features, mask = scene()
    marked = features.clone()
    marked[:, :, 20:24, 22:26] = 1000.0
    attended = contextual_attention(marked, mask)
    assert attended.abs().max() < 100


def test_no_patch_is_known():
    """All weigh alike, with the zeros that patches at the border reach."""
    attended = contextual_attention(torch.full((2, 3, 4, 6), 5.0), torch.ones(2, 1, 8, 12))
    assert 0 < attended.min() <= attended.max() <= 5


def test_scores_are_joined_along_rows_and_then_columns():
    """By loops: a score for places (y, x) and (v, u) gets those of the same step on both sides."""
    scores = torch.randn(2, 6, 6, generator=torch.Generator().manual_seed(0))

    def along(grid, step):
        joined = grid.clone()
        for y, x, v, u in torch.cartesian_prod(*map(torch.arange, (2, 3, 2, 3))).tolist():
            for sign in (-1, 1):
                a, b, c, d = y + sign * step[0], x + sign * step[1], v + sign * step[0], u + sign * step[1]
                if 0 <= a < 2 and 0 <= b < 3 and 0 <= c < 2 and 0 <= d < 3:
                    joined[:, y, x, v, u] += grid[:, a, b, c, d]
        return joined

    expected = along(along(scores.view(2, 2, 3, 2, 3), (0, 1)), (1, 0)).view(2, 6, 6)
    torch.testing.assert_close(_joined(scores, 2, 3), expected)
