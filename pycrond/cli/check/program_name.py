"""The name of the program that a shell command starts first, if it can be read without running a shell."""

import re

_ASSIGNED = re.compile(r"""(?P<name>[A-Za-z_]\w*)=(?:[^\s'"\\$`;|&<>()]|'[^']*'|"[^"$`\\]*")*[ \t]+""")
_PLAIN = re.compile(
    r"""(?P<word>[\w./+@:,%^-]+|'[\w./+@:,%^ -]+'|"[\w./+@:,%^ -]+")(?=[ \t\n;|&<>]|\Z)(?![ \t]*\()"""
)
SHELLS = frozenset({"sh", "bash", "dash", "ash", "ksh", "mksh", "zsh"})
"""Shells that split a command into the same words."""

BUILTINS = frozenset(
    """
    ! . : [ [[ alias autoload bg bind break builtin caller case cd chdir command compgen complete
    compopt continue coproc declare dirs disown do done echo elif else emulate enable esac eval
    exec exit export false fc fg fi for function functions getopts hash help history if integer in
    jobs kill let local logout mapfile noglob popd print printf pushd pwd read readarray readonly
    repeat return select set setopt shift shopt source suspend test then time times trap true type
    typeset ulimit umask unalias unset unsetopt until wait whence where which while whoami zmodload
    """.split()  # noqa: SIM905 -- easier to read than a list
)


def program_name(command: str) -> str | None:
    """Return the first word of a command if the word is a program in PATH or an absolute path.

    None for a builtin of the shell, for a word that needs expansion, and if ``||`` provides an alternative.
    """
    if "||" in command:
        return None
    start = len(command) - len(command.lstrip(" \t"))
    while assigned := _ASSIGNED.match(command, start):
        if assigned["name"] == "PATH":
            return None
        start = assigned.end()
    plain = _PLAIN.match(command, start)
    if not plain:
        return None
    word = plain["word"].strip("'\"")
    is_relative = "/" in word and not word.startswith("/")
    return None if is_relative or word in BUILTINS or re.fullmatch("[0-9]+", word) else word
