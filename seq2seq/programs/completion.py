"""What TAB offers: after `eval "$(seq2seq -sc install=bash)"`, or train.py in place of seq2seq."""

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

from seq2seq.errors import ConfigError
from seq2seq.programs import LAUNCHERS, PROGRAMS
from seq2seq.schema import Catalogue, Key, shown, signature

#: For zsh, `autoload -U +X bashcompinit && bashcompinit` comes first.
BASH = """\
_seq2seq() {
    local program=${COMP_WORDS[0]}
    case $COMP_LINE in
        *python*' -m seq2seq '*) program="$program -m seq2seq" ;;
        *python*' '*train.py' '*) program="$program ${COMP_WORDS[1]}" ;;
        *python*) return ;;
    esac
    local words=$(COMP_LINE="${COMP_LINE:0:COMP_POINT}" $program -sc query=bash 2> /dev/null)
    COMPREPLY=($(compgen -W "$words" -- "${COMP_WORDS[COMP_CWORD]}"))
}
COMP_WORDBREAKS=${COMP_WORDBREAKS//=}
complete -o nospace -o default -F _seq2seq seq2seq train.py python python3
"""
FISH = """\
complete -c seq2seq -f -a '(COMP_LINE=(commandline -cp) seq2seq -sc query=fish | string split " ")'
"""
FLAGS = ("--help", "--version", "--multirun", "--json", "--cfg", "--config-dir", "--hydra-help")


def complete(arguments: Sequence[str]) -> int:
    """Print the words that the line in COMP_LINE may go on with, or the rules of a shell."""
    wanted = next((word for word in arguments if "=" in word), "")
    if wanted.startswith("query="):
        print(" ".join(offers(os.environ.get("COMP_LINE", ""))))
    elif wanted in ("install=bash", "install=zsh", "install=fish"):
        print(FISH if wanted.endswith("fish") else BASH, end="")
    elif wanted.startswith("uninstall="):
        print("complete -r seq2seq train.py python python3")
    else:
        raise SystemExit("seq2seq: write -sc install=bash (zsh, fish)")
    return 0


def offers(line: str) -> list[str]:
    """The words that the last one of a line may become, in the order of the alphabet."""
    *before, word = re.split(r"\s+", line.lstrip())
    while before and (before[0].startswith("python") or before[0] == "-m"):
        before = before[1:]
    script, *before = before or [""]
    name = os.path.basename(script)
    program = name.removesuffix(".py") if name.endswith(".py") else ""
    if not program:
        if not before:
            return [one for one in PROGRAMS if one.startswith(word)]
        program, *before = before
    if program == "train":
        found = [*_overrides(before, word)]
    else:
        found = [f"{p.name}=" for p in signature(f"seq2seq.programs.{program}.main")]
    return sorted({one for one in found if one.startswith(word)})


def _overrides(before: Sequence[str], word: str) -> Iterator[str]:
    """Flags, groups, choices, keys, and values of which there are few."""
    if word.startswith("-"):
        yield from FLAGS
        return
    catalogue = None
    for words in (before, ()):  # without what is mistyped
        with contextlib.suppress(ConfigError, OSError, SyntaxError, ValueError):
            catalogue = catalogue or Catalogue(words)
    if catalogue is None:
        return
    mark, word = re.match(r"([+~]*)(.*)", word).groups()  # type: ignore[union-attr]
    key, equals, text = word.partition("=")
    top, dot, _ = key.partition(".")
    keys = {one.name: one for one in _keys(catalogue, top)} if dot else {}
    if equals:
        several = text[: text.rfind(",") + 1]
        known = {**catalogue.choices, "hydra/launcher": LAUNCHERS}.get(key)
        if not known:
            known = _values(keys[key].choices, keys[key].value) if key in keys else ()
            known = known or _values((), catalogue.config.get(key))
        yield from (f"{mark}{key}={several}{value}" for value in known)
        return
    for group in {*catalogue.choices, "hydra/launcher"}:
        if group.startswith(key) and "/" not in group[len(key) :].lstrip("/"):
            yield f"{mark}{group}="
    nodes = {name: isinstance(node, dict) for name, node in catalogue.config.items()}
    for name in keys or nodes:
        if name.startswith(key):
            deeper = name.find(".", len(key))
            yield mark + (
                name[: deeper + 1] if deeper >= 0 else name + "=."[nodes.get(name, False)]
            )


def _keys(catalogue: Catalogue, top: str) -> list[Key]:
    with contextlib.suppress(ConfigError, OSError, SyntaxError, ValueError):
        return [*catalogue.keys(top)]
    return []


def _values(choices: Sequence[Any], value: Any) -> Sequence[str]:
    return [*map(shown, choices)] or (["true", "false"] if isinstance(value, bool) else [])
