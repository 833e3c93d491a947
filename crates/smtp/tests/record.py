#!/usr/bin/env python3
"""record.py FILE.smtp...: play dialogues against real Postfix and write down in them what it said.

S: and L: lines are written anew, everything else stays. The format is described in tests/it/dialogue.rs, which
reads the same files. WORLD names the `world` program (default: the one of this checkout's tests/world).
"""
import base64, os, re, socket, ssl, subprocess, sys, threading, time

BASE = """
compatibility_level = 3.6
myhostname = mail.example.com
mydestination = example.com
local_recipient_maps =
mynetworks = 127.0.0.0/8
local_transport = discard
default_transport = discard
smtpd_peername_lookup = no
smtpd_relay_restrictions = check_client_access static:ok, reject_unauth_destination
smtpd_error_sleep_time = 0
smtpd_forbid_bare_newline = normalize
"""
LOG = "/var/log/mail.log"


def unescape(text):
    """(BYTES, whether they bring their own line end): \\r \\n \\t \\0 \\\\ \\xHH and \\(TEXT*COUNT)."""
    out, at = b"", 0
    for m in re.finditer(r"\\(?:\(((?:[^)\\]|\\.)*)\*(\d+)\)|x([0-9a-fA-F]{2})|(.))", text):
        out += text[at:m.start()].encode()
        at = m.end()
        if m[2]:
            out += unescape(m[1])[0] * int(m[2])
        elif m[3]:
            out += bytes([int(m[3], 16)])
        else:
            out += {"r": b"\r", "n": b"\n", "t": b"\t", "0": b"\0"}.get(m[4], m[4].encode())
    out += text[at:].encode()
    return out, re.search(r"\\[rn]", text) is not None


