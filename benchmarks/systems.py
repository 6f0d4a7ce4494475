"""Train published systems and their variants, measure them, and write down what they reach.

python -m benchmarks.systems NAME... [--variants a,b|all] [--seeds 0,1,2] [--shuffled] [--epochs N] [--fraction F]
python -m benchmarks.systems --table      write the tables and curves of docs/systems.md and docs/systems/, and
                                          mtl_model/systems/figures.json
    [--data DIR] [--runs runs] [--results docs/systems.jsonl] [--threads 1]

Without --variants the system itself is trained, and with seed 0 measured on test; each reading is noted in
docs/test-readings.md. What is compared, variants and further seeds, is measured on val. --shuffled trains with labels that
were permuted among the pictures of each set: what then still beats the majority learned from something else than the pictures.
docs/systems.jsonl keeps one line per run; one that stands there is not made again, and a training that was cut off goes on from
its state in --runs.
"""

from __future__ import annotations

import mtl_model  # before torch: it decides how threads wait

import argparse
import dataclasses
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.lines import Lines
from mtl_model import checkpoint, events, kinds, layouts, runs, systems, wording
from mtl_model.card import find_checkpoint, write_plain, write_text
from mtl_model.config import TrainConfig
from mtl_model.data import pseudo_labels
from mtl_model.data.batches import Labelled
from mtl_model.evaluate import charts, metrics, results
from mtl_model.events import Evaluated, Event, Failed, Step
from mtl_model.options import add_options
from mtl_model.registry import shipped_weights
from mtl_model.systems import Headline
from mtl_model.tasks import Task
from mtl_model.train import loop
from mtl_model.train.prepare import prepare

READINGS = Path("docs/test-readings.md")
DOCS = Path("docs")
BLOCK = re.compile(r"(<!-- table: ([^>]+) -->)\n.*?(<!-- end -->)", re.DOTALL)
CHANGED = ("epochs", "fraction", "network_options", "learning_rate")
"""Settings of a recipe that the command can change, so that a run takes minutes."""


def permuted(data: Labelled, seed: int) -> Labelled:
    """Return the same pictures with their labels permuted within each source; which labels stand together stays."""
    random, parts = np.random.default_rng(seed), []
    for samples, crops, rows in data.parts:
        order = random.permutation(len(samples))
        labels = [samples[row].labels for row in order]
        moved = [dataclasses.replace(sample, labels=label) for sample, label in zip(samples, labels, strict=True)]
        parts.append((moved, crops, rows))
    return Labelled(parts, data.tasks)


def train(config: TrainConfig, folder: Path, shuffled: bool) -> Failed | None:
    """Train in `folder`, or go on there. Returns how it failed, if it did."""
    start = find_checkpoint(config.start, shipped_weights(), folder.parent) if config.start else None
    data = prepare(config, start=start)
    if shuffled:
        train, val = (permuted(part, config.seed) for part in (data.train, data.val))
        data = dataclasses.replace(
            data, train=train, val=val
        )  # the choice of the epoch must not know the labels either
    run = loop.Run(config, folder, data, loop.accelerator_on("cpu"), start)
    if (folder / runs.STATE).exists():
        run.restore(loop.read_state(config, folder))
    folder.mkdir(parents=True, exist_ok=True)
    stream = list(events.written(run.events(), folder / runs.EVENTS))
    return next((event for event in stream if isinstance(event, Failed)), None)


def events_of(folder: Path) -> Iterator[Event]:
    for line in (folder / runs.EVENTS).read_text(encoding="utf-8").splitlines():
        yield events.from_line(line)


def curves_of(stream: Sequence[Event]) -> dict[str, dict[str, list[float]]]:
    """{task: {"loss": mean on train, "error": on val}}, one number per epoch; of a run that went on the last of each."""
    losses: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    errors: dict[str, dict[int, float]] = defaultdict(dict)
    for event in stream:
        if isinstance(event, Step):
            for task, loss in event.losses.items():
                losses[task][event.epoch].append(loss)
        elif isinstance(event, Evaluated):
            for task, figures in event.metrics.items():
                errors[task][event.epoch] = figures["error"]
    return {
        task: {
            "loss": [round(float(np.mean(values)), 4) for _, values in sorted(losses[task].items())],
            "error": [value for _, value in sorted(errors[task].items())],
        }
        for task in dict.fromkeys([*losses, *errors])  # what overflows in its first epoch has losses alone
    }


