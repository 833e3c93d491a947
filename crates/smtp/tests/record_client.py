#!/usr/bin/env python3
"""record_client.py FILE: have Postfix deliver to peers that misbehave, and write down in the file what it said and logged.

R:, L: and C: lines are written anew, everything else stays. The format is described in tests/it/client.rs, which reads the
same file. WORLD names the `world` program (default: the one of this checkout's tests/world).
"""
import os, re, shlex, socket, subprocess, sys, threading, time
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
sys.dont_write_bytecode = True
from record import unescape

BASE = """
compatibility_level = 3.6
myhostname = mail.example.com
mydestination = example.com
inet_interfaces = 192.0.2.1
relayhost = [192.0.2.20]:2525
smtp_tls_security_level =
notify_classes =
"""
LOG = "/var/log/mail.log"


class RawPeer(threading.Thread):
    """Says its first line, then one for each command that comes; in content, for its end."""

    def __init__(self, script):
        super().__init__(daemon=True)
        self.script, self.commands = script, []
        self.server = socket.socket()
        self.server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.server.bind(("192.0.2.20", 2525))
        self.server.listen(5)

    def run(self):
        while True:
            try:
                peer, _ = self.server.accept()
            except OSError:
                return
            try:
                self.talk(peer)
            except (ConnectionError, EOFError):
                pass
            peer.close()

    def talk(self, peer):
        wire, in_content = peer.makefile("rb"), False
        for at, reply in enumerate(self.script):
            if at:
                line = self.line(wire)
                while in_content and line != b".":
                    line = self.line(wire)
                if in_content:
                    self.commands.append("[message]")
                else:
                    self.commands.append(line.decode("utf-8", "backslashreplace"))
                in_content = False
            if reply == b"DROP":
                return
            while reply == b"HANG":
                self.line(wire)
            peer.sendall(reply)
            in_content = reply.startswith(b"354")
        self.commands.append(self.line(wire).decode("utf-8", "backslashreplace"))

    def line(self, wire):
        line = wire.readline()
        if not line.endswith(b"\n"):
            raise EOFError
        return line.rstrip(b"\r\n")


def play(section):
    name = section[0]
    values = lambda key: [line[len(key) + 2:] for line in section if line.startswith(key + ": ")]
    with open("/etc/postfix/main.cf", "w") as f:
        names = {setting.split(" =")[0] for setting in values("config")}
        base = [setting for setting in BASE.strip().split("\n") if setting.split(" =")[0] not in names]
        f.write("\n".join(base + values("config")) + "\n")
    subprocess.run(["touch", "-d", "1 minute ago", "/etc/postfix/main.cf"], check=True)
    subprocess.run("rm -rf /run/s; postsuper -d ALL; postfix stop; postfix start", shell=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    raw, sink = [unescape(line)[0] for line in values("raw")], None
    if raw:
        peer = RawPeer(raw)
        peer.start()
    else:
        args = [word for line in values("sink") for word in shlex.split(line)]
        sink = subprocess.Popen(["sink", "--listen", "192.0.2.20:2525", "--dir", "/run/s", *args])
        subprocess.run(["await", "port", "192.0.2.20:2525"], check=True)
    mark = os.path.getsize(LOG)
    message = "Subject: t\n\n" + "".join(unescape(line)[0].decode() for line in values("body"))
    send = (values("send") or ["a@remote.example"])[0]
    subprocess.run(["sendmail", "-f", "sender@example.com", *shlex.split(send)], input=message.encode(), check=True)
    wanted, deadline = send.count("@"), time.time() + 15
    while time.time() < deadline and open(LOG, errors="replace").read()[mark:].count(" status=") < wanted:
        time.sleep(0.1)
    time.sleep(0.5)
    lines = open(LOG, errors="backslashreplace").read()[mark:].split("\n")
    out = [line for line in section if not line.startswith(("R: ", "L: ", "C: "))]
    while not out[-1]:
        out.pop()
    for line in lines:
        m = re.search(r"postfix/(?:smtp|lmtp)\[\d+\]: (.*)", line)
        if not m:
            continue
        text = re.sub(r"\b[0-9A-F]{6,}: ", "*: ", m[1])
        result = re.match(r"\*: to=<(.*?)>,.* dsn=(\S+), status=(\w+) (.*)$", text)
        if "Salt expected" in text:
            continue  # the Cyrus library's own words
        out.append("L: " + text if not result else f"R: {result[1]} {result[2]} {result[3]} {mask(result[4])}")
    if sink:
        sink.kill()
        sink.wait()
        sessions = sorted(os.listdir("/run/s")) if os.path.isdir("/run/s") else []
        commands = [l for s in sessions if s.endswith(".session") for l in open(f"/run/s/{s}").read().split("\n") if l]
    else:
        peer.server.shutdown(socket.SHUT_RDWR)
        peer.server.close()
        commands = peer.commands
    return out + ["C: " + mask(c) for c in commands if c != "[closed]"] + [""]


def mask(line):
    return re.sub(r"message size \d+", "message size N", re.sub(r" SIZE=\d+", " SIZE=N", line))


def main():
    path = os.path.realpath(sys.argv[1])
    if os.environ.get("MTA") == "postfix":
        text = open(path).read()
        head, *sections = re.split(r"(?m)^(?==== )", text)
        only = sys.argv[2] if len(sys.argv) > 2 else ""
        out = [head]
        for section in sections:
            lines = section.split("\n")
            if lines[0][4:].startswith(only):
                section = "\n".join(play(lines)) + "\n"
            out.append(section)
        sys.stdout.write("".join(out).rstrip("\n") + "\n")
        return
    here = os.path.dirname(os.path.realpath(__file__))
    world = os.environ.get("WORLD", f"{here}/../../../tests/world/world")
    said = subprocess.run([world, "--mta", "postfix", "--timeout", "900", "--", os.path.realpath(__file__), path, *sys.argv[2:]],
                          stdout=subprocess.PIPE, text=True, check=True).stdout
    with open(path, "w") as f:
        f.write(said)


main()
