"""The one training loop: a generator of events that knows neither screen nor page.

A run is a folder runs/<name>/: state.pt to go on from, and card.json + model.safetensors, the best so far. Every random
choice is a function of the seed and of where the run is (epoch, step, picture), so a run that was killed and
resumed ends with the very weights of one that was not.
"""

from __future__ import annotations

import dataclasses
import datetime
import math
import os
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import accelerate
import torch
from accelerate.utils import InitProcessGroupKwargs, broadcast_object_list
from torch import nn
from torch.optim.swa_utils import AveragedModel

from mtl_model import __version__, checkpoint, layouts, systems, wording
from mtl_model.config import TrainConfig, shares
from mtl_model.data.batches import Batch, Batches
from mtl_model.errors import CheckpointError, DataError, RunError, UsageError
from mtl_model.evaluate.calibration import fit
from mtl_model.evaluate.metrics import network_outputs
from mtl_model.events import Evaluated, Event, Failed, Finished, Noted, Progress, Saved, Started, Step, Stopped, silent
from mtl_model.inference import predictions
from mtl_model.options import options_of
from mtl_model.runs import STATE, STOP
from mtl_model.train.objective import slopes, task_loss
from mtl_model.train.optimisation import arithmetic, freeze, learning_rate, make_optimiser, seed_of, take_weights
from mtl_model.train.prepare import Data, prepare, reach_of
from mtl_model.train.selection import LOSS, errors_on, losses_on, score_of

SAVE_SECONDS = 300  # what a power cut costs at most
REPORT_SECONDS = 2
DOMINATING = 10  # times the next largest gradient


def train(
    config: TrainConfig,
    folder: Path | str,
    *,
    device: str = "cpu",
    resume: bool = False,
    start: Path | str | None = None,
    teachers: Sequence[Path | str] = (),
    progress: Progress = silent,
) -> Iterator[Event]:
    """Train in `folder`; yields events (on the main process alone, if there are several).

    start: folder of a checkpoint to take the weights of. teachers: folders of those whose answers stand beside the labels.
    resume: go on from the folder's state.
    Raises UsageError or DataError for settings and data that cannot be used, RunError for a state that cannot be read.
    """
    folder, start = Path(folder), Path(start) if start else None
    accelerator = accelerator_on(device)
    state = read_state(config, folder) if resume else None
    with accelerator.main_process_first():
        data = prepare(config, progress, start, [Path(teacher) for teacher in teachers])
    run = Run(config, folder, data, accelerator, start)
    if state:
        run.restore(state)
    for event in run.events():
        if accelerator.is_main_process:
            yield event
    accelerator.wait_for_everyone()
    accelerator.end_training()  # several processes part together: one that goes first would let the others abort


def accelerator_on(device: str) -> accelerate.Accelerator:
    """One process of this device, or its part among several that torchrun started."""
    if device.startswith("cuda:"):
        torch.cuda.set_device(device)  # accelerate takes the current one
    # The other processes wait while the first looks for faces: hours, where torch would give up after half of one.
    patient = InitProcessGroupKwargs(timeout=datetime.timedelta(hours=24))
    return accelerate.Accelerator(cpu=device == "cpu", kwargs_handlers=[patient])