def configure(settings):
    with open("/etc/postfix/main.cf", "w") as f:
        names = {s.split(" =")[0] for s in settings}
        base = [s for s in BASE.strip().split("\n") if s.split(" =")[0] not in names]
        f.write("\n".join(base + settings) + "\n")
    subprocess.run(["touch", "-d", "1 minute ago", "/etc/postfix/main.cf"], check=True)
    subprocess.run("postfix stop; postfix start", shell=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Peer:
    def __init__(self, address):
        self.s = socket.create_connection(("192.0.2.1", 25), 5, (address, 0))
        self.open = True

    def greeting(self):
        if not (said := self.replies(3)):
            sys.exit(open(LOG).read())
        return said

    def handshake(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.s.settimeout(5)
        self.s = context.wrap_socket(self.s)

    def replies(self, patience=0.25):
        data = b""
        self.s.settimeout(patience)
        while self.open:
            try:
                piece = self.s.recv(65536)
                self.s.settimeout(0.25)
            except (TimeoutError, socket.timeout):
                break
            except ConnectionError:
                piece = b""
            if not piece:
                self.open = False
            data += piece
        lines = [l.decode("utf-8", "backslashreplace") for l in data.split(b"\r\n")]
        last = lines.pop()
        lines += [last] if last else []
        return ["S: " + quote(l) for l in lines] + ([] if self.open else ["S: [closed]"])


def quote(line):
    line = re.sub(r"queued as \w+$", "queued as *", line)
    return "".join(c if " " <= c else f"\\x{ord(c):02x}" for c in line)


def play(path):
    source = open(path).read().split("\n")
    out, settings, client = [], [], "192.0.2.9"
    for line in source:
        if line.startswith("config: "):
            settings.append(line[8:])
        if line.startswith("client: "):
            client = line[8:]
    configure(settings)
    mark, peer = os.path.getsize(LOG), None
    for line in source:
        if line.startswith(("S: ", "L: ")):
            continue
        out.append(line)
        if not line.startswith("C: "):
            continue
        if peer is None:
            out.pop()
            peer = Peer(client)
            out += peer.greeting() + [line]
        if line == "C: [eof]":
            peer.s.shutdown(socket.SHUT_WR)
        elif line == "C: [timeout]":
            time.sleep(3)
        elif line == "C: [tls]":
            peer.handshake()
        elif peer.open:
            data, ended = unescape(line[3:])
            try:
                peer.s.sendall(data if ended else data + b"\r\n")
            except ConnectionError:
                pass
        was_open = peer.open
        said = peer.replies()
        out += said if was_open else []
    if peer is None:
        peer = Peer(client)
        out += peer.greeting()
    peer.s.close()
    time.sleep(0.5)
    with open(LOG, errors="backslashreplace") as f:
        f.seek(mark)
        for line in f:
            m = re.search(r"postfix/smtpd\[\d+\]: (.*)", line)
            if m and not m[1].startswith("connect from") and " client=" not in m[1]:
                out.append("L: " + re.sub(r"\b[0-9A-F]{6,}: ", "*: ", m[1]))
    while out and not out[-1].startswith(("S", "C", "L")):
        if out[-1]:
            break
        out.pop()
    logs = [l for l in out if l.startswith("L: ")]
    rest = [l for l in out if not l.startswith("L: ")]
    while rest and not rest[-1]:
        rest.pop()
    return "\n".join(rest + logs) + "\n"


SASL = "/var/spool/postfix/fake-auth"


def fake_dovecot():
    """A Dovecot auth server that knows PLAIN and LOGIN and one user, alice with the password secret."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(SASL)
    os.chmod(SASL, 0o666)
    server.listen(5)
    while True:
        threading.Thread(target=dovecot_session, args=(server.accept()[0],), daemon=True).start()


def dovecot_session(peer):
    wire = peer.makefile("rw", encoding="latin-1", newline="\n")
    wire.write("VERSION\t1\t1\nMECH\tPLAIN\tplaintext\nMECH\tLOGIN\tplaintext\nSPID\t1\nCUID\t1\n"
               "COOKIE\t00\nDONE\n")
    wire.flush()
    said, names = {}, {}
    for line in wire:
        words = line.rstrip("\n").split("\t")
        if words[0] not in ("AUTH", "CONT"):
            continue
        ident = words[1]
        if words[0] == "AUTH":
            names[ident], said[ident] = words[2], [w[5:] for w in words if w.startswith("resp=")]
        else:
            said[ident].append(words[2])
        answer(wire, ident, names[ident], said[ident])
        wire.flush()


def answer(wire, ident, mechanism, said):
    try:
        plain = [base64.b64decode(w, validate=True) for w in said]
    except ValueError:
        wire.write(f"FAIL\t{ident}\treason=Invalid base64 data\n")
        return
    wanted = {"PLAIN": [b""], "LOGIN": [b"Username:", b"Password:"]}[mechanism.upper()]
    if len(plain) < len(wanted):
        wire.write(f"CONT\t{ident}\t{base64.b64encode(wanted[len(plain)]).decode()}\n")
    elif plain in ([b"\0alice\0secret"], [b"alice", b"secret"]):
        wire.write(f"OK\t{ident}\tuser=alice\n")
    else:
        wire.write(f"FAIL\t{ident}\tuser=alice\n")


def inside(paths):
    threading.Thread(target=fake_dovecot, daemon=True).start()
    for path in paths:
        sys.stdout.write(f"### {path}\n{play(path)}")


def outside(paths):
    here = os.path.dirname(os.path.realpath(__file__))
    world = os.environ.get("WORLD", f"{here}/../../../tests/world/world")
    paths = [os.path.realpath(p) for p in paths]
    said = subprocess.run([world, "--mta", "postfix", "--timeout", "900", "--", os.path.realpath(__file__), *paths],
                          stdout=subprocess.PIPE, text=True, check=True).stdout
    for part in said.split("### ")[1:]:
        path, text = part.split("\n", 1)
        with open(path, "w") as f:
            f.write(text)


if __name__ == "__main__":
    (inside if os.environ.get("MTA") == "postfix" else outside)(sys.argv[1:])
