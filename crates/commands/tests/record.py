#!/usr/bin/env python3
"""Runs the cases of a recorded file with the postconf on PATH, meant to be Debian's, and writes down anew what it does.

usage: record.py data/postconf.txt    (after adding a case: its `$` lines and files are enough)
"""
import os
import re
import subprocess
import sys
import tempfile

FILES = ("main.cf", "master.cf")


def parse(text):
    for block in re.split(r"^=== ", text, flags=re.M)[1:]:
        title, _, rest = block.partition("\n")
        parts = re.split(r"^--- (.*)\n", rest, flags=re.M)
        args = [line[2:] for line in parts[0].splitlines() if line.startswith("$ ")]
        yield title, args, dict(zip(parts[1::2], parts[2::2]))


def run(args, parts):
    with tempfile.TemporaryDirectory() as folder:
        for name in FILES:
            path = os.path.join(folder, name)
            with open(path, "w") as file:
                file.write(parts.get(name, ""))
            os.utime(path, (1_000_000_000, 1_000_000_000))
        done = subprocess.run(["postconf", "-c", folder, *args], capture_output=True, text=True)
        result = {"status": f"{done.returncode}\n"}
        result["stdout"] = done.stdout.replace(folder, "DIR")
        result["stderr"] = done.stderr.replace(folder, "DIR")
        for name in FILES:
            with open(os.path.join(folder, name)) as file:
                after = file.read()
            if after != parts.get(name, ""):
                result[f"{name} after"] = after
        return result


def main(path):
    with open(path) as file:
        text = file.read()
    out = text[: text.index("=== ")]
    for title, args, parts in parse(text):
        inputs = {name: parts[name] for name in FILES if name in parts}
        out += f"=== {title}\n" + "".join(f"$ {arg}\n" for arg in args)
        for name, content in {**inputs, **run(args, parts)}.items():
            if content or name in FILES:
                out += f"--- {name}\n{content}"
                if not content.endswith("\n"):
                    sys.exit(f"{title}: {name} must end with a newline")
    with open(path, "w") as file:
        file.write(out)


main(sys.argv[1])