def last_change(curve: Mapping[str, list[float]]) -> float | None:
    """Return by which share of itself the error on val changed over the last epoch; None after one epoch."""
    before, after = [None, None, *curve["error"]][-2:]
    return None if before is None or after is None else round((after - before) / max(before, 1e-9), 4)


def blind(task: Task, metric: str, data: Labelled) -> float | None:
    """Return the metric of the best answer that looks at no picture: the majority class, or the median."""
    kind = kinds.of(task)
    targets = data.targets[task.name].numpy()[data.known[task.name].numpy()]
    if (guess := kind.guess(task, targets)) is None:
        return None
    answers = np.repeat(guess[None], len(targets), 0)
    measured = kind.rows(task, answers, targets, kind.Calibration(), targets)
    return metrics.interval_of(kind.metrics[metric].rows(measured), kind.metrics[metric])["value"]


def figures_of(config: TrainConfig, folder: Path, headlines: Sequence[Headline], split: str) -> list[dict[str, Any]]:
    """Measure the headlines of a trained checkpoint, each with its interval and the figure of the blind answer."""
    network, card = checkpoint.load(folder)
    known = {task.name: task for task in card.tasks}
    found = []
    for spec in config.source:
        wanted = [one for one in headlines if one.source == layouts.parse_spec(spec)[1].name and one.task in known]
        if not wanted:
            continue
        record = metrics.evaluate(network, card, spec, split, options=config.layout_options)
        if split == "test" and READINGS.is_file():
            results.note_reading(READINGS, folder.name, record)
        source = layouts.read_as(layouts.read(spec, layouts.options_for(spec, config.layout_options)), card.tasks)
        samples = pseudo_labels.with_labels(source.in_split(split), card.tasks)
        data = metrics.read_labelled(source, samples, card)
        for headline in wanted:
            task = known[headline.task]
            name = headline.metric  # a variant may read the label as another kind, which has another metric
            name = name if name in record["tasks"][task.name] else kinds.headline(record["tasks"][task.name])
            metric = kinds.of(task).metrics[name]
            found.append(
                {
                    "label": headline.label,
                    "task": headline.task,
                    "metric": name,
                    "source": headline.source,
                    "unit": metric.unit_for(task),
                    "lower_is_better": metric.lower_is_better,
                    **record["tasks"][task.name][name],
                    "blind": blind(task, name, data),
                }
            )
    order = {headline.label: number for number, headline in enumerate(headlines)}
    return sorted(found, key=lambda figure: order[figure["label"]])


def run(config: TrainConfig, shuffled: bool, arguments: argparse.Namespace) -> dict[str, Any]:
    """Train and measure. Returns what the line of a run says besides its key."""
    folder = arguments.runs / config.name
    failed = train(config, folder, shuffled)
    stream = list(events_of(folder))
    curves = curves_of(stream)
    command = loop.command_of(dataclasses.replace(config, name=""))
    if failed:
        return {"command": command, "failed": wording.of(failed), "curves": curves}
    card, headlines = checkpoint.load(folder)[1], systems.named(config.system).headlines
    tested = {} if config.variant or config.seed else {"figures": figures_of(config, folder, headlines, "test")}
    return {
        "command": command,
        **tested,
        "val": figures_of(config, folder, headlines, "val"),
        "pictures": sum(counts["pictures"] for counts in card.training["data"].values()),
        "steps": max(event.step for event in stream if isinstance(event, Evaluated)),
        "best_epoch": card.training["epoch"],
        "seconds": round(max((event.seconds for event in stream if isinstance(event, events.Finished)), default=0)),
        "parameters": card.parameters,
        "last_change": {task: last_change(curve) for task, curve in curves.items()},
        "curves": curves,
    }


# Tables ----------------------------------------------------------------------------------------------------------


