"""Holes: what each law draws, within which bounds, and that nothing but (seed, index, pass) decides it."""

import json
import re

import numpy as np
import pytest
import torch
from scipy import ndimage

from gan_lab.data.masks import Blobs, Border, Box, Half, Masks, Outpaint, Strokes

ALL_SIDES = ["left", "right", "top", "bottom"]
LAWS = {
    "box": Box(size=[0.3, 0.8], place="random"),
    "strokes": Strokes(count=[1, 4], pieces=[2, 6], length=[0.1, 0.4], width=[0.06, 0.18], turn=60),
    "blobs": Blobs(cells=[3, 5], share=[0.05, 0.6]),
    "half": Half(sides=ALL_SIDES),
    "outpaint": Outpaint(sides=ALL_SIDES, depth=[0.1, 0.4]),
    "border": Border(width=[0.05, 0.25]),
}
CASES = {**{name: {name: law} for name, law in LAWS.items()}, "mixed": LAWS}


def masks(laws, least_share=0.1, most_share=0.55, seed=0):
    return Masks(laws=laws, least_share=least_share, most_share=most_share, seed=seed)


def fixed(law, height, width):
    return law.draw(np.random.default_rng(0), height, width).astype(int).tolist()


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("height", "width"), [(28, 28), (21, 40)])
def test_shares_lie_within_the_bounds_and_differ(name, height, width):
    drawn = masks(CASES[name])
    drawn.check(height, width)
    holes = torch.stack([drawn.at(index, None, height, width) for index in range(300)])
    assert holes.shape == (300, 1, height, width)
    assert holes.dtype == torch.bool
    shares = holes.double().mean(dim=(1, 2, 3))
    assert shares.min() >= 0.1
    assert shares.max() <= 0.55
    if name != "half":
        assert shares.max() - shares.min() > 0.15, "the bounds are made use of"
    assert len(holes.flatten(1).unique(dim=0)) >= {"half": 4, "border": 4}.get(name, 100)
    assert name in ("border", "outpaint") or holes.any(dim=0).all(), "each pixel is in some hole"


@pytest.mark.parametrize("name", CASES)
def test_seed_index_and_pass_decide(name):
    first, again, other = masks(CASES[name]), masks(CASES[name]), masks(CASES[name], seed=1)
    places = [(index, pass_number) for index in range(20) for pass_number in (None, 0, 1)]
    holes = [first.at(*place, 24, 24) for place in places]
    for place, hole in reversed(list(zip(places, holes, strict=True))):
        assert torch.equal(again.at(*place, 24, 24), hole), "in any order"
    assert any(not torch.equal(other.at(*place, 24, 24), hole) for place, hole in zip(places, holes, strict=True))
    for step in (1, 2):  # None beside pass 0, pass 0 beside pass 1; None beside pass 1
        pairs = zip(holes[0::3], holes[step::3], strict=True)
        assert sum(not torch.equal(a, b) for a, b in pairs) >= 10, "another pass, another hole"
    assert not torch.equal(torch.stack(holes[1::3]), torch.stack(holes[2::3]))


def test_box():
    assert fixed(Box(size=0.5, place="centre"), 4, 6) == [
        [0, 0, 0, 0, 0, 0],
        [0, 1, 1, 1, 0, 0],
        [0, 1, 1, 1, 0, 0],
        [0, 0, 0, 0, 0, 0],
    ]
    centre = masks({"box": Box(size=0.5, place="centre")}, least_share=0.25, most_share=0.25)
    centre.check(28, 28)
    hole = centre.at(5, 3, 28, 28)[0]
    assert hole[7:21, 7:21].all()
    assert hole.sum() == 14 * 14
    random = np.random.default_rng(0)
    boxes = [Box(size=[0.2, 0.6], place="random").draw(random, 10, 20) for _ in range(200)]
    rows, columns = (np.array([box.any(axis=axis).sum() for box in boxes]) for axis in (1, 0))
    assert [box.sum() for box in boxes] == (rows * columns).tolist(), "rectangles"
    assert set(rows) == {2, 3, 4, 5, 6}
    assert (columns.min(), columns.max()) == (4, 12)
    assert fixed(Box(size=0, place="centre"), 3, 3) == [[0, 0, 0], [0, 1, 0], [0, 0, 0]]


def test_half():
    top, right = [[1, 1, 1], [0, 0, 0], [0, 0, 0]], [[0, 0, 1], [0, 0, 1], [0, 0, 1]]
    assert fixed(Half(sides=["top"]), 3, 3) == top
    assert fixed(Half(sides=["right"]), 3, 3) == right
    assert fixed(Half(sides=["bottom"]), 3, 3) == top[::-1]
    assert fixed(Half(sides=["left"]), 3, 3) == [row[::-1] for row in right]
    assert fixed(Half(sides=["left"]), 1, 4) == [[1, 1, 0, 0]]


