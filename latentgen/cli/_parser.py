"""The table of commands, the parser that reads it, and the exit codes."""

# SPDX-License-Identifier: BSD-3-Clause
# Only the standard library up here, so that --help answers at once.

import argparse
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from pkgutil import resolve_name
from typing import NamedTuple

from latentgen._version import __version__
from latentgen.cli._datasets import DATASETS

_SOURCES = {
    ", ".join(dataset.name for dataset in DATASETS): (
        "data sets by name; add :train or :test for one part, as in mnist:test"
    ),
    "a folder": "with one subfolder of images per class, or images only",
    "a .npy file": "images (n, H, W), (n, C, H, W) or (n, features), bytes or floats in [0, 1]",
    "a .npz file": "such images as 'X', labels as 'y'",
}
# Experiment of `latentgen benchmark`: what it compares.
EXPERIMENTS = {
    "generation": "samplers on the codes of autoencoders, VAEs and their prior",
    "conditional": "one sampler per class; warm starts of weights and of a diffusion",
    "ensemble": "the mean of 1 to 7 samplers",
    "sweep": "one dial, NAME: strategy, beta, latent_dim, ensemble or tree",
    "tstr": "what a classifier learns from generated images, beside real ones",
}
_WIDTH = max(map(len, _SOURCES))
_DATA_HELP = "DATA is one of\n" + "".join(
    f"  {source:{_WIDTH}}  {meaning}\n" for source, meaning in _SOURCES.items()
)


class Command(NamedTuple):
    """One row of the table of commands.

    Parameters
    ----------
    name : str
        What the user types.
    summary : str
        What it does, one line that starts with a verb.
    arguments : callable
        ``arguments(parser)`` adds its arguments.
    function : str
        Module and function, called with the parsed arguments. It is loaded when the command
        runs, because it imports torch.
    notes : str
        Shown below the arguments, examples last.
    """

    name: str
    summary: str
    arguments: Callable
    function: str
    notes: str


def main(argv=None):
    """Run the command line.

    Parameters
    ----------
    argv : list of str, default=None
        Arguments; None takes those of the process.

    Returns
    -------
    code : int
        0 for success, 2 for an error that the user can fix, 130 after Ctrl-C. Anything
        unexpected is raised, so that the process ends with a traceback and 1. SIGTERM raises
        SystemExit with 143, so that temporary files are removed.
    """
    with warnings.catch_warnings(), _terminated_in_order():
        try:
            return _run(argv)
        except KeyboardInterrupt:
            _print_error("\nlatentgen: interrupted")
            return 130


def _run(argv):
    """Run a command and give its exit code."""
    warnings.showwarning = _show_each_warning_once()
    for stream in (sys.stdout, sys.stderr):
        # A label that a terminal cannot show must not end a search.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    args = _make_parser().parse_args(argv)
    try:
        resolve_name(args.function)(args)
        if sys.stdout is not None:
            sys.stdout.flush()
    except (*_ERRORS_OF_THE_USER, RuntimeError) as error:
        unexpected = isinstance(error, RuntimeError) and not _is_lack_of_memory(error)
        if args.traceback or unexpected:
            raise
        _print_error(f"latentgen {args.command}: error: {_one_line(error)}")
        _forget_output()
        return 2
    return 0


# Of types and values, of numbers and arrays that are too large, of files, of what is not installed.
_ERRORS_OF_THE_USER = (TypeError, ValueError, OverflowError, MemoryError, OSError, ImportError)


def _is_lack_of_memory(error):
    """Whether an error is torch's for an array that is too large, which has no class."""
    return "allocate memory" in str(error) or "out of memory" in str(error)