def written(value: float, figure: Mapping[str, Any]) -> str:
    return f"{100 * value:.1f} %" if figure["unit"] == kinds.SHARE else f"{value:.2f} {figure['unit']}".rstrip()


def cell(figure: Mapping[str, Any]) -> str:
    """Return a figure with its interval, and that of the blind answer."""
    low, high = (written(figure[end], figure).split()[0] for end in ("low", "high"))
    against = f"; blind {written(figure['blind'], figure)}" if figure["blind"] is not None else ""
    return f"{written(figure['value'], figure)} ({low} to {high}{against})"


def change_text(line: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{task} {100 * change:+.0f} %" for task, change in line["last_change"].items() if change is not None
    )


def system_row(name: str, line: Mapping[str, Any], shuffled: Mapping[str, Any] | None) -> Iterator[str]:
    """One row per headline: reached, blind, author, with shuffled labels."""
    by_label = {figure["label"]: figure for figure in (shuffled or {}).get("figures", ())}
    authors = {headline.label: headline for headline in systems.named(name).headlines}
    for figure in line["figures"]:
        headline = authors[figure["label"]]
        author = "-" if headline.author is None else written(headline.author, figure)
        author += f" {headline.note}" if headline.note else ""
        other = by_label.get(figure["label"])
        yield (
            f"| {systems.named(name).letter} {name} | {figure['label']} | {cell(figure)} | {author} | "
            f"{written(other['value'], other) if other else '-'} | {line['pictures']:,} x {line['epochs']} | "
            f"{line['seconds'] / 60:.0f} min | {change_text(line)} |"
        )


HEAD = (
    "| system | figure | reached on test (95 %; blind answer) | its author | labels shuffled | pictures x epochs | time | "
    "error in the last epoch |"
)


def main_lines(lines: Lines, name: str) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Return the longest run of a system itself that was measured on test, the latest of equal ones, and that with shuffled
    labels."""
    of_it = [line for line in lines.runs if line["system"] == name and not line["variant"] and "figures" in line]
    parts = ([line for line in of_it if line["shuffled"] is shuffled] for shuffled in (False, True))
    whole, shuffled = (
        max(reversed(part), key=lambda line: line["epochs"] * line["fraction"], default=None) for part in parts
    )
    return whole, shuffled


def variants_table(lines: Lines, name: str) -> Iterator[str]:
    """A system and its variants on val, means over the seeds with the least and the largest; one table per length of runs."""
    of_it = [line for line in lines.runs if line["system"] == name and not line["shuffled"]]
    settings = [tuple(line.get(field, "") for field in CHANGED) for line in of_it]
    for chosen in dict.fromkeys(settings):
        rows = [line for line, of_line in zip(of_it, settings, strict=True) if of_line == chosen]
        if not any(line["variant"] for line in rows):
            continue
        labels = [headline.label for headline in systems.named(name).headlines]
        words = " ".join(
            f"--{field.replace('_', '-')} {value}" for field, value in zip(CHANGED, chosen, strict=True) if value
        )
        yield f"\n{name}, `{words}`, on val:\n"
        yield f"| variant | seeds | {' | '.join(labels)} | error in the last epoch |"
        yield "|---" * (len(labels) + 3) + "|"
        for variant in dict.fromkeys(line["variant"] for line in rows):
            yield _variant_row(variant, [line for line in rows if line["variant"] == variant], labels)


def on_val(line: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return the figures on val of a run; older lines name the split beside the only figures they have."""
    return line.get("val", line.get("figures", ()) if line.get("split") == "val" else ())


