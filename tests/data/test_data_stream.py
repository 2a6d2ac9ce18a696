import gc
import multiprocessing
import pickle

import numpy as np
import pytest
import torch

from gan_lab import collectives
from gan_lab.data.reference import ReferenceSet
from gan_lab.data.stream import Order, Reader, RealStream

SIZE = 23
BACKENDS = {
    "resident": {"resident": True, "workers": 0},
    "streamed": {"resident": False, "workers": 0},
    "workers": {"resident": False, "workers": 2},
}


def samples(size=SIZE, labels=True, seed=0):
    images = np.random.default_rng(seed).integers(256, size=(size, 3, 4, 6), dtype=np.uint8)
    return ReferenceSet(name="noise", split="train", images=images, labels=np.arange(size) % 5 if labels else None)


def stream(of=None, *, seed=0, flip=True, usual_take=8, **backend):
    backend = backend or BACKENDS["resident"]
    return RealStream(
        samples() if of is None else of,
        seed=seed,
        flip=flip,
        usual_take=usual_take,
        device=torch.device("cpu"),
        **backend,
    )


def be_rank(monkeypatch, rank, world):
    monkeypatch.setattr(collectives, "rank", lambda: rank)
    monkeypatch.setattr(collectives, "world", lambda: world)


def assert_equal(left, right):
    assert left.keys() == right.keys()
    for key in left:
        assert torch.equal(left[key], right[key]), key


def joined(batches):
    return {key: torch.cat([batch[key] for batch in batches]) for key in batches[0]}


def test_a_batch_holds_the_samples_that_its_index_names():
    data = samples()
    batch = stream(data, flip=False).take(SIZE)
    index = batch["index"].numpy()
    assert sorted(index) == list(range(SIZE))
    assert batch["real"].dtype == torch.float32
    assert np.array_equal(np.rint((batch["real"].numpy() + 1) * 127.5), data.images[index])
    assert np.array_equal(batch["labels"].numpy(), data.labels[index])


def test_without_labels_there_is_no_such_key():
    assert stream(samples(labels=False)).take(4).keys() == {"real", "index"}


def test_every_pass_holds_each_sample_once_in_another_order():
    taken = stream().take(3 * SIZE)["index"].view(3, SIZE)
    assert (taken.sort(dim=1).values == torch.arange(SIZE)).all()
    assert not torch.equal(taken[0], taken[1])
    assert not torch.equal(taken[1], taken[2])


def test_the_seed_decides_the_order():
    assert torch.equal(stream(seed=1).take(SIZE)["index"], stream(seed=1).take(SIZE)["index"])
    assert not torch.equal(stream(seed=1).take(SIZE)["index"], stream(seed=0).take(SIZE)["index"])


def test_flips_mirror_about_half_of_the_samples_and_only_where_asked():
    plain, flipped = stream(flip=False).take(4 * SIZE), stream(flip=True).take(4 * SIZE)
    assert torch.equal(plain["index"], flipped["index"])
    same = (plain["real"] == flipped["real"]).flatten(1).all(dim=1)
    mirrored = (plain["real"].flip(-1) == flipped["real"]).flatten(1).all(dim=1)
    assert (same ^ mirrored).all()
    assert 0.3 < mirrored.float().mean() < 0.7
    assert not torch.equal(mirrored[:SIZE], mirrored[SIZE : 2 * SIZE])


@pytest.mark.parametrize("backend", BACKENDS)
def test_any_take_sizes_follow_each_other(backend):
    taken = stream(**BACKENDS[backend])
    sizes = [8, 8, 3, 1, 16, 40, 8, 60, 5]  # across passes, below, at and above the foreseen size
    assert_equal(joined([taken.take(size) for size in sizes]), stream().take(sum(sizes)))
    assert taken.position == sum(sizes)


