"""The loop: steps, validation, the best weights kept, a checkpoint after every epoch."""

import math
import time
from contextlib import nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from audit.errors import InputError
from model.balance import worst_group_loss
from model.batches import Batch, Job, batches, mix
from model.evaluate import autocast, score_rows
from model.interruption import Interruption
from model.losses import face_losses, two_headed_loss
from model.progress import Progress, write_history
from model.run_folder import save_checkpoint
from model.schedule import warmup_cosine
from model.settings import TrainSettings
from model.state import SUMS, State, update_average
from model.transfer import hold_body, train_mode

PATIENCE = 50  # epochs without a better validation loss that end the notebook's training
EVALUATE = 256  # faces per batch where no gradient is kept


def run_epochs(job: Job, state: State, *, progress: Progress) -> None:
    """All epochs that are left, each followed by validation and a checkpoint."""
    model: nn.Module | None = None
    watched = Interruption() if job.place.size == 1 else nullcontext()
    with watched as interruption, progress:
        while state.epoch < job.settings.epochs and not _stale(job, state):
            start = time.perf_counter()
            if model is None or state.epoch == job.settings.head_epochs:
                model = _learning(job, state)
            run_epoch(job, state, model, progress=progress, interruption=interruption)
            row = _validate(job, state, seconds=time.perf_counter() - start)
            _end_epoch(job, state, row)
            progress.epoch(row)
        if interruption is not None and interruption.asked:  # since the last step
            interruption.obey("all epochs are saved: the same command with --resume finishes")


def _learning(job: Job, state: State) -> nn.Module:
    """The network, its body held in the first epochs where the settings say so.

    Among several processes it is wrapped anew when the body joins in: the wrapper asks only once
    which weights learn.
    """
    hold_body(state.network, held=state.epoch < job.settings.head_epochs)
    return DistributedDataParallel(state.network) if job.place.size > 1 else state.network


def _stale(job: Job, state: State) -> bool:
    """The notebook's early stopping: no better validation loss for PATIENCE epochs."""
    return job.settings.network == "notebook" and state.epoch - state.best_epoch >= PATIENCE


def run_epoch(
    job: Job,
    state: State,
    model: nn.Module,
    *,
    progress: Progress,
    interruption: Interruption | None,
) -> None:
    """The steps that are left of epoch `state.epoch`."""
    train_mode(state.network)
    for batch in batches(job, state.epoch, first=state.step):
        found = _step(job, state, model, batch)
        state.sums = {k: state.sums[k] + v for k, v in zip(SUMS, found, strict=True)}
        state.step += 1
        progress.step(state)
        if interruption is not None and interruption.asked:
            save(job, state)
            interruption.obey(
                f"saved after epoch {state.epoch}, step {state.step} of {job.steps}: "
                f"the same command with --resume goes on"
            )


def _step(
    job: Job, state: State, model: nn.Module, batch: Batch
) -> tuple[float, float, float, float]:
    """One step of the optimiser; what it adds to the sums of the epoch."""
    settings = job.settings
    done = state.epoch * job.steps + state.step
    torch.manual_seed(mix(settings.seed, state.epoch, state.step, 1 + job.place.rank))  # dropout
    if not state.plateaus:
        steps, peak = settings.epochs * job.steps, settings.learning_rate
        set_rate(state, warmup_cosine(done, steps=steps, warmup=settings.warmup, peak=peak))
    with autocast(job.place.device, state.precision):
        age_out, gender_out = model(batch.x)
    loss, years = _loss(job, state, batch, age_out, gender_out)
    state.optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    if settings.clip:
        nn.utils.clip_grad_norm_(state.network.parameters(), settings.clip)
    hits = ((gender_out > 0) == (batch.female > 0.5)).sum()
    found = torch.stack([loss.detach(), (years - batch.age).abs().sum(), hits])
    mean_loss, error, right = found.tolist()  # the one wait for a GPU
    if not math.isfinite(mean_loss):
        raise _not_a_number(job, state)
    state.optimizer.step()
    if state.average is not None:
        update_average(state.average, state.network, decay=settings.average, steps=done + 1)
    n = len(batch.rows)
    return mean_loss * n, error, right, n


def _loss(
    job: Job, state: State, batch: Batch, age_out: Tensor, gender_out: Tensor
) -> tuple[Tensor, Tensor]:
    """What a step minimises, and the predicted ages [N]; moves a group DRO's shares."""
    balance, device = job.balance, batch.age.device
    labels = batch.age, batch.female
    if balance.age_weights is None and balance.group is None:
        return two_headed_loss(age_out, gender_out, *labels)
    weight = None
    if balance.age_weights is not None:
        weight = torch.from_numpy(balance.age_weights[batch.rows]).to(device)
    losses, years = face_losses(age_out, gender_out, *labels, age_weight=weight)
    if balance.group is None:
        return losses.mean(), years
    group = torch.from_numpy(balance.group[batch.rows]).to(device)
    loss, state.group_shares = worst_group_loss(
        losses, group, shares=state.group_shares, rate=job.settings.dro_rate
    )
    return loss, years


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
        "images_per_second": round(float(sums[3]) / seconds, 1),
        "learning_rate": state.optimizer.param_groups[0]["lr"],
        "loss_train": float(loss),
        "loss_valid": float(valid[0]),
        "age_mae_train": float(error),
        "age_mae_valid": float(valid[1]),
        "gender_accuracy_train": float(hits),
        "gender_accuracy_valid": float(valid[2]),
    }


def _sums(
    age_out: npt.NDArray[Any],
    gender: npt.NDArray[Any],
    *,
    age: npt.NDArray[np.float32],
    female: npt.NDArray[np.float32],
) -> npt.NDArray[np.float64]:
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
        set_rate(state, rate)
    state.history.append(row)
    state.seconds = row["seconds"]
    state.epoch += 1
    state.step, state.sums = 0, dict.fromkeys(SUMS, 0.0)
    if job.place.first:
        save(job, state)
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


def set_rate(state: State, rate: float) -> None:
    """Let every group of parameters learn at its share of `rate`."""
    for group in state.optimizer.param_groups:
        group["lr"] = rate * group.get("share", 1.0)


def save(job: Job, state: State) -> None:
    """Write the checkpoint: the state, and what it may only go on with."""
    begun = {"faces": job.material.digest, "world": job.place.size}
    save_checkpoint(job.out, {**state.dump(), **begun, "settings": job.settings.to_dict()})


def _not_a_number(job: Job, state: State) -> InputError:
    return InputError(
        f"the loss is not a number at epoch {state.epoch + 1}, step {state.step + 1}; "
        f"{job.out / 'checkpoint.pt'} keeps the last good epoch ({state.epoch}); "
        f"train anew with a --learning-rate below {job.settings.learning_rate:g}"
    )
