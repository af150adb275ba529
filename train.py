"""The program behind every network's script: flags in, a mode run, one line out.

python train.py --arch resnet50 --mode train --dataset PATH
python resnet34.py --mode test --restore ckpt/
"""

import importlib
import os
import sys

from cli import flags
from common import distribution, errors, machine


def main(family: str | None = None, arguments: list[str] | None = None) -> None:
    """Runs the command line and exits: 0, or the exit code of a user's error, which is one line.

    A run that a signal stopped has exited before with 128 + its number, as the shell counts them.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    script = flags.script_name()
    with errors.ending_in_a_line(script):
        if flags.wants_help(arguments):
            print(flags.help_text(script, family), flush=True)
            sys.exit(0)
        options = flags.parse(arguments)
        mode = flags.choose_mode(options, script)
        start_tensorflow()
        note = distribution.unseen_gpu() if mode != "summary" else None
        if note:
            print(f"{script}: {note}", file=sys.stderr)
        with machine.shortage_named():
            importlib.import_module(f"cli.{mode}").run(options, family)


def start_tensorflow() -> None:
    """Imports TensorFlow without what its C++ part says before its log level counts (no GPU, and the like).

    oneDNN's kernels are on, which TensorFlow leaves off on x86 processors without AVX-512 VNNI or AMX; they are faster
    there too (docs/speed.md). TF_ENABLE_ONEDNN_OPTS=0 in the environment turns them off. Freed memory is kept.
    """
    machine.keep_freed_memory()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    sys.stderr.flush()
    kept, silent = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 2)
    try:
        import tensorflow as tf

        tf.config.list_physical_devices()
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(silent)


if __name__ == "__main__":
    main()
