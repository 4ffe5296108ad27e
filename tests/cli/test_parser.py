"""The parser, its tables of commands and data sets, and exit codes."""

# SPDX-License-Identifier: BSD-3-Clause

import inspect
import os
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest

import latentgen
from latentgen import datasets
from latentgen.cli import _benchmark, _commands, _demo, main
from latentgen.cli._datasets import DATASETS, Dataset
from latentgen.cli._parser import COMMANDS, Command

NAMES = [command.name for command in COMMANDS]


@pytest.mark.parametrize("command", NAMES)
def test_help_gives_examples(command, capsys):
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    assert f"examples:\n  latentgen {command}" in capsys.readouterr().out


def test_help_lists_the_commands(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    assert all(f"\n    {command}" in text for command in NAMES)


def test_version_is_printed(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"latentgen {latentgen.__version__}\n"


@pytest.mark.parametrize("arguments", [["--help"], ["sweep", "--help"], ["--version"]])
def test_help_loads_neither_torch_nor_numpy(arguments):
    code = (
        "import atexit, sys\n"
        "heavy = {'torch', 'numpy', 'sklearn'}\n"
        "atexit.register(lambda: print(heavy & {*sys.modules}, file=sys.stderr))\n"
        f"from latentgen.cli import main; main({arguments})"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout and run.stderr == "set()\n"


def test_module_ends_with_the_exit_code():
    run = subprocess.run(
        [sys.executable, "-m", "latentgen", "draw"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 2
    assert "invalid choice: 'draw'" in run.stderr


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "required: COMMAND"),
        (["fit", "digits"], "required: -o/--output"),
        (["sample", "m", "-n", "0"], "expected a whole number above 0, got '0'"),
        (["sample", "m", "-n", "many"], "expected a whole number above 0, got 'many'"),
        (["sweep", "digits"], "required: --param"),
    ],
)
def test_wrong_usage_ends_with_2(arguments, message, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_traceback_is_shown_on_request():
    with pytest.raises(ValueError, match="there is no 'nowhere'"):
        main(["fit", "nowhere", "-o", "m", "--traceback"])


def test_unexpected_error_is_raised(monkeypatch):
    def fail(*args, **kwargs):
        raise AttributeError("a mistake in the program")

    monkeypatch.setattr("latentgen.cli._demo.run_demo", fail)
    with pytest.raises(AttributeError, match="a mistake in the program"):
        main(["demo"])


def test_interrupt_ends_with_130(monkeypatch, capsys):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("latentgen.cli._demo.run_demo", interrupt)
    assert main(["demo"]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_terminal_is_not_steered_by_what_a_file_says(monkeypatch, capsys):
    def fail(*args, **kwargs):
        warnings.warn("\x1b[2Jwarned", stacklevel=1)
        raise ValueError("\x1b]0;title\x07 failed")

    monkeypatch.setattr("latentgen.cli._demo.run_demo", fail)
    assert main(["demo"]) == 2
    error = capsys.readouterr().err
    assert "\x1b" not in error and r"\x1b[2Jwarned" in error and r"\x1b]0;title" in error


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such shell")
@pytest.mark.parametrize(
    "redirect, code, error",
    [
        (">&-", 0, ""),
        (">&- 2>&-", 0, ""),
        ("> /dev/full", 2, "error: No space left on device\n"),
        ("| true", 2, "error: Broken pipe\n"),
    ],
)
def test_output_that_cannot_be_written_is_one_line(redirect, code, error):
    program = (
        "import sys, time\n"
        "from latentgen.cli import main, _parser\n"
        "def command(args):\n"
        "    time.sleep(0.3)\n"
        "    print('\\u00e4')\n"
        "row = _parser.Command('say', 'say it', lambda parser: None, '__main__:command', '')\n"
        "_parser.COMMANDS.append(row)\n"
        "sys.exit(main(['say']))"
    )
    shell = f'set -o pipefail; PYTHONIOENCODING=ascii "{sys.executable}" -c "$PROGRAM" {redirect}'
    run = subprocess.run(
        ["bash", "-c", shell],
        env={**os.environ, "PROGRAM": program},
        capture_output=True,
        text=True,
    )
    assert run.returncode == code
    assert run.stderr == (f"latentgen say: {error}" if error else "")


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_that_python_would_forget_is_not_lost(monkeypatch, number, code):
    class Struck:
        def __del__(self):
            signal.raise_signal(number)

    def command(args):
        Struck()
        time.sleep(5)

    monkeypatch.setattr("latentgen.cli._parser.resolve_name", lambda name: command)
    with pytest.raises(SystemExit) as ended:
        sys.exit(main(["demo"]))
    assert ended.value.code == code


def test_interrupt_while_arguments_are_read_ends_with_130(monkeypatch, capsys):
    monkeypatch.setattr("latentgen.cli._parser._make_parser", lambda: signal.raise_signal(2))
    assert main(["demo"]) == 130
    assert capsys.readouterr().err == "\nlatentgen: interrupted\n"


def test_demo_passes_its_options_on(monkeypatch):
    calls = []
    monkeypatch.setattr(
        "latentgen.cli._demo.run_demo", lambda output, **options: calls.append((output, options))
    )
    assert main(["demo", "--output", "here", "--seed", "5", "--n-jobs", "2"]) == 0
    assert calls == [("here", {"seed": 5, "n_jobs": 2})]


# The tables


def test_every_command_has_a_row():
    functions = {
        f"{module.__name__}:{name}"
        for module in (_benchmark, _commands, _demo)
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__
        and list(inspect.signature(function).parameters) == ["args"]
        and not name.startswith("_")
    }
    assert sorted(command.function for command in COMMANDS) == sorted(functions)


def test_a_row_makes_a_command(monkeypatch, capsys):
    def add_arguments(parser):
        parser.add_argument("word")

    row = Command("echo", "print a word", add_arguments, f"{__name__}:echo", "examples:\n  none")
    monkeypatch.setattr("latentgen.cli._parser.COMMANDS", [*COMMANDS, row])
    assert main(["echo", "hello", "--seed", "3"]) == 0
    assert capsys.readouterr().out == "hello 3\n"


def echo(args):
    print(args.word, args.seed)


def test_every_data_set_has_a_row():
    loaders = {
        f"latentgen.datasets:{name}"
        for name in datasets.__all__
        for parameters in [inspect.signature(getattr(datasets, name)).parameters]
        if "return_X_y" in parameters and all(p.default is not p.empty for p in parameters.values())
    }
    assert sorted(dataset.loader for dataset in DATASETS) == sorted(loaders)


@pytest.mark.parametrize("dataset", DATASETS, ids=lambda dataset: dataset.name)
def test_parts_of_a_data_set_are_those_of_its_loader(dataset):
    module, _, name = dataset.loader.partition(":")
    subset = inspect.signature(getattr(sys.modules[module], name)).parameters.get("subset")
    assert (subset is None) == (dataset.parts == ())
    assert subset is None or subset.default == dataset.parts[0]


def test_a_row_makes_a_data_set(monkeypatch, tmp_path):
    asked = []

    def fetch(*, subset="left", return_X_y=False):
        asked.append(subset)
        return np.random.RandomState(0).rand(40, 1, 8, 8), np.arange(40) % 2

    monkeypatch.setattr(datasets, "fetch_noise", fetch, raising=False)
    row = Dataset("noise", "latentgen.datasets:fetch_noise", ("left", "right"))
    monkeypatch.setattr("latentgen.cli._reading.DATASETS", [*DATASETS, row])
    for name in ("noise", "noise:right"):
        assert main(["fit", name, "-o", str(tmp_path / "m.latentgen"), "--epochs", "1"]) == 0
    assert asked == ["left", "right"]