def test_border():
    assert fixed(Border(width=0.25), 4, 8) == [[1] * 8, [1, 1, 0, 0, 0, 0, 1, 1], [1, 1, 0, 0, 0, 0, 1, 1], [1] * 8]
    assert np.all(Border(width=0.5).draw(np.random.default_rng(0), 6, 6))


def test_outpaint_takes_each_choice_of_sides():
    law, random = Outpaint(sides=ALL_SIDES, depth=0.25), np.random.default_rng(0)
    holes = [law.draw(random, 8, 12) for _ in range(300)]
    for hole in holes:
        left, right, top, bottom = hole[2:6, :3], hole[2:6, 9:], hole[:2, 3:9], hole[6:, 3:9]
        assert not hole[2:6, 3:9].any()
        assert all(strip.all() or not strip.any() for strip in (left, right, top, bottom))
        assert hole.any()
    assert len({hole.tobytes() for hole in holes}) == 15
    assert fixed(Outpaint(sides=["bottom"], depth=0.5), 4, 2) == [[0, 0], [0, 0], [1, 1], [1, 1]]


def test_blobs_cover_the_share_in_few_spots():
    random = np.random.default_rng(0)
    for share in (0.1, 0.25, 0.5):
        few = [Blobs(cells=3, share=share).draw(random, 40, 60) for _ in range(20)]
        many = [Blobs(cells=12, share=share).draw(random, 40, 60) for _ in range(20)]
        assert {int(hole.sum()) for hole in few + many} == {round(share * 2400)}
        spots = [np.mean([ndimage.label(hole)[1] for hole in holes]) for holes in (few, many)]
        assert spots[0] < 6
        assert spots[1] > 2 * spots[0]


@pytest.mark.parametrize(("height", "width"), [(24, 72), (72, 24)])
def test_blobs_are_as_wide_as_high_in_pictures_that_are_not(height, width):
    random = np.random.default_rng(0)
    holes = np.stack([Blobs(cells=8, share=0.4).draw(random, height, width) for _ in range(50)])
    across, down = (np.diff(holes.astype(int), axis=axis).astype(bool).mean() for axis in (2, 1))
    assert across == pytest.approx(down, rel=0.15), "as many edges in both directions"


def test_strokes_are_the_same_at_any_size():
    for seed in range(20):
        small, large = (LAWS["strokes"].draw(np.random.default_rng(seed), 28 * k, 40 * k) for k in (1, 5))
        assert np.array_equal(small, large[2::5, 2::5])


def test_a_stroke_has_the_asked_width_and_length():
    random = np.random.default_rng(0)
    line = Strokes(count=1, pieces=1, length=0.5, width=0.1, turn=0)
    whole = []
    for _ in range(50):
        hole = line.draw(random, 200, 200)
        if not (hole[0].any() or hole[-1].any() or hole[:, 0].any() or hole[:, -1].any()):
            whole.append(hole)
    assert len(whole) > 5
    for hole in whole:
        assert ndimage.label(hole)[1] == 1
        # A capsule of length 100 and width 20; a pixel more or less along its outline.
        assert hole.sum() == pytest.approx(100 * 20 + np.pi * 10**2, rel=0.12)
        depth = ndimage.distance_transform_edt(hole).max()
        assert depth == pytest.approx(10, abs=1.2)
    straight, curled = (
        [Strokes(count=1, pieces=8, length=0.1, width=0.04, turn=turn).draw(random, 200, 200) for _ in range(30)]
        for turn in (0, 170)
    )
    assert np.mean([hole.sum() for hole in straight if not _at_edge(hole)]) > np.mean(
        [hole.sum() for hole in curled if not _at_edge(hole)]
    ), "one that turns back lies over itself"


def _at_edge(hole):
    return hole[0].any() or hole[-1].any() or hole[:, 0].any() or hole[:, -1].any()


def test_a_mixture_keeps_its_proportions_where_one_law_seldom_fits():
    laws = {"box": Box(size=[0.1, 0.8], place="random"), "half": Half(sides=["top"])}
    drawn = masks(laws, least_share=0.4, most_share=0.6)
    drawn.check(20, 20)
    halves = sum(bool(drawn.at(index, None, 20, 20)[0, :10].all()) for index in range(400))
    assert halves == pytest.approx(200, abs=40)