@contextmanager
def _terminated_in_order():
    """Make SIGTERM end the process as an exception does, which removes temporary files.

    Python prints and forgets an exception in a finalizer or in a callback of a weak reference. If a
    signal strikes there, it is sent once more.
    """

    def end(number, frame):
        _print_error("latentgen: terminated")
        raise SystemExit(128 + number)

    def send_again(unraisable):
        if isinstance(unraisable.exc_value, KeyboardInterrupt | SystemExit):
            interrupted = isinstance(unraisable.exc_value, KeyboardInterrupt)
            number = signal.SIGINT if interrupted else signal.SIGTERM
            threading.Timer(0.02, os.kill, (os.getpid(), number)).start()
        else:
            hook_before(unraisable)

    if threading.current_thread() is not threading.main_thread():
        yield  # Only the main thread may set a handler, or is interrupted by it.
        return
    before, hook_before = signal.signal(signal.SIGTERM, end), sys.unraisablehook
    sys.unraisablehook = send_again
    try:
        yield
    finally:
        sys.unraisablehook = hook_before
        signal.signal(signal.SIGTERM, before)


def _print_error(text):
    if sys.stderr is not None:
        print(text, file=sys.stderr)


def _forget_output():
    """Give up on output that cannot be written, which Python would try again when it ends."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _show_each_warning_once():
    """Make a function that prints a warning, unless it has printed the same text before.

    A search fits and judges many candidates, which mostly have the same thing to say.
    """
    shown = set()

    def show(message, category, filename, lineno, file=None, line=None):
        text = _one_line(message)
        if text not in shown:
            shown.add(text)
            _print_error(f"latentgen: warning: {text}")

    return show


def _one_line(error):
    """A message on one line, without what would steer the terminal."""
    from latentgen.utils._files import printable

    if isinstance(error, OSError) and error.strerror:
        text = f"{error.strerror}: '{error.filename}'" if error.filename else error.strerror
    else:
        text = " ".join(str(error).split()) or type(error).__name__
    return printable(text)


def _make_parser():
    parser = argparse.ArgumentParser(
        prog="latentgen",
        description="Single-pass latent image generation with scikit-learn estimators.",
        epilog="See 'latentgen COMMAND --help' for examples. Start with 'latentgen demo'.",
    )
    parser.add_argument("--version", action="version", version=f"latentgen {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for row in COMMANDS:
        command = commands.add_parser(
            row.name,
            help=row.summary,
            description=f"{row.summary[0].upper()}{row.summary[1:]}.",
            epilog=row.notes,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.set_defaults(function=row.function)
        command.add_argument("--seed", type=int, default=0, help="seed of all random numbers (0)")
        command.add_argument(
            "--traceback", action="store_true", help="show the traceback of errors"
        )
        row.arguments(command)
    return parser


# Arguments of single commands


def _demo_arguments(parser):
    parser.add_argument("--output", default="latentgen-demo", help="folder (latentgen-demo)")
    _add_n_jobs(parser)


def _fit_arguments(parser):
    parser.add_argument("data", metavar="DATA", help="images, see below")
    parser.add_argument("-o", "--output", required=True, metavar="MODEL", help="file to write")
    _add_reading(parser)
    _add_training(parser)
    parser.add_argument("--latent-dim", type=_positive, default=32, help="size of a code (32)")
    parser.add_argument(
        "--strategy", default="epanechnikov", help="of FastHVRTSampler (epanechnikov)"
    )
    parser.add_argument(
        "--min-samples-leaf", type=_positive, help="least images per cell (automatic)"
    )


def _sample_arguments(parser):
    parser.add_argument("model", metavar="MODEL", help="file made by 'latentgen fit'")
    parser.add_argument("-n", "--n-samples", type=_positive, default=100, help="images (100)")
    parser.add_argument("--label", help="class to draw")
    parser.add_argument("--grid", metavar="PICTURE", help="picture of the first 400 images at most")
    parser.add_argument(
        "--output", metavar="PATH", help="all images: a .npy file, or a folder for PNG files"
    )
    _add_trusted(parser)


def _evaluate_arguments(parser):
    parser.add_argument("model", metavar="MODEL", help="file made by 'latentgen fit'")
    parser.add_argument("--data", required=True, help="real images to compare with")
    parser.add_argument("--train-data", metavar="DATA", help="images the model was fitted on")
    parser.add_argument("--train-labels", metavar="FILE", help=".npy file of their labels")
    parser.add_argument("-n", "--n-samples", type=_positive, help="images to draw (as in --data)")
    parser.add_argument(
        "--html", metavar="FILE", help="write a page with pictures and a verdict of every number"
    )
    parser.add_argument("--json", metavar="FILE", help="write the numbers")
    _add_reading(parser)
    _add_trusted(parser)


def _sweep_arguments(parser):
    parser.add_argument("data", metavar="DATA", help="images, see below")
    parser.add_argument(
        "--param",
        action="append",
        required=True,
        metavar="NAME=V1,V2",
        help="parameter and its values; may be repeated",
    )
    parser.add_argument("-o", "--output", default="latentgen-sweep", help="folder to write to")
    parser.add_argument("--cv", type=_positive, default=3, help="number of folds (3)")
    _add_n_jobs(parser)
    _add_reading(parser)
    _add_training(parser)


def _benchmark_arguments(parser):
    parser.add_argument("experiment", choices=EXPERIMENTS, metavar="EXPERIMENT", help="see below")
    parser.add_argument("name", nargs="?", metavar="NAME", help="of a sweep, see below")
    names = [dataset.name for dataset in DATASETS]
    parser.add_argument("--data", choices=names, help="images (mnist; digits with --quick)")
    parser.add_argument("--data-home", metavar="FOLDER", help="folder of the files of the images")
    parser.add_argument("--results", default="results", metavar="FOLDER", help="rows (results)")
    parser.add_argument(
        "--cache", metavar="FOLDER", help="fitted models, kept and loaded (models in --results)"
    )
    parser.add_argument(
        "--quick", action="store_true", help="sizes of a minute or two, one seed and one draw"
    )
    parser.add_argument(
        "--classifier-only",
        action="store_true",
        help="do not judge in ImageNetFeatures too (neither does --quick)",
    )
    parser.add_argument(
        "--settings", nargs="+", metavar="TEXT", help="only rows with one of these in their setting"
    )
    group = parser.add_argument_group("sizes")
    group.add_argument("--images", type=_positive, help="images to fit (all but those apart)")
    group.add_argument("--epochs", type=_positive, help="of autoencoders (those of the setting)")
    group.add_argument("--samples", type=_positive, help="images per row (as many as test images)")
    group.add_argument(
        "--classifier-epochs", type=_positive, help="of classifiers, judging and judged (8)"
    )
    group.add_argument(
        "--seeds", type=int, nargs="+", metavar="SEED", help="of models (three, from --seed on)"
    )
    group.add_argument("--draws", type=_positive, help="draws of each fitted sampler (3)")
    group.add_argument("--device", default="auto", help="cpu, cuda, mps or auto (auto)")


# Arguments that commands share


def _add_reading(parser):
    group = parser.add_argument_group("reading images")
    group.add_argument("--labels", metavar="FILE", help=".npy file of labels, one per image")
    group.add_argument("--unconditional", action="store_true", help="do not use labels")
    group.add_argument(
        "--image-size",
        type=_positive,
        nargs=2,
        metavar=("H", "W"),
        help="resize the images of a folder; sides of flat images",
    )
    group.add_argument("--gray", action="store_true", help="read a folder with one channel")


def _add_training(parser):
    group = parser.add_argument_group("training the autoencoder")
    group.add_argument("--epochs", type=_positive, default=20, help="passes over the images (20)")
    group.add_argument(
        "--batch-size", type=_positive, help="images per step (128, or fewer for small data)"
    )
    group.add_argument("--device", default="auto", help="cpu, cuda, mps or auto (auto)")


def _add_n_jobs(parser):
    parser.add_argument("--n-jobs", type=int, help="folds at the same time (1)")


def _add_trusted(parser):
    parser.add_argument(
        "--trust",
        nargs="+",
        metavar="TYPE",
        help="types of your own that the model file may hold; see latentgen.load_model",
    )


def _positive(text):
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number above 0, got '{text}'")
    return value


COMMANDS = [
    Command(
        "demo",
        "search, judge, draw and save a generator of digits in about two minutes",
        _demo_arguments,
        "latentgen.cli._demo:demo",
        """\
