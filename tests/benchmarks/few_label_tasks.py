"""What a few labels are worth by each way of using them, on sets of several modalities: tables in Markdown, and JSON.

    python -m tests.benchmarks.few_label_tasks NAME=CHECKPOINT ... [--file FILE] [--networks]

NAME is builtin:digits, or a name in FILE, a YAML of names to the options of labelled data, and of "NAME unlabelled"
to JSON lines without labels. Five draws of 1, 5, 10 and 50 labels a class. Without --networks nothing is fine-tuned:
minutes in place of hours.
"""

import argparse
import json
from pathlib import Path

import yaml

from hf_unlab.app.arguments import parse_arguments
from hf_unlab.app.console import quiet_libraries
from hf_unlab.evaluation.labelled import load_labelled, load_unlabelled
from hf_unlab.few_labels.auto import auto_rows
from hf_unlab.few_labels.draws import few_label_table
from hf_unlab.few_labels.left_out import left_out_table, share_groups
from hf_unlab.few_labels.methods import cheap, finetuned, probed
from hf_unlab.few_labels.networks import NetworkSettings
from hf_unlab.modalities import get_modality
from hf_unlab.modalities.detect import modality_of
from hf_unlab.streams.sources import Source

COUNTS, DRAWS = (1, 5, 10, 50), (0, 1, 2, 3, 4)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("tasks", nargs="+", help="NAME=CHECKPOINT")
    parser.add_argument("--file", help="YAML: the options of labelled data of each name")
    parser.add_argument("--networks", action="store_true")
    parser.add_argument("--output_dir", default="few_label_tasks")
    args = parser.parse_args()
    options = yaml.safe_load(Path(args.file).read_text()) if args.file else {}
    folder = Path(args.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    with quiet_libraries():
        for task in args.tasks:
            name, checkpoint = task.split("=")
            argv = options.get(name) or ["--labelled_dataset", name]
            raw = [Source("json", data_files=files) for files in options.get(f"{name} unlabelled", [])]
            for number, table in enumerate(tables(checkpoint, argv, raw, args.networks)):
                stem = f"{name.replace(':', '_')}{'_left_out' * number}"
                print(f"\n{stem}\n\n{table.to_markdown()}", flush=True)
                (folder / f"{stem}.json").write_text(json.dumps(json.loads(table.to_json()), indent=1) + "\n")


def tables(checkpoint: str, argv: list[str], raw: list[Source], with_networks: bool) -> list:
    modality = get_modality(modality_of(checkpoint))
    (settings,) = parse_arguments(modality.few_label_settings, argv=[str(word) for word in argv])
    settings.num_labels_per_class = list(COUNTS)
    encoder = modality.load_encoder(checkpoint, settings=settings)
    untrained = modality.load_encoder(checkpoint, settings=settings, random_weights=True, seed=0)
    labelled = load_labelled(settings, [], modality, encoder)
    assert labelled is not None
    pool, test = labelled.pool, labelled.test
    baselines = modality.make_baselines(encoder, (*pool.groups, *test.groups))
    unlabelled = load_unlabelled(raw, settings, modality, encoder, 5000)
    rows = [
        *(cheap(each, pool, test) for each in baselines),
        *probed("random weights", untrained, pool, test, is_random=True),
        *probed("pretrained", encoder, pool, test),
        *auto_rows("pretrained", encoder, baselines, pool, test, unlabelled=unlabelled),
    ]
    if with_networks:
        rate = settings.finetune_learning_rate
        fit = {"max_steps": settings.finetune_steps, "learning_rate": rate, "head_learning_rate": rate}
        rows += [finetuned("from scratch", untrained, pool, test, NetworkSettings("full", **fit))]
        rows += [finetuned("pretrained", encoder, pool, test, NetworkSettings("full", **fit))]
    found = [few_label_table(rows, pool.labels, test.labels, COUNTS, DRAWS, label_names=pool.label_names)]
    if share_groups(pool, test):
        found.append(left_out_table(rows, pool, test, COUNTS, DRAWS))
    return found


if __name__ == "__main__":
    main()