def test_the_order_of_laws_is_nothing():
    names = list(LAWS)
    turned = {name: LAWS[name] for name in reversed(names)}
    first, second = masks(LAWS), masks(turned)
    assert json.dumps(first.protocol()) == json.dumps(second.protocol())
    assert all(torch.equal(first.at(index, None, 16, 16), second.at(index, None, 16, 16)) for index in range(30))


def test_a_law_of_null_is_left_out():
    left = masks({**LAWS, "strokes": None})
    assert list(left.laws) == ["blobs", "border", "box", "half", "outpaint"]
    assert "strokes" not in left.protocol()["laws"]


def test_equal_settings_have_equal_protocols():
    def text(size, most):
        return json.dumps(masks({"box": Box(size=size, place="random")}, 0, most).protocol())

    assert text(1, 1) == text([1.0, 1.0], 1.0)


def test_protocol_says_all_settings():
    assert masks({"mine": LAWS["strokes"], "box": LAWS["box"]}, seed=3).protocol() == {
        "laws": {
            "box": {"law": "box", "size": [0.3, 0.8], "place": "random"},
            "mine": {
                "law": "strokes",
                "count": [1, 4],
                "pieces": [2, 6],
                "length": [0.1, 0.4],
                "width": [0.06, 0.18],
                "turn": 60,
            },
        },
        "least_share": 0.1,
        "most_share": 0.55,
        "seed": 3,
    }


@pytest.mark.parametrize(
    ("laws", "least", "most"),
    [
        ({"half": Half(sides=["left"])}, 0.1, 0.4),
        ({"box": Box(size=0.5, place="centre")}, 0.3, 1.0),
        ({"border": LAWS["border"], "blobs": Blobs(cells=3, share=0.05)}, 0.1, 0.5),
        ({"box": Box(size=[0.1, 0.5], place="random")}, 0.24, 0.25),  # one in a hundred
    ],
)
def test_bounds_that_contradict_a_law_are_refused_before_any_hole_is_wanted(laws, least, most):
    drawn = masks(laws, least, most)
    name = "blobs" if "blobs" in laws else next(iter(laws))
    message = rf"data\.condition\.masks\.laws\.{name}: holes in pictures of 20x20 take .* of 200 lie within .*widen"
    with pytest.raises(ValueError, match=message):
        drawn.check(20, 20)


def test_a_law_that_never_fits_ends_with_a_message():
    with pytest.raises(ValueError, match=r"no hole of half .* in 5000 tries at 8x8"):
        masks({"half": Half(sides=["left"])}, 0.1, 0.2).at(0, None, 8, 8)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: masks({}), "masks.laws has no law"),
        (lambda: masks({"box": None}), "masks.laws has no law"),
        (lambda: masks(LAWS, 0.5, 0.4), "least_share=0.5 and most_share=0.4"),
        (lambda: masks(LAWS, -0.1), "least_share=-0.1"),
        (lambda: masks(LAWS, 0.1, 1.5), "most_share=1.5"),
        (lambda: masks(LAWS, seed=-1), "data.condition.masks.seed must be 0 or more, got -1"),
        (lambda: Box(size=1.2, place="centre"), "laws.box.size must be a number from 0 to 1, or [low, high]"),
        (lambda: Box(size=[0.5, 0.2], place="centre"), "laws.box.size must be"),
        (lambda: Box(size=[0.1, 0.2, 0.3], place="centre"), "laws.box.size must be"),
        (lambda: Box(size=float("nan"), place="centre"), "laws.box.size must be"),
        (lambda: Box(size=0.5, place="left"), "laws.box.place must be centre or random, got 'left'"),
        (lambda: Blobs(cells=1, share=0.5), "laws.blobs.cells must be a number from 2"),
        (lambda: Blobs(cells=[2.5, 3], share=0.5), "laws.blobs.cells must be whole numbers, got [2.5, 3]"),
        (lambda: Half(sides=["left", "up"]), "laws.half.sides must be some of left, right, top, bottom"),
        (lambda: Outpaint(sides=[], depth=0.2), "laws.outpaint.sides must be some of"),
        (lambda: Half(sides=["left", "left"]), "each once, got ['left', 'left']"),
        (lambda: Border(width=0.6), "laws.border.width must be a number from 0 to 0.5"),
        (lambda: Strokes(count=0, pieces=1, length=0.1, width=0.1, turn=0), "laws.strokes.count"),
        (lambda: Strokes(count=1, pieces=1, length=0.1, width=0.1, turn=200), "turn must be from 0 to 180 degrees"),
    ],
)
def test_settings_out_of_range_are_refused(make, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make()