The images come with scikit-learn, nothing is downloaded. It writes samples.png (generated beside
real digits), sweep.png, report.json, report.html and model.latentgen.

examples:
  latentgen demo
  latentgen demo --output my-demo --n-jobs 2
""",
    ),
    Command(
        "fit",
        "fit a generator to images and save it",
        _fit_arguments,
        "latentgen.cli._commands:fit",
        f"""\
{_DATA_HELP}
With labels the generator draws by class.

examples:
  latentgen fit digits:train -o digits.latentgen --epochs 40
  latentgen fit photos/ -o photos.latentgen --image-size 64 64 --latent-dim 128
  latentgen fit X.npy --labels y.npy -o model.latentgen --strategy local_gaussian
""",
    ),
    Command(
        "sample",
        "draw images from a saved model",
        _sample_arguments,
        "latentgen.cli._commands:sample",
        """\
At least one of --grid and --output is needed. The same seed gives the same images.

examples:
  latentgen sample model.latentgen -n 100 --label 3 --grid threes.png
  latentgen sample model.latentgen -n 100000 --output images.npy
  latentgen sample model.latentgen -n 50 --label cats --output cats/
""",
    ),
    Command(
        "evaluate",
        "measure a saved model against real images",
        _evaluate_arguments,
        "latentgen.cli._commands:evaluate",
        f"""\
{_DATA_HELP}
--data are real images that the model was not fitted on. If they have labels, distances are measured
in features of a classifier trained on a third of them, and with the others, else in features of a
public network, if latentgen[features] is installed, else on pixels. With --train-data, those it was
fitted on, copying is measured too, and every number gets a floor: what real images reach.