def _variant_row(variant: str, seeds: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> str:
    cells = []
    for label in labels:
        measured = [figure for line in seeds for figure in on_val(line) if figure["label"] == label]
        values = [figure["value"] for figure in measured]
        if not values:
            cells.append("-")
        elif len(values) == 1:
            cells.append(cell(measured[0]))
        else:
            ends = " to ".join(written(end, measured[0]).split()[0] for end in (min(values), max(values)))
            cells.append(f"{written(float(np.mean(values)), measured[0])} ({ends})")
    failed = next((line["failed"] for line in seeds if "failed" in line), "")
    return f"| {variant or 'the system itself'} | {len(seeds)} | {' | '.join(cells)} | {failed or change_text(seeds[-1])} |"


def write_figures(lines: Lines, path: Path = systems.FIGURES) -> None:
    """Write what the package knows of its systems: figures, curves and command of the longest run of each; draw the curves."""
    kept = ("command", "figures", "pictures", "epochs", "fraction", "seconds", "parameters", "curves")
    chosen = {name: main_lines(lines, name)[0] for name in systems.names()}
    for name, line in chosen.items():
        if line:
            titles = {task: f"{task}, error on val" for task in line["curves"]}
            charts.training_chart(line["curves"], titles, DOCS / "systems" / f"{name}.svg")
    write_plain(path, {name: {field: line[field] for field in kept} for name, line in chosen.items() if line})


def main_table(lines: Lines, names: Sequence[str]) -> Iterator[str]:
    """One row per figure of each system that was trained, and the commands of these runs."""
    measured = {name: main_lines(lines, name) for name in names}
    yield f"{HEAD}\n{'|---' * (HEAD.count('|') - 1)}|"
    for name, (whole, shuffled) in measured.items():
        if whole:
            yield from system_row(name, whole, shuffled)
    for name, (whole, _) in measured.items():
        if whole:
            yield f"\n`{whole['command']}`"
        else:
            yield f"\n{systems.named(name).letter} {name}: not trained yet."


def block_of(lines: Lines, words: Sequence[str]) -> str:
    """Return the text of a block of docs: "systems" with names, or all; "variants" with one name."""
    what, *names = words
    made = main_table(lines, names or systems.names()) if what == "systems" else variants_table(lines, names[0])
    return "\n".join(made).strip("\n")


def with_blocks(text: str, lines: Lines) -> str:
    """Return a page with each block between <!-- table: WORDS --> and <!-- end --> made anew."""
    return BLOCK.sub(lambda found: f"{found[1]}\n{block_of(lines, found[2].split())}\n{found[3]}", text)


def write_pages(lines: Lines, folder: Path) -> None:
    for path in [*folder.glob("systems.md"), *folder.glob("systems/*.md")]:
        write_text(path, with_blocks(path.read_text(encoding="utf-8"), lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="; ".join(systems.names()))
    parser.add_argument(
        "--variants", default="", help="names with commas between them, or all; the system itself if not given"
    )
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--shuffled", action="store_true")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--data", type=Path, default=None, help=systems.DATA_HELP)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--results", type=Path, default=Path("docs/systems.jsonl"))
    parser.add_argument("--threads", type=int, default=1)
    add_options(parser, TrainConfig, CHANGED)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    lines, names = Lines(arguments.results), arguments.names or systems.names()
    if arguments.table:
        write_figures(lines)
        return write_pages(lines, DOCS)
    changed = {name: getattr(arguments, name) for name in CHANGED if name in arguments}
    for name in names:
        known = systems.named(name).variants
        variants = list(known) if arguments.variants == "all" else arguments.variants.split(",")
        for seed in map(int, arguments.seeds.split(",")):
            for variant in variants:
                recipe = systems.recipe(name, variant, systems.data_folder(arguments.data))
                config = dataclasses.replace(recipe, seed=seed, **changed)
                key = {"system": name, "variant": variant, "seed": seed, "shuffled": arguments.shuffled}
                key |= {"epochs": config.epochs, "fraction": config.fraction}
                key |= {field: changed.get(field, "") for field in CHANGED if field not in key}
                words = [name, variant or "main", str(seed), f"{config.epochs}x{config.fraction:g}"]
                words += [
                    "".join(filter(str.isalnum, str(changed[field]))) for field in CHANGED[2:] if field in changed
                ]
                named = "-".join([*words, *(["shuffled"] if arguments.shuffled else [])])
                if not lines.has(key):
                    config = dataclasses.replace(config, name=named)
                    lines.add(key | run(config, arguments.shuffled, arguments))
    return None


if __name__ == "__main__":
    main()