@pytest.mark.parametrize("world", [1, 2, 4])
@pytest.mark.parametrize("backend", ["resident", "streamed"])
def test_rank_slices_make_up_the_global_batch(monkeypatch, backend, world):
    sizes = [8, 16, 8, 4, 8, 32, 8]
    alone = stream()
    expected = [alone.take(size) for size in sizes]
    ranks = []
    for rank in range(world):
        be_rank(monkeypatch, rank, world)
        taken = stream(**BACKENDS[backend])
        ranks.append([taken.take(size) for size in sizes])
    for step, batch in enumerate(expected):
        assert_equal(joined([batches[step] for batches in ranks]), batch)


@pytest.mark.parametrize("cut", [2, 5])  # within the first pass of 23, and past its end
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_resumed_stream_gives_what_the_unbroken_one_would(backend, cut):
    unbroken = stream(**BACKENDS[backend])
    for _ in range(cut):
        unbroken.take(8)
    saved = unbroken.state_dict()
    expected = [unbroken.take(8) for _ in range(4)]
    fresh = stream(**BACKENDS[backend])
    fresh.take(8)  # workers are reading ahead from elsewhere when the state arrives
    for resumed in (fresh, unbroken):
        resumed.load_state_dict(saved)
        for batch in expected:
            assert_equal(resumed.take(8), batch)


def test_reading_ahead_leaves_the_position_and_the_global_generator_alone():
    torch.manual_seed(0)
    state = torch.get_rng_state()
    taken = stream(**BACKENDS["workers"])
    taken.take(8)
    assert taken.position == taken.state_dict()["position"] == 8
    assert torch.equal(torch.get_rng_state(), state)


def test_takes_of_the_usual_size_are_read_by_the_workers_also_after_a_resume(monkeypatch):
    be_rank(monkeypatch, 1, 2)
    taken, here, read = stream(**BACKENDS["workers"]), [], Reader.read
    monkeypatch.setattr(Reader, "read", lambda self, *places: here.append(places) or read(self, *places))
    taken.take(8)
    taken.load_state_dict(taken.state_dict() | {"position": 4})
    for _ in range(5):
        taken.take(8)
    assert here == []  # the workers' own reads are noted in their copies of the list
    taken.take(12)
    assert here != []


def test_workers_end_with_what_they_read_for():
    """Not left to the collector of cycles, which ends the threads that would tell them so, and waits 5 s for each."""
    gc.disable()
    try:
        before = len(multiprocessing.active_children())
        taken = stream(**BACKENDS["workers"])
        first = taken.take(8)
        assert len(multiprocessing.active_children()) == before + 2
        taken.close()
        assert len(multiprocessing.active_children()) == before
        second = taken.take(8)  # goes on
        assert_equal(joined([first, second]), stream().take(16))
        del taken
        assert len(multiprocessing.active_children()) == before
    finally:
        gc.enable()


def test_other_data_or_another_seed_is_refused_on_resume():
    saved = stream().state_dict()
    changed = samples()
    changed.images[7, 0, 0, 0] ^= 1
    for other in (changed, samples(size=SIZE + 1)):
        with pytest.raises(ValueError, match="trained on other data"):
            stream(other).load_state_dict(saved)
    with pytest.raises(ValueError, match=r"give data\.seed=0"):
        stream(seed=3).load_state_dict(saved)


@pytest.mark.parametrize(("count", "world"), [(0, 1), (-4, 1), (6, 4)])
def test_a_remainder_over_the_ranks_is_refused(monkeypatch, count, world):
    be_rank(monkeypatch, 0, world)
    with pytest.raises(ValueError, match=f"cannot take {count} samples on {world} processes"):
        stream().take(count)


def test_a_memory_map_is_sent_to_a_worker_by_name(tmp_path):
    np.save(tmp_path / "images.npy", np.zeros((1000, 3, 32, 32), dtype=np.uint8))
    mapped = np.load(tmp_path / "images.npy", mmap_mode="c")
    sent = pickle.dumps(Reader(mapped, Order(size=1000, seed=0, flip=True, device=torch.device("cpu"))))
    assert len(sent) < 10_000
    assert pickle.loads(sent)[[(0, 4), (8, 12)]].shape == (8, 3, 32, 32)


def test_an_empty_set_is_refused():
    with pytest.raises(ValueError, match="holds no samples"):
        stream(samples(size=0))