class Run:
    """A training in progress: network, moving average, optimiser, and how far they are."""

    def __init__(
        self,
        config: TrainConfig,
        folder: Path,
        data: Data,
        accelerator: accelerate.Accelerator,
        start: Path | None,
        network: nn.Module | None = None,
    ) -> None:
        """network: one that has the weights of `start` already; built and given them if there is none."""
        self.config, self.folder, self.data, self.accelerator = config, folder, data, accelerator
        tasks = data.card.tasks
        names = [task.name for task in tasks]
        self.classes, self.digest = {task.name: list(task.classes) for task in tasks}, data.digest()
        chosen = config.select if config.select in names else ""
        if not len(data.val) or (chosen and not bool(data.val.known[chosen].any())):
            what = chosen or "these tasks"
            raise DataError(f"Split 'val' holds no picture of {what}. Add some: without it no epoch can be chosen.")
        self.weights = dict.fromkeys(names, 1.0) | shares(config.task_weights, "task", names)
        self.batches = Batches(
            data.train,
            data.card.crop,
            size=config.batch_size,
            seed=config.seed,
            augmentation=config.augmentation,
            scatter=config.scatter,
            reach=reach_of(config),
            mix=data.mix,
            balance=config.balance,
            even=config.even,
            alternate=config.mode == "alternate",
            rank=accelerator.process_index,
            processes=accelerator.num_processes,
            device=accelerator.device,
            teacher=data.teachers.to(accelerator.device) if data.teachers else None,
        )
        self.parent = start.name if start else ""
        if network is None:
            torch.manual_seed(config.seed)
            network = checkpoint.build_network(data.card)
            if start:
                take_weights(network, data.card, start)
        self.precision = arithmetic(config.precision, accelerator.device)
        self.frozen = freeze(network, config.freeze)
        network = network.to(accelerator.device)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a fifth quicker on a CPU
        self.average = AveragedModel(network, avg_fn=self._average, use_buffers=True)
        # A parameter each: one alone can rest while the others move.
        self.log_variances = [nn.Parameter(torch.zeros((), device=accelerator.device)) for _ in names]
        learned = self.log_variances if config.weighting == "learned" else []
        self.network, self.optimiser = accelerator.prepare(network, make_optimiser(config, network, learned))
        self.bare: Any = accelerator.unwrap_model(self.network)
        self.step, self.best, self.best_epoch, self.stale, self.seconds = 0, -math.inf, -1, 0, 0.0
        self.reference: dict[str, float] = {}
        self.steps = config.epochs * self.batches.steps
        self._saved = self._reported = self._clock = (
            0.0  # when state was saved, a step told, the counting of pictures begun
        )
        self._seen = 0  # pictures since then
        self._outputs: dict[
            str, torch.Tensor
        ] = {}  # the logits of val, as last measured: by them the checkpoint is calibrated
        self._ratios: dict[str, float] = {}  # norms of the tasks' gradients at the first step of an epoch

    def _average(self, old: torch.Tensor, new: torch.Tensor, count: torch.Tensor | int) -> torch.Tensor:
        """The moving average, quick at first: the weights that a run starts from should be forgotten."""
        number = float(count)
        decay = min(self.config.ema, (1 + number) / (10 + number))
        return old + (new - old) * (1 - decay)

    # -- the loop ------------------------------------------------------------------------------------------------

    def events(self) -> Iterator[Event]:
        """The whole run from where it is; every process goes through it in step with the others."""
        yield from self.data.notes
        if self.precision != self.config.precision:
            yield Noted("precision_replaced", {"asked": self.config.precision, "used": self.precision})
        yield Started(self.config.name, self.steps, self.config.epochs, self.step, self.data.train.counts())
        if not self.reference:
            self.reference = {name: found["error"] for name, found in self._measure().items()}
        began = time.monotonic() - self.seconds
        self._clock = self._saved = time.monotonic()
        for epoch in range(self.step // self.batches.steps, self.config.epochs):
            if self.config.patience and self.stale >= self.config.patience:
                yield Stopped(self.step, "no_better_epoch", {"epochs": self.stale, "best": self.best_epoch + 1})
                break
            plans = self.batches.plans(epoch)
            for plan in plans[self.step - epoch * self.batches.steps :]:
                failure, losses = self._take_step(self.batches.load(plan, epoch, self.config.size_px(epoch)))
                if failure:
                    yield failure
                    return
                self.step += 1
                self.seconds = time.monotonic() - began
                yield from self._report_gradients()
                yield from self._report(epoch, losses)
                if self._is_asked_to_stop():
                    yield from self._save_state()
                    yield Stopped(self.step, "asked_to_stop")
                    return
            failure = yield from self._end_epoch(epoch)
            if failure:
                yield failure
                return
        yield Finished(self.step, round(self.seconds, 1), self.best_epoch)

    def _take_step(self, batch: Batch) -> tuple[Failed | None, dict[str, float]]:
        """One step of the optimiser. Returns what went wrong, and each task's loss over the whole batch."""
        config, device, processes = self.config, self.accelerator.device, self.accelerator.num_processes
        self.network.train()
        for module in self.frozen:
            module.eval()
        torch.manual_seed(
            seed_of(config.seed, self.step, self.accelerator.process_index)
        )  # dropout's, so that resume is exact
        rate = learning_rate(config, self.step, self.steps)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        with torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            layout = torch.channels_last if batch.images.ndim == 4 else torch.preserve_format
            outputs = self.network(batch.images.to(device, memory_format=layout))
        parts = [
            task_loss(task, outputs[task.name], batch, config.teacher_weight, processes)
            for task in self.data.card.tasks
        ]
        everywhere: Any = self.accelerator.reduce(torch.stack(parts).detach(), "mean")
        weights = self._weights(device) * slopes(everywhere, config.combine)
        self._ratios = self._gradients(parts, weights, batch) if self.step % self.batches.steps == 0 else {}
        self.accelerator.backward((torch.stack(parts) * weights).sum())
        for task in self.data.card.tasks:
            if not batch.teaches(task.name):  # a gradient of zero would still let decay and momentum move the branch
                for module in self.bare.own(task.name):
                    for parameter in module.parameters():
                        parameter.grad = None
        losses = {task.name: float(one) for task, one in zip(self.data.card.tasks, everywhere, strict=True)}
        if self.config.weighting == "learned":
            for task, one, loss in zip(self.data.card.tasks, self.log_variances, everywhere, strict=True):
                # The derivative of sum(exp(-s) x loss + s), by the loss over all processes; a task that is absent rests.
                one.grad = 1 - loss * torch.exp(-one.detach()) if batch.teaches(task.name) else None
        norm = self.accelerator.clip_grad_norm_(self.network.parameters(), config.clip or math.inf)
        bad = [name for name, loss in losses.items() if not math.isfinite(loss)]
        if bad or not math.isfinite(float(norm if norm is not None else 0.0)):
            blamed = bad[0] if bad else max(losses, key=lambda name: losses[name])
            values = {"task": blamed, "step": self.step + 1, "losses": as_text(losses)}
            return Failed("loss_overflowed", values), losses
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.average.update_parameters(self.bare)
        self._seen += len(batch.images) * processes
        return None, {name: loss for name, loss in losses.items() if batch.teaches(name)}

    def _weights(self, device: torch.device) -> torch.Tensor:
        """float32 (T,): the given weights, times those learned from each task's uncertainty, if asked for.

        Source: Kendall, Gal and Cipolla, "Multi-Task Learning Using Uncertainty to Weigh Losses", 2018, section 3."""
        given = torch.tensor([self.weights[task.name] for task in self.data.card.tasks], device=device)
        learned = self.config.weighting == "learned"
        return given * torch.exp(-torch.stack(tuple(self.log_variances)).detach()) if learned else given

    def _gradients(self, parts: Sequence[torch.Tensor], weights: torch.Tensor, batch: Batch) -> dict[str, float]:
        """{task: norm of its gradient at the last layer that all labelled tasks share}; empty where none is shared or learns."""
        layers = [
            parameter for parameter in self.bare.trunk.parameters() if parameter.requires_grad and parameter.ndim > 1
        ]
        gradients = {
            task.name: torch.autograd.grad(part * weight, layers, retain_graph=True, allow_unused=True)
            for task, part, weight in zip(self.data.card.tasks, parts, weights, strict=True)
            if layers and batch.teaches(task.name)
        }
        for row in reversed(range(len(layers))):  # a branch may leave early, or have a trunk of its own
            if all(of_task[row] is not None for of_task in gradients.values()):
                return {name: float(of_task[row].norm()) for name, of_task in gradients.items()}
        return {}

    def _report_gradients(self) -> Iterator[Event]:
        if len(self._ratios) < 2:
            return
        loud = max(self._ratios, key=lambda name: self._ratios[name])
        others = [norm for name, norm in self._ratios.items() if name != loud and norm]  # 0: it shares nothing
        if others and self._ratios[loud] > DOMINATING * max(others):
            norms = {name: f"{norm:.3g}" for name, norm in self._ratios.items()}
            yield Noted("gradient_dominates", {"task": loud, "step": self.step, "norms": norms})

    def _report(self, epoch: int, losses: Mapping[str, float]) -> Iterator[Event]:
        now = time.monotonic()
        if now - self._reported >= REPORT_SECONDS or self.step == self.steps:
            rate = self._seen / max(1e-6, now - self._clock)
            left = (self.steps - self.step) * self.batches.size / max(1e-6, rate)
            rounded = {name: round(loss, 5) for name, loss in losses.items()}
            learning = learning_rate(self.config, self.step - 1, self.steps)
            yield Step(self.step, epoch, rounded, learning, round(rate, 1), round(left, 1))
            self._reported = now
            if now - self._clock > 60:
                self._clock, self._seen = now, 0
        every = self.config.save_steps
        if self.step % every == 0 if every else now - self._saved >= SAVE_SECONDS:
            yield from self._save_state()

    def _is_asked_to_stop(self) -> bool:
        if self.accelerator.is_main_process and (self.folder / STOP).exists():
            self.accelerator.set_trigger()
        return self.accelerator.check_trigger()

    def _end_epoch(self, epoch: int) -> Generator[Event, None, Failed | None]:
        """Returns what went wrong, if something did."""
        try:
            found = self._measure()
        except CheckpointError as error:  # answers that are no numbers
            return Failed("answers_not_finite", {"fault": str(error), "epoch": epoch + 1})
        score = score_of(found, self.reference, self.config.select, self.weights)
        if not math.isfinite(score):
            errors = as_text({name: figures["error"] for name, figures in found.items()})
            return Failed("score_not_finite", {"score": str(score), "epoch": epoch + 1, "errors": errors})
        better = score > self.best
        if better:
            self.best, self.best_epoch, self.stale = score, epoch, 0
            if self.accelerator.is_main_process:
                self._save_checkpoint(epoch, found)
        else:
            self.stale += 1
        rounded = {task: {name: round(one, 4) for name, one in some.items()} for task, some in found.items()}
        yield Evaluated(epoch, self.step, rounded, round(score, 5), better)
        if better:
            yield Saved("checkpoint", self.step)
        yield from self._save_state()
        return None

    def _measure(self) -> dict[str, dict[str, float]]:
        """Val, by the moving average; worked out once and told to the other processes."""
        told: list[Any] = [None]
        if self.accelerator.is_main_process:
            card, val = self.data.card, self.data.val
            self._outputs = network_outputs(self.evaluated, val, card, str(self.accelerator.device))
            found = errors_on(card.tasks, predictions(self._outputs, card, val.quality), val)
            if self.config.select == LOSS:
                losses = losses_on(card.tasks, self._outputs, val)
                found = {name: {**figures, LOSS: losses[name]} for name, figures in found.items()}
            told = [found]
        return broadcast_object_list(told)[0]

    @property
    def evaluated(self) -> nn.Module:
        """The network that is measured and kept."""
        return self.average.module if self.config.ema and self.step else self.bare

    # -- on disk -------------------------------------------------------------------------------------------------

    def _save_checkpoint(self, epoch: int, found: Mapping[str, Mapping[str, float]]) -> None:
        val = self.data.val
        fitted = fit(self.data.card.tasks, self._outputs, val.targets, val.known, val.quality)
        calibration = {**self.data.card.calibration, **fitted}
        training = {
            "command": self.data.command or command_of(self.config),
            "data": self.data.train.counts(),
            "val": self.data.val.counts(),
            "notes": [wording.of(note) for note in self.data.notes],  # a card is read by people, without this program
            "epoch": epoch + 1,
            "epochs": self.config.epochs,
            "step": self.step,
            "seconds": round(self.seconds),
            "val_errors": {name: round(one["error"], 4) for name, one in found.items()},
            "versions": {"mtl_model": __version__, "torch": torch.__version__},
            **({"system": self.config.system, "variant": self.config.variant} if self.config.system else {}),
        }
        created = datetime.datetime.now(datetime.UTC).date().isoformat()
        card = dataclasses.replace(
            self.data.card, calibration=calibration, training=training, created=created, parent=self.parent
        )
        try:
            checkpoint.save(self.folder, self.evaluated, card)
        except CheckpointError as error:
            raise RunError(
                f"{error} The run can be resumed; the last state and the best checkpoint before are whole."
            ) from None

    def _save_state(self) -> Iterator[Event]:
        self._saved = time.monotonic()
        if not self.accelerator.is_main_process:
            return
        state = {
            "config": dataclasses.asdict(self.config) | {"source": list(self.config.source)},
            "network": self.bare.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "log_variances": torch.stack(tuple(self.log_variances)).detach(),
            "step": self.step,
            "best": self.best,
            "best_epoch": self.best_epoch,
            "stale": self.stale,
            "seconds": self.seconds,
            "reference": self.reference,
            "tasks": self.classes,
            "data": self.digest,
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.folder / f".{STATE}.{os.getpid()}"
        try:
            torch.save(state, temporary)
            os.replace(temporary, self.folder / STATE)
        except (OSError, RuntimeError):  # of a full disk torch tells in its own words
            then = "resume from the state before" if (self.folder / STATE).exists() else "start the run anew"
            raise RunError(
                "The state of the run could not be written: the disk is full or closed to this program. Expected free space; "
                f"make room, then {then}."
            ) from None
        finally:
            temporary.unlink(missing_ok=True)
        yield Saved("state", self.step)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `read_state` gave. Raises UsageError where the data are no longer those it learned from."""
        before, now = state.get("tasks", self.classes), self.classes  # a version before this kept neither
        other = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
        if other or list(before) != list(now) or state.get("data", self.digest) != self.digest:
            what = (
                f"other classes of {', '.join(other)}"
                if other
                else "other pictures, labels or splits, or other teachers"
            )
            raise UsageError(
                f"The data of '{self.folder.name}' have changed since it was started: {what}. Expected the very same to go "
                "on; put them back, or start a new run."
            )
        self.bare.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        try:
            self.optimiser.load_state_dict(state["optimiser"])
        except ValueError:  # the log variances were one parameter before
            raise RunError(
                f"The {STATE} of '{self.folder.name}' is of an older version, which kept the learned weights in another way. "
                "Start the run anew."
            ) from None
        for one, before in zip(self.log_variances, state["log_variances"], strict=True):
            one.data.copy_(before)
        self.step, self.best, self.best_epoch = state["step"], state["best"], state["best_epoch"]
        self.stale, self.seconds, self.reference = state["stale"], state["seconds"], state["reference"]


def as_text(numbers: Mapping[str, float]) -> dict[str, str]:
    """Return numbers as text: JSON has none that are not finite."""
    return {name: str(number) for name, number in numbers.items()}


def read_state(config: TrainConfig, folder: Path) -> dict[str, Any]:
    """The run's state.pt. Raises RunError where it cannot be read, UsageError where it is of other settings."""
    path = folder / STATE
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise RunError(f"'{folder.name}' has no {STATE} to go on from. Start it without --resume.") from None
    except Exception:  # whatever torch and pickle raise for what is cut off or no such file
        raise RunError(
            f"The {STATE} of '{folder.name}' cannot be read: it is cut off, or another program's. Expected a whole one to go on "
            "from; start the run anew."
        ) from None
    now = dataclasses.asdict(config) | {"source": list(config.source)}
    before = dataclasses.asdict(TrainConfig()) | state["config"]  # of a version that had fewer settings
    changed = sorted(name for name, value in now.items() if before[name] != value)
    if changed:
        raise UsageError(
            f"The run '{folder.name}' was started with other settings of: {', '.join(changed)}. Resume it with "
            "the same ones, or start a new run with --start."
        )
    return state


def command_of(config: TrainConfig) -> str:
    """The command that repeats the run; data sets by their folder's name, since paths differ between machines."""
    specs = map(layouts.parse_spec, config.source)
    config = dataclasses.replace(config, source=tuple(f"{kind}:DATA/{path.resolve().name}" for kind, path in specs))
    if not config.system:
        return f"python -m mtl_model train {options_of(config)}"
    base = dataclasses.replace(systems.recipe(config.system, config.variant), system="", variant="")
    data = " --data DATA" if config.source == base.source else ""
    return f"python -m mtl_model train {options_of(config, base)}{data}"
