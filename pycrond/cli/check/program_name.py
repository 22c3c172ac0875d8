"""The program that a shell command starts first, where that is plain to see."""

import re

_ASSIGNED = re.compile(r"""(?P<name>[A-Za-z_]\w*)=(?:[^\s'"\\$`;|&<>()]|'[^']*'|"[^"$`\\]*")*[ \t]+""")
_PLAIN = re.compile(
    r"""(?P<word>[\w./+@:,%^-]+|'[\w./+@:,%^ -]+'|"[\w./+@:,%^ -]+")(?=[ \t\n;|&<>]|\Z)(?![ \t]*\()"""
)
SHELLS = frozenset({"sh", "bash", "dash", "ash", "ksh", "mksh", "zsh"})
"""Shells whose words are read alike."""

_BUILTIN = frozenset(
    """
    ! . : [ [[ alias autoload bg bind break builtin caller case cd chdir command compgen complete
    compopt continue coproc declare dirs disown do done echo elif else emulate enable esac eval
    exec exit export false fc fg fi for function functions getopts hash help history if integer in
    jobs kill let local logout mapfile noglob popd print printf pushd pwd read readarray readonly
    repeat return select set setopt shift shopt source suspend test then time times trap true type
    typeset ulimit umask unalias unset unsetopt until wait whence where which while whoami zmodload
    """.split()  # noqa: SIM905 -- easier to read than a list
)


def program(command: str) -> str | None:
    """The first word of a command that is to be found in PATH, or is a path from the root.
    None for what the shell itself does, for anything unclear, and where ``||`` says what else to do.
    """
    if "||" in command:
        return None
    start = len(command) - len(command.lstrip(" \t"))
    while found := _ASSIGNED.match(command, start):
        if found["name"] == "PATH":
            return None
        start = found.end()
    found = _PLAIN.match(command, start)
    if not found:
        return None
    word = found["word"].strip("'\"")
    relative = "/" in word and not word.startswith("/")
    return None if relative or word in _BUILTIN or re.fullmatch("[0-9]+", word) else word