examples:
  latentgen evaluate digits.latentgen --data digits:test --train-data digits:train
  latentgen evaluate photos.latentgen --data holdout/ --image-size 64 64 --html report.html
""",
    ),
    Command(
        "sweep",
        "search parameters by cross-validation and save the best model",
        _sweep_arguments,
        "latentgen.cli._commands:sweep",
        f"""\
{_DATA_HELP}
A parameter is given by its name or, where that is unique, by the end of it: latent_dim is
autoencoder__latent_dim. Of images with labels, a fifth is set apart for the features in which the
others are judged. It writes results.csv, sweep.png and model.latentgen: the candidate of the lowest
FID that does not copy its training images. If there is none, it writes no model and ends with 2.
Small images train faster with one thread: set OMP_NUM_THREADS=1.

examples:
  latentgen sweep digits --param latent_dim=8,16 --param strategy=epanechnikov,local_gaussian
  latentgen sweep photos/ --image-size 32 32 --param min_samples_leaf=5,20,None --cv 2 --n-jobs 2
""",
    ),
    Command(
        "benchmark",
        "run a published experiment, or a part of it, at a chosen size",
        _benchmark_arguments,
        "latentgen.cli._benchmark:benchmark",
        f"""\
EXPERIMENT is one of
{"".join(f"  {name:12} {meaning}{chr(10)}" for name, meaning in EXPERIMENTS.items())}\
Rows go to EXPERIMENT.csv and EXPERIMENT.json in the folder --results. One that is there is not
made again, so a run that was stopped goes on when it is started again. Images are in four disjoint
parts; MNIST is downloaded unless it is there, and --quick takes the digits that come with
scikit-learn. Small networks train faster with one thread: set OMP_NUM_THREADS=1.

examples:
  latentgen benchmark generation --quick
  latentgen benchmark sweep strategy --images 20000 --seeds 0 --draws 1
  latentgen benchmark generation --images 60000 --seeds 0 --settings "leaf 5" "N(0, I)"
""",
    ),
]
