"""Programs that take their arguments from the signature of a function."""

import argparse
import functools
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn, get_args, get_origin

from seq2seq import checks
from seq2seq.errors import for_terminal, printable
from seq2seq.files import place
from seq2seq.schema import ConfigError, explain, nearest
from seq2seq.schema.signatures import type_name


def command(main: Callable[..., int | None], arguments: Sequence[str], called: str) -> int:
    """A program's exit code: 2 and one line for an error, 130 for Ctrl-C, 0 for a closed pipe.

    With HYDRA_FULL_ERROR in the environment errors have their traceback.

    Args:
        main: from the module of the program. One with the parameters `arguments` and
            `called` reads them itself.
        arguments: of the command line.
        called: what a user calls the program.
    """
    full_errors = "HYDRA_FULL_ERROR" in os.environ
    reads = [*inspect.signature(main).parameters] == ["arguments", "called"]
    try:
        try:
            return (main(arguments, called) if reads else call(main, arguments, called)) or 0
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # the reader, as `head` does, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        stopped = getattr(sys.modules[main.__module__], "STOPPED", "stopped")
        print(f"\n{stopped}", file=sys.stderr)
        return 130
    except Exception as error:
        if full_errors:
            raise
        line = f"{called}: {printable(explain(error, sys.argv[1:]))}"
        print(for_terminal(line), file=sys.stderr)
        return 2


def call(main: Callable[..., Any], arguments: Sequence[str], called: str | None = None) -> Any:
    """Call `main` with what is written for its parameters, in the types that they have.

    Its parameters are options, `key=value` or `--key value`, but for those that callers cannot
    name, `(folder, /, *others)`, which stand for themselves. `--help` shows the docstrings.

    Raises:
        ConfigError: an unknown key, a missing or a wrong value.
    """
    known = inspect.signature(main, eval_str=True).parameters
    unnamed = [n for n, p in known.items() if p.kind in (p.POSITIONAL_ONLY, p.VAR_POSITIONAL)]
    options = {name: p.annotation for name, p in known.items() if name not in unnamed}
    rest = [name for name in unnamed if known[name].kind is inspect.Parameter.VAR_POSITIONAL]
    kinds = {known[name].annotation for name in rest}
    words = [*_words(arguments, options, kinds)]
    given, left = _parser(main, called, known, unnamed).parse_known_intermixed_args(words)
    if left:
        needs = left[0] in options
        reason = f"; write {left[0]}=<value>" if needs else nearest(left[0], options)
        raise ConfigError(f"{left[0]} {'has no value' if needs else 'is not known'}{reason}")
    values = {name: value for name, value in vars(given).items() if value is not None}
    for name, parameter in known.items():
        if parameter.default is parameter.empty and name not in values:
            raise ConfigError(f"no {name} given; add {f'{name}=' * (name in options)}<{name}>")
    first = [values.pop(name) for name in unnamed if name in values and name not in rest]
    further = values.pop(rest[0], ()) if rest else ()
    return main(*first, *further, **values)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(message.removeprefix("argument --").replace(": ", " ", 1))


def _parser(
    main: Callable[..., Any], called: str | None, known: Any, unnamed: Sequence[str]
) -> _Parser:
    rules = inspect.getdoc(main) or ""
    page = sys.modules[main.__module__].__doc__ if main.__name__ == "main" else rules
    parser = _Parser(
        prog=called,
        description=(page or "").partition("\n\nArgs:")[0],
        epilog="An option may be written key=value, too.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    for name, parameter in known.items():
        said = re.search(rf"^ *{name}: (.+)$", rules, re.MULTILINE)
        settings: dict[str, Any] = {"help": said[1].replace("%", "%%") if said else ""}
        if parameter.annotation is bool:
            settings["action"] = "store_true"
        else:
            kind = next(iter(get_args(parameter.annotation)), parameter.annotation)
            settings["type"] = functools.partial(_read, kind)
            if parameter.default and parameter.default is not parameter.empty:
                settings["help"] += f" (default: {parameter.default})"
        if name in unnamed:
            settings["nargs"] = "*" if parameter.kind is parameter.VAR_POSITIONAL else "?"
        elif get_origin(parameter.annotation) is Sequence:
            settings |= {"nargs": "+", "action": "extend"}
        parser.add_argument(name if name in unnamed else _dashed(name), **settings)
    return parser


def _exists(word: str) -> bool:
    return os.path.exists(place(word))


def _dashed(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _read(kind: type, text: str) -> Any:
    try:
        return place(text) if kind is Path else kind(text)
    except ValueError:
        message = f"must be {type_name(kind)}, got {text}"
        raise argparse.ArgumentTypeError(message) from None


def _words(arguments: Sequence[str], options: dict[str, Any], rest: set[type]) -> Iterator[str]:
    """The arguments, `key=value` as argparse wants it.

    Args:
        rest: the type of the arguments that stand for themselves; empty where there are none.
    """
    given: set[str] = set()
    for word in arguments:
        key, equals, text = word.removeprefix("--").partition("=")
        key, dashed = key.replace("-", "_"), word.startswith("--")
        if key in options and (equals or dashed) and get_origin(options[key]) is not Sequence:
            if key in given:
                raise ConfigError(f"{key} is given more than once; keep one of them")
            given.add(key)
        if key not in options or not (equals or dashed):
            is_key = equals and key.isidentifier()  # unless it is the name of a folder
            foreign = dashed or (is_key and (not rest or (rest == {Path} and not _exists(word))))
            if foreign and word != "--help":
                raise ConfigError(f"unknown key {key}{nearest(key, options)}")
            yield word
        elif equals and options[key] is bool:
            checks.one_of(key, text, ("true", "false"))
            yield from [_dashed(key)] * (text == "true")
        elif equals and get_origin(options[key]) is Sequence:
            yield from [_dashed(key), *re.findall(r"[^\[\],\s]+", text)]
        else:
            yield _dashed(key) + equals + text
