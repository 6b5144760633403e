"""Real processes for tests: a small run by `accelerate launch`, in one process or several, stopped in any way."""

import contextlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import torch
from accelerate.state import AcceleratorState

from hf_unlab.hub.resources import recipe_path
from hf_unlab.testing import tiny_texts

RECIPE, IMAGE_TEXT, WAV2VEC2, TEXT_CONTRASTIVE, DISTILLATION, BEST_RQ, CLUSTERS = (
    recipe_path(name, "pretrain.py")
    for name in ("masked_lm", "image_text", "wav2vec2", "text_contrastive", "distillation", "best_rq", "clusters")
)


def write_texts(path, num_texts=600):
    """A file of JSON lines."""
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in tiny_texts(num_texts, num_words=30)))
    return path


def arguments(output_dir, data_files, **settings):
    """Of a run with dropout, accumulation and worker processes; `settings` replace them."""
    defaults = {
        "dataset": "json",
        "vocab_size": 400,
        "config_overrides": "hidden_size=16,num_hidden_layers=1,attention_dropout=0.1,embedding_dropout=0.1",
        "sequence_length": 16,
        "validation_fraction": 0.1,
        "max_steps": 100,
        "save_steps": 20,
        "save_total_limit": 20,
        "logging_steps": 7,
        "gradient_accumulation_steps": 2,
        "per_device_train_batch_size": 4,
        "dataloader_num_workers": 1,
        "precision": "fp32",
        "use_cpu": "true",
    }
    given = ["--output_dir", str(output_dir), "--data_files", *map(str, data_files)]
    for name, value in {**defaults, **settings}.items():
        given += [f"--{name}", str(value)] if value is not None else []
    return given


def saved_model_arguments(output_dir, data_file, model, **settings):
    """Of a recipe that takes a model from a folder, and one file."""
    defaults = {
        "model": model,
        "max_steps": 60,
        "save_steps": 10,
        "num_readers": 4,
        "shuffle_block_size": 20,
        "learning_rate": 1e-3,
        "logging_steps": 6,
    }
    of_others = dict.fromkeys(("config_overrides", "sequence_length", "vocab_size"))
    return arguments(output_dir, [data_file], **{**defaults, **of_others, **settings})


def image_text_arguments(output_dir, data_file, model, **settings):
    """Of the image-text recipe: gradient caching and worker processes, and a model from a folder."""
    return saved_model_arguments(output_dir, data_file, model, **{"dataset": "parquet", **settings})


def text_contrastive_arguments(output_dir, data_file, model, **settings):
    """Of the recipe of texts' vectors: gradient caching and worker processes, and a model from a folder."""
    defaults = {"max_view_tokens": 8, "max_passes": 1000}
    return saved_model_arguments(output_dir, data_file, model, **{**defaults, **settings})


def distillation_arguments(output_dir, data_file, model, teacher, **settings):
    """Of the recipe of distillation: worker processes, and models from folders."""
    defaults = {"teacher": teacher, "max_characters": 40}
    return saved_model_arguments(output_dir, data_file, model, **{**defaults, **settings})


def cluster_arguments(output_dir, data_file, model, **settings):
    """Of the recipe of clusters, on images: two rounds, of which one begins at a step that is saved."""
    defaults = {
        "dataset": "parquet",
        "modality": "image",
        "group_column": "speaker",
        "num_rounds": 2,
        "max_steps": 40,
        "max_clustered": 60,
    }
    given = saved_model_arguments(output_dir, data_file, model, **{**defaults, **settings})
    return [*given, "--cluster_sizes", "4", "6"]


def audio_arguments(output_dir, data_file, model, **settings):
    """Of the wav2vec 2.0 recipe: small batches by seconds, and a model from a folder."""
    defaults = {
        "dataset": "parquet",
        "model": model,
        "max_seconds": 0.8,
        "max_batch_seconds": 3,
        "bucket_num_batches": 3,
        "mask_length": 3,
        "num_negatives": 10,
        "max_steps": 30,
        "save_steps": 5,
        "num_readers": 4,
        "shuffle_block_size": 10,
        "learning_rate": 1e-3,
        "logging_steps": 5,
    }
    of_text = dict.fromkeys(("config_overrides", "sequence_length", "vocab_size", "per_device_train_batch_size"))
    return arguments(output_dir, [data_file], **{**defaults, **of_text, **settings})


def launch(output_dir, data_files, *, num_processes=2, script=RECIPE, **settings):
    """Start a run as people do."""
    command = [str(Path(sys.executable).with_name("accelerate")), "launch", "--num_processes", str(num_processes)]
    command += ["--multi_gpu"] if num_processes > 1 else ["--mixed_precision", "no"]
    command += ["--main_process_port", str(free_port()), str(script)]
    return subprocess.Popen(
        [*command, *arguments(output_dir, data_files, **settings)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(output_dir.parent)},
    )


def pretrain(argv, recipe=RECIPE):
    """A recipe, in this process."""
    runpy.run_path(str(recipe))["main"](argv)


def fork_two(function, *given):
    """Start it in two processes, forked as workers of loaders are: a fresh interpreter takes seconds to import torch.

    Returns:
        A `ProcessContext` of torch.
    """
    return torch.multiprocessing.start_processes(
        _in_rank, (free_port(), function, given), nprocs=2, join=False, start_method="fork"
    )


def in_two_processes(function, *given):
    """As `fork_two`, and wait for the end.

    Raises:
        ProcessRaisedException: One of them raised, and this is its traceback.
    """
    context = fork_two(function, *given)
    while not context.join():
        pass


def _in_rank(rank, port, function, given):
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    torch.set_num_threads(1)
    AcceleratorState._reset_state(reset_partial_state=True)  # what an earlier test's trainer found is not true here
    function(*given)


def free_port():
    """A port for the ranks to meet at: what was killed may hold the usual one a while."""
    with socket.socket() as one:
        one.bind(("", 0))
        return one.getsockname()[1]


def wait_for(path, process):
    """Until a run has written it; `process` is its launcher or a rank."""
    while not path.exists():
        if isinstance(process, subprocess.Popen):
            assert process.poll() is None, process.communicate()[0]
        else:
            assert process.is_alive()
        time.sleep(0.02)


def descendants(process):
    """All processes below one; each rank leads a process group of its own."""
    return psutil.Process(process.pid).children(recursive=True)


def kill(*processes):
    """SIGKILL to launcher or ranks, and to all below them."""
    for process in processes:
        for one in [*descendants(process), process]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(one.pid, signal.SIGKILL)
    for process in processes:
        if isinstance(process, subprocess.Popen):
            process.communicate()
        else:
            process.join()


def finish(process, code=0):
    """Wait for the end, and return what was printed."""
    output, _ = process.communicate(timeout=600)
    assert process.returncode == code, output
    return output


def logged(output_dir, num_steps, more_names=()):
    """The logs of training that the checkpoint behind a step holds."""
    state = json.loads((output_dir / f"checkpoint-{num_steps}" / "trainer_state.json").read_text())
    names = ("step", "loss", "accuracy", "grad_norm", "learning_rate", "epoch", *more_names)
    return [{name: log[name] for name in names} for log in state["log_history"] if "loss" in log]


def stream_state(output_dir, num_steps):
    """Where the data stood behind a step."""
    return json.loads((output_dir / f"checkpoint-{num_steps}" / "stream_state.json").read_text())
