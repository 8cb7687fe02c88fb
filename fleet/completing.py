"""The shells' side of completion: click's own for zsh and fish, and for bash one that knows that it cuts words at `=` and `:`.

bash would otherwise hand over `kelurahan`, `=` and `Low` for `--to kelurahan=Low`, and put an unquoted name with blanks into the line.
"""

from __future__ import annotations

import os
import re
import shlex
from typing import ClassVar

import click
from click.shell_completion import BashComplete, CompletionItem, add_completion_class, get_completion_class

PROGRAM, VARIABLE = "rwctl", "_RWCTL_COMPLETE"
SHELLS = ("bash", "zsh", "fish")
BREAKS = "=:<>"  # of COMP_WORDBREAKS, those that may stand in a word of ours
SPECIAL = re.compile(r"""([\s"'\\$`!&|;()<>*?\[\]{}#~])""")

BASH = """\
%(complete_func)s() {
    local IFS=$'\\n' line type value
    COMPREPLY=()
    for line in $(env COMP_LINE="${COMP_LINE:0:COMP_POINT}" %(complete_var)s=bash_complete "$1" 2>/dev/null); do
        type=${line%%%%,*} value=${line#*,}
        case $type in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            *) COMPREPLY+=("$value"); case $value in *=) compopt -o nospace ;; esac ;;
        esac
    done
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""


class Bash(BashComplete):
    """Reads the line itself, and answers with what readline replaces: the part behind the last `=` or `:`."""

    source_template: ClassVar[str] = BASH

    def get_completion_args(self) -> tuple[list[str], str]:
        """Give the whole words before the one that is begun, and that one."""
        words, begun, _ = split(os.environ.get("COMP_LINE", ""))
        return words[1:], begun

    def format_completion(self, item: CompletionItem) -> str:
        """Give one offer as it is to stand in the line."""
        _, begun, quote = split(os.environ.get("COMP_LINE", ""))
        value = item.value
        if not quote:
            value = SPECIAL.sub(r"\\\1", value[max(begun.rfind(mark) for mark in BREAKS) + 1 :])
        elif quote == "'":
            value = value.replace("'", '"')  # of --where, which takes both
        return f"{item.type},{value}"


def split(line: str) -> tuple[list[str], str, str]:
    """Split a line that ends at the cursor: the whole words, the one that is begun, and the quote it stands in ("": none)."""
    reader = shlex.shlex(line, posix=True)
    reader.whitespace_split, reader.commenters = True, ""
    words: list[str] = []
    quote = ""
    try:
        words.extend(reader)
    except ValueError:
        words.append(reader.token)
        quote = str(getattr(reader, "state", None) or "").strip("\\")  # as the reader's documentation of its errors says; typeshed has it not
    is_begun = bool(quote) or not line[-1:].isspace() or (bool(words) and words[-1].endswith(line[-1]))
    return (words[:-1], words[-1], quote) if is_begun and words else (words, "", "")


def prepare() -> None:
    """Have click complete for bash as above."""
    add_completion_class(Bash, "bash")


def script(command: click.Command, shell: str) -> str:
    """Give the text that a shell must read to complete rwctl."""
    prepare()
    chosen = get_completion_class(shell)
    if chosen is None:
        raise click.UsageError(f"no completion for {shell!r}, expected one of {', '.join(SHELLS)}")
    made = chosen(command, {}, PROGRAM, VARIABLE)
    return made.source_template % made.source_vars()
