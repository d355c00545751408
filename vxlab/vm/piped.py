"""In a guest: runs a program whose output is no terminal, and hands it on to one, the port.

piped.py WORD...

It ends when the program does, with its exit code, as a shell has it; what the program has left
running may hold the pipe open.
"""

import os
import select
import sys


def main(words: list[str]) -> int:
    """Run the program ``words``; its exit code, 128 + N where the signal N has ended it."""
    read, write = os.pipe()
    program = os.fork()
    if program == 0:
        for number in (1, 2):
            os.dup2(write, number)
        os.close(read)
        os.close(write)
        os.execvp(words[0], words)
    os.close(write)
    ended = os.pidfd_open(program)
    while read in select.select([read, ended], [], [])[0]:
        data = os.read(read, 1 << 16)
        if not data:  # it has closed its output
            break
        while data:
            data = data[os.write(1, data) :]
    _, status = os.waitpid(program, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
