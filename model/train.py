"""One training, whole: faces in, a run folder out.

`python -m model.train FACES --out RUN` trains in this process,
`torchrun --nproc-per-node 2 -m model.train FACES --out RUN` in several.

Order of the faces, their changes and dropout all follow from (seed, epoch, step), so that a
training that was killed goes on from its checkpoint to the same weights, bit for bit, on the CPU.
The validation part chooses the best epoch and the reading of ages, and calibrates the interval;
the test part is measured once, at the end.
"""

import copy
import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from audit.errors import InputError, MachineError
from model.augment import augment
from model.evaluate import autocast, score_rows
from model.faces import FaceTable
from model.finish import finish
from model.interruption import Interruption
from model.losses import two_headed_loss
from model.material import Material, prepare
from model.network import build_network, load_body, read_weights
from model.parallel import World, world
from model.progress import Progress, write_history
from model.run_folder import load_checkpoint, locked, refuse_used, save_checkpoint
from model.schedule import warmup_cosine
from model.settings import TrainSettings, read_settings, refuse_changed, write_settings
from model.state import SUMS, State, fresh_state, update_average
from model.threads import cores

PATIENCE = 50  # epochs without a better validation loss that end the notebook's training
EVALUATE = 256  # faces per batch where no gradient is kept


@dataclass(frozen=True)
class Job:
    """What stays the same throughout a training."""

    material: Material
    settings: TrainSettings
    place: World
    out: Path
    mean: Tensor  # [3], in units of the full pixel range
    std: Tensor

    @property
    def steps(self) -> int:
        """Steps per epoch: whole batches only; one when there are fewer faces than a batch."""
        return max(1, len(self.material.rows["train"]) // self.settings.batch)


def train(
    table: FaceTable,
    *,
    out: Path,
    settings: TrainSettings,
    resume: bool = False,
    progress: bool = True,
) -> Path:
    """Train on the faces of `table` and return the run folder `out`.

    Raises InputError for what the user can mend (a used folder, changed settings or faces on
    `resume`, a loss that is no number), MachineError when memory or disk run out, and
    KeyboardInterrupt after Ctrl-C, once everything is saved.
    """
    with world(settings.device) as place, locked(out) if place.first else nullcontext():
        dumped = _open_folder(out, settings=settings, place=place, resume=resume)
        settings = _shared_settings(settings, place)
        threads = dumped["threads"] if dumped else settings.threads or cores() // place.size or 1
        torch.set_num_threads(threads)
        material = _prepare(table, out=out, settings=settings, place=place, progress=progress)
        mean, std = normalisation(settings, device=place.device)
        job = Job(material, settings, place, out, mean, std)
        _refuse_other_faces(dumped, job)
        try:
            state = _state(job, dumped, threads=threads)
            del dumped
            _run(job, state, progress=Progress(settings.epochs, job.steps, show=progress))
            if place.first:
                finish(job.material, state, settings=settings, out=out, mean=mean, std=std)
        except RuntimeError as error:
            raise _out_of_memory(error, settings) or error from None
    return out


def normalisation(settings: TrainSettings, *, device: torch.device) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation [3] by which pixels (0..1) are normalised."""
    if settings.network == "notebook":  # it divides by 255 and does no more
        mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    elif settings.network == "compact":
        mean, std = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
    else:  # ImageNet's, which torchvision's weights expect
        mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    return torch.tensor(mean, device=device), torch.tensor(std, device=device)


# Before the first step -----------------------------------------------------------------------


def _open_folder(
    out: Path, *, settings: TrainSettings, place: World, resume: bool
) -> dict[str, Any] | None:
    """The checkpoint to go on from, or None for a fresh start in an unused folder."""
    if settings.batch % place.size:
        raise InputError(f"--batch {settings.batch}: not a multiple of {place.size} processes")
    if not resume:
        if place.first:
            refuse_used(out)
            write_settings(settings, out)
        place.gather(None)  # nobody goes on before the folder is ready
        return None
    stored = read_settings(out)
    if stored is None:
        raise InputError(f"--resume: no training was started in {out}; leave --resume away")
    refuse_changed(stored, settings.to_dict(), folder=out)
    if not (out / "checkpoint.pt").is_file():  # killed before its first checkpoint
        place.gather(None)
        return None
    dumped = load_checkpoint(out)
    place.gather(None)
    if dumped["world"] != place.size:
        raise InputError(
            f"--resume in {out}: {place.size} processes (was {dumped['world']}): leave it as it was"
        )
    return dumped


def _shared_settings(settings: TrainSettings, place: World) -> TrainSettings:
    shared: TrainSettings = place.from_first(settings)
    return shared


def _prepare(
    table: FaceTable, *, out: Path, settings: TrainSettings, place: World, progress: bool
) -> Material:
    """The first process decodes; the others then find its cache."""
    material = None
    if place.first:
        material = prepare(table, out=out, settings=settings, progress=progress)
    place.gather(None)
    return material or prepare(table, out=out, settings=settings, progress=False)


def _refuse_other_faces(dumped: dict[str, Any] | None, job: Job) -> None:
    if dumped and dumped["faces"] != job.material.digest:
        raise InputError(
            f"--resume in {job.out}: the faces, their labels or their split are not those it "
            "was started with; train anew in another --out"
        )


def _state(job: Job, dumped: dict[str, Any] | None, *, threads: int) -> State:
    """Fresh or resumed state, on the device, in channels-last memory."""
    settings = job.settings
    torch.manual_seed(mix(settings.seed))
    network = build_network(
        settings.network, size=settings.size, pretrained=settings.pretrained and dumped is None
    )
    if settings.weights and dumped is None:
        weights = read_weights(Path(settings.weights))
        load_body(network, weights, source=f"--weights {settings.weights}")
    network = network.to(job.place.device, memory_format=torch.channels_last)
    if dumped:
        precision = dumped["precision"]
    else:
        precision = settings.precision
        if precision == "auto":
            precision = faster_precision(network, job) if job.place.first else ""
            precision = job.place.from_first(precision)
    state = fresh_state(network, settings=settings, precision=precision, threads=threads)
    if dumped:
        state.load(dumped)
    elif job.place.first:
        _save(job, state)  # so that a kill in the first epoch can be resumed too
    return state


def faster_precision(network: nn.Module, job: Job) -> str:
    """`bfloat16` if a training step with it takes at most 95 % of one without, else `float32`.

    Times three steps of each, in turn, on a copy of the network.
    """
    rows = np.resize(job.material.rows["train"], job.settings.batch // job.place.size)
    trial = copy.deepcopy(network).train()
    seconds = {"float32": math.inf, "bfloat16": math.inf}
    for attempt in range(4):
        for precision in seconds:
            start = time.perf_counter()
            x, age, female = _batch(job, rows, epoch=0, step=0, size=job.settings.size)
            with autocast(job.place.device, precision):
                age_out, gender_out = trial(x)
            loss, years = two_headed_loss(age_out, gender_out, age, female)
            loss.backward()
            years.sum().item()  # waits for a GPU
            if attempt:  # the first of each warms up
                seconds[precision] = min(seconds[precision], time.perf_counter() - start)
    return "bfloat16" if seconds["bfloat16"] < 0.95 * seconds["float32"] else "float32"


# The loop ------------------------------------------------------------------------------------


def _run(job: Job, state: State, *, progress: Progress) -> None:
    """All epochs that are left, each followed by validation and a checkpoint."""
    model: nn.Module = state.network
    if job.place.size > 1:
        model = DistributedDataParallel(model)
    watched = Interruption() if job.place.size == 1 else nullcontext()
    with watched as interruption, progress:
        while state.epoch < job.settings.epochs and not _stale(job, state):
            start = time.perf_counter()
            _epoch(job, state, model, progress=progress, interruption=interruption)
            row = _validate(job, state, seconds=time.perf_counter() - start)
            _end_epoch(job, state, row)
            progress.epoch(row)


def _stale(job: Job, state: State) -> bool:
    """The notebook's early stopping: no better validation loss for PATIENCE epochs."""
    return job.settings.network == "notebook" and state.epoch - state.best_epoch >= PATIENCE


def _epoch(
    job: Job,
    state: State,
    model: nn.Module,
    *,
    progress: Progress,
    interruption: Interruption | None,
) -> None:
    """The steps that are left of epoch `state.epoch`."""
    settings = job.settings
    state.network.train()
    for x, age, female in _batches(job, state.epoch, first=state.step):
        torch.manual_seed(mix(settings.seed, state.epoch, state.step, 1 + job.place.rank))
        done = state.epoch * job.steps + state.step
        if not state.plateaus:
            rate = warmup_cosine(
                done,
                steps=settings.epochs * job.steps,
                warmup=settings.warmup,
                peak=settings.learning_rate,
            )
            _set_rate(state, rate)
        with autocast(job.place.device, state.precision):
            age_out, gender_out = model(x)
        loss, years = two_headed_loss(age_out, gender_out, age, female)
        state.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if settings.clip:
            nn.utils.clip_grad_norm_(state.network.parameters(), settings.clip)
        if not math.isfinite(loss.item()):
            raise _not_a_number(job, state)
        state.optimizer.step()
        if state.average is not None:
            update_average(
                state.average, state.network, decay=settings.average, steps=done + 1
            )
        hits = ((gender_out > 0) == (female > 0.5)).sum().item()
        found = (loss.item() * len(age), (years - age).abs().sum().item(), hits, len(age))
        state.sums = {k: state.sums[k] + v for k, v in zip(SUMS, found, strict=True)}
        state.step += 1
        progress.step(state)
        if interruption is not None and interruption.asked:
            _save(job, state)
            interruption.obey(
                f"saved after epoch {state.epoch}, step {state.step} of {job.steps}: "
                f"the same command with --resume goes on"
            )


def _batches(job: Job, epoch: int, *, first: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Batches of this process from step `first` on, each made while the one before is used."""
    settings, place = job.settings, job.place
    train = job.material.rows["train"]
    order = np.random.default_rng([settings.seed, epoch]).permutation(train)
    size = epoch_size(settings, epoch)

    def make(step: int) -> tuple[Tensor, Tensor, Tensor]:
        rows = order[step * settings.batch : (step + 1) * settings.batch]
        return _batch(job, rows[place.share(len(rows))], epoch=epoch, step=step, size=size)

    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(make, first) if first < job.steps else None
        for step in range(first, job.steps):
            assert coming is not None
            batch = coming.result()
            coming = pool.submit(make, step + 1) if step + 1 < job.steps else None
            yield batch


def _batch(
    job: Job, rows: np.typing.NDArray[np.int64], *, epoch: int, step: int, size: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Changed pictures [N, 3, size, size], ages [N] and genders [N] of `rows`, on the device."""
    device = job.place.device
    generator = torch.Generator().manual_seed(
        mix(job.settings.seed, epoch, step, 1001 + job.place.rank)
    )
    pictures = torch.from_numpy(job.material.pictures[rows]).to(device, non_blocking=True)
    x = augment(
        pictures,
        size=size,
        how=job.settings.augment,
        mean=job.mean,
        std=job.std,
        generator=generator,
    )
    age = torch.from_numpy(job.material.age[rows]).to(device)
    return x, age, torch.from_numpy(job.material.female[rows]).to(device)


def epoch_size(settings: TrainSettings, epoch: int) -> int:
    """Side of the training pictures in epoch `epoch` (0-based): small ones first."""
    sizes = (size for share, size in settings.growth if epoch < share * settings.epochs)
    return next(sizes, settings.size)


def mix(*numbers: int) -> int:
    """A seed that follows from `numbers` and is unlike that of their neighbours."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _validate(job: Job, state: State, *, seconds: float) -> dict[str, float]:
    """The epoch's row of the history: training figures as they ran, validation figures now."""
    rows = job.material.rows["valid"]
    mine = rows[job.place.share(len(rows))]
    state.judged.eval()
    age_out, gender = score_rows(
        state.judged,
        job.material.pictures,
        mine,
        batch=EVALUATE,
        mean=job.mean,
        std=job.std,
        device=job.place.device,
        precision=state.precision,
        flip=False,
    )
    found = _sums(age_out, gender, age=job.material.age[mine], female=job.material.female[mine])
    valid = np.sum(job.place.gather(found), axis=0) / len(rows)
    sums = np.array([[state.sums[name] for name in SUMS]])
    sums = np.sum(job.place.gather(sums), axis=0)[0]
    loss, error, hits = sums[:3] / sums[3]
    return {
        "epoch": state.epoch + 1,
        "seconds": round(state.seconds + seconds, 3),
        "images_per_second": round(sums[3] / seconds, 1),
        "learning_rate": state.optimizer.param_groups[0]["lr"],
        "size": epoch_size(job.settings, state.epoch),
        "loss_train": float(loss),
        "loss_valid": float(valid[0]),
        "age_mae_train": float(error),
        "age_mae_valid": float(valid[1]),
        "gender_accuracy_train": float(hits),
        "gender_accuracy_valid": float(valid[2]),
    }


def _sums(
    age_out: np.typing.NDArray[Any],
    gender: np.typing.NDArray[Any],
    *,
    age: np.typing.NDArray[np.float32],
    female: np.typing.NDArray[np.float32],
) -> np.typing.NDArray[np.float64]:
    """Loss, age error and gender hits [3], summed over faces."""
    shares, years = torch.from_numpy(age_out), torch.from_numpy(age)
    out = shares if shares.ndim == 1 else torch.log(shares.clamp_min(1e-30))
    logit = torch.logit(torch.from_numpy(gender), eps=1e-7)
    loss, predicted = two_headed_loss(out, logit, years, torch.from_numpy(female))
    error = (predicted - years).abs().sum().item()
    hits = float(((gender >= 0.5) == (female >= 0.5)).sum())
    return np.array([loss.item() * len(age), error, hits])


def _end_epoch(job: Job, state: State, row: dict[str, float]) -> None:
    """Keep the best weights, move the schedules, save."""
    if not math.isfinite(row["loss_valid"] + row["loss_train"]):
        raise _not_a_number(job, state)
    state.keep_best(_score(row, job.settings))
    rate = state.optimizer.param_groups[0]["lr"]
    for plateau in state.plateaus:
        rate = plateau.next_rate(rate, row[plateau.monitor])
    if state.plateaus:
        _set_rate(state, rate)
    state.history.append(row)
    state.seconds = row["seconds"]
    state.epoch += 1
    state.step, state.sums = 0, dict.fromkeys(SUMS, 0.0)
    if job.place.first:
        _save(job, state)
        write_history(state.history, job.out)
    job.place.gather(None)


def _score(row: dict[str, float], settings: TrainSettings) -> float:
    """What the best epoch has least of.

    The notebook's: validation loss. Else validation MAE + 20 × the share of wrong genders: one
    point of accuracy weighs like .2 years, as their half-widths do on a few thousand faces.
    """
    if settings.network == "notebook":
        return row["loss_valid"]
    return row["age_mae_valid"] + 20 * (1 - row["gender_accuracy_valid"])


def _set_rate(state: State, rate: float) -> None:
    for group in state.optimizer.param_groups:
        group["lr"] = rate


def _save(job: Job, state: State) -> None:
    dumped = {**state.dump(), "faces": job.material.digest, "world": job.place.size}
    save_checkpoint(job.out, dumped)


# What can go wrong ---------------------------------------------------------------------------


def _not_a_number(job: Job, state: State) -> InputError:
    return InputError(
        f"the loss is not a number at epoch {state.epoch + 1}, step {state.step + 1}; "
        f"{job.out / 'checkpoint.pt'} keeps the last good epoch ({state.epoch}); "
        f"train anew with a --learning-rate below {job.settings.learning_rate:g}"
    )


def _out_of_memory(error: RuntimeError, settings: TrainSettings) -> MachineError | None:
    words = str(error).lower()
    if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in words:
        return MachineError(
            f"out of memory while training with --batch {settings.batch} --size {settings.size}; "
            f"try --batch {max(2, settings.batch // 2)}"
        )
    return None
