#!/usr/bin/env python3
"""record.py WORLD FILE...: fill in, or check, what Postfix answers to the rows of each FILE.

WORLD is the program that runs a command beside Debian's Postfix in a private machine (tests/world/world).
With --check nothing is written; differences are printed. The form of a row file is told in rows.rs.
Each block becomes an SMTP service on a port of its own; clients are made with XCLIENT, or with a source address.
"""
import difflib, json, os, re, shutil, socket, ssl, subprocess, sys, tempfile, threading, time

PORT = 2500
SECTIONS = ("main", "zone", "table", "policy")


class File:
    """A row file: comments and sections, then blocks of settings and rows."""

    def __init__(self, text):
        self.head, self.main, self.zone, self.tables, self.policy, self.blocks = [], [], [], {}, {}, []
        section, block, row = None, None, None
        for line in text.split("\n"):
            if line.startswith("== "):
                block, row = {"title": line, "settings": [], "rows": [], "startup": []}, None
                self.blocks.append(block)
            elif block is None:
                self.head.append(line)
                if line.startswith("%"):
                    section = line[1:].split()
                elif line.strip() and not line.startswith("#") and section:
                    self.add(section, line)
            elif line.startswith("> "):
                row = {"line": line, "out": []}
                block["rows"].append(row)
            elif row is None and line.strip() and line[:2] not in ("! ", "# "):
                block["settings"].append(line)
        while self.head and not self.head[-1].strip():
            self.head.pop()

    def add(self, section, line):
        kind = section[0]
        if kind == "main":
            self.main.append(line)
        elif kind == "zone":
            self.zone.append(line)
        elif kind == "table":
            self.tables.setdefault(section[1], []).append(line)
        elif kind == "policy":
            key, action = line.split(None, 1)
            self.policy[key] = action

    def text(self):
        out = list(self.head)
        for b in self.blocks:
            out += ["", b["title"]] + b["settings"] + ["! " + l for l in b["startup"]]
            for r in b["rows"]:
                out += [r["line"]] + r["out"]
        return "\n".join(out) + "\n"


def record(world, path):
    text = open(path).read()
    f = File(text)
    with tempfile.TemporaryDirectory() as case:
        etc = f"{case}/root/etc/postfix"
        os.makedirs(etc)
        open(f"{etc}/main.cf", "w").write("\n".join(f.main) + "\n")
        for name, lines in f.tables.items():
            open(f"{etc}/{name}", "w").write("\n".join(lines) + "\n")
        open(f"{case}/zone", "w").write("\n".join(f.zone) + "\n")
        shutil.copy(__file__, f"{case}/record.py")
        open(f"{case}/rows", "w").write(text)
        open(f"{case}/case", "w").write("exec python3 /case/record.py --inside /case/rows\n")
        ran = subprocess.run([world, "--mta", "postfix", "--timeout", "600", case], capture_output=True, text=True)
    try:
        results = json.loads(ran.stdout[ran.stdout.index("\n[[") + 1:])
    except ValueError:
        sys.exit(f"{path}: {ran.stdout}{ran.stderr}")
    for block, result in zip(f.blocks, results):
        block["startup"] = result[0]
        for row, out in zip(block["rows"], result[1:]):
            row["out"] = out
    return text, f.text()


def inside(path):
    f = File(open(path).read())
    with open("/etc/postfix/master.cf", "a") as master:
        for i, b in enumerate(f.blocks):
            options = " ".join("-o { %s }" % s for s in b["settings"])
            master.write(f"\n{PORT + i} inet n - n - 1 smtpd -o syslog_name=b{i} {options}\n")
    requests = []
    serve_policy(f.policy, requests)
    subprocess.run("newaliases; postfix start", shell=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    results = []
    for i, b in enumerate(f.blocks):
        startup, outs = [], []
        for n, r in enumerate(b["rows"]):
            start = os.path.getsize("/var/log/mail.log")
            requests.clear()
            replies = converse(PORT + i, r["line"])
            log = settle(start, f"b{i}/")
            if n == 0:
                at = next((k for k, l in enumerate(log) if l.startswith("connect from")), len(log))
                startup, log = log[:at], log[at:]
            outs.append([f"< {c} {t}" for c, t in replies] + ["P " + q for q in requests] + ["L " + l for l in keep(log)])
        results.append([keep(startup)] + outs)
    subprocess.run("postfix stop", shell=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    print("\n" + json.dumps(results))


def settle(start, mark):
    """The service's log lines behind `start`, once the session's end is among them."""
    for _ in range(200):
        time.sleep(0.02)
        with open("/var/log/mail.log", errors="backslashreplace") as log:
            log.seek(start)
            lines = [l.split("]: ", 1)[1].rstrip("\n") for l in log if mark in l and "]: " in l]
        if any(l.startswith("disconnect from") or l.startswith("fatal:") for l in lines):
            break
    return lines


NOISE = re.compile(r"^((dis)?connect from|lost connection|QID: client=|warning: (?!relay_clientcerts: ).* lookup error for|(warning|error): .*(open|file|/var/lib)|"
                   r"warning: (problem talking|connect) to|warning: (timeout|premature end-of-input) on|warning: hostname .* does not resolve|"
                   r"improper command pipelining|(Anonymous|Trusted|Untrusted) TLS connection|warning: Illegal address syntax|NOQUEUE: permit: CONNECT from localhost)")


def keep(lines):
    lines = [re.sub(r"[0-9A-F]{2}(:[0-9A-F]{2}){15,}", "F", re.sub(r"^[0-9A-F]{6,}: ", "QID: ", l)) for l in lines]
    return [l for l in lines if not NOISE.match(l)]


def converse(port, line):
    words = line[2:].split()
    options = dict(w[1:].split("=", 1) if "=" in w else (w[1:], "") for w in words if w.startswith("+"))
    client, helo, sender, *rcpts = [w.replace("\\s", " ") for w in words if not w.startswith("+")]
    name, address = client.rstrip("]").split("[")
    s = None
    for _ in range(100):
        try:
            s = socket.create_connection(("192.0.2.1" if "direct" in options else "127.0.0.1", port), 60,
                                         (address, 0) if "direct" in options else None)
            break
        except ConnectionRefusedError:
            time.sleep(0.05)
    if s is None:
        return [("CONNECT", "refused")]
    wire, out = s.makefile("rwb"), []

    def say(text, name=None, body=False):
        if text is not None:
            wire.write(text.encode("utf-8", "surrogateescape") + (b"" if body else b"\r\n"))
            wire.flush()
        lines = []
        while True:
            try:
                l = wire.readline().decode("utf-8", "backslashreplace").rstrip("\r\n")
            except OSError:
                l = ""
            if not l:
                raise EOFError(name)
            lines.append(l)
            if l[3:4] != "-":
                break
        if name and l[0] in "45":
            out.append((name, " | ".join(lines)))
        return l

    def start_tls(certificate):
        nonlocal wire
        say("EHLO x")
        say("STARTTLS")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if certificate:
            context.load_cert_chain(f"/etc/ssl/world/{certificate}.pem", f"/etc/ssl/world/{certificate}.key")
        wire = context.wrap_socket(s).makefile("rwb")

    try:
        say(None, "CONNECT")
        if "tls" in options:
            start_tls(options["tls"])
            say("EHLO x")
        if "direct" not in options:
            x = "XCLIENT " + {"unknown": "NAME=[UNAVAILABLE] REVERSE_NAME=[UNAVAILABLE]",
                              "tempfail": "NAME=[TEMPUNAVAIL] REVERSE_NAME=[TEMPUNAVAIL]"}.get(name, "NAME=" + name)
            x += f" ADDR={'IPV6:' if ':' in address else ''}{address} PORT=4321"
            if "reverse" in options:
                x += f" REVERSE_NAME={options['reverse']}"
            if "login" in options:
                x += f" LOGIN={options['login']}"
            say(x, "CONNECT")
        if helo != "-":
            hello = "HELO" if "smtp" in options else "EHLO"
            say(f"{hello} {helo}", hello)
        if "etrn" in options:
            say("ETRN " + options["etrn"], "ETRN")
        if "vrfy" in options:
            say("VRFY " + options["vrfy"], "VRFY")
        if "pipeline" in options:
            say("NOOP\r\nNOOP")
            say(None)
        if sender != "-":
            utf8 = " SMTPUTF8" if "utf8" in options else ""
            say(f"MAIL FROM:<{'' if sender == '<>' else sender}>{utf8}", "MAIL")
            accepted = [r for r in rcpts if say(f"RCPT TO:<{r}>", "RCPT")[0] == "2"]
        if "data" in options and accepted and say("DATA", "DATA")[0] == "3":
            say("Subject: x\r\n\r\nx\r\n.\r\n", "END-OF-MESSAGE", body=True)
        say("QUIT")
    except EOFError as e:
        out.append((e.args[0] or "QUIT", "closed"))
    s.close()
    return out


def serve_policy(answers, requests):
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("127.0.0.1", 9999))
    server.listen(10)

    def session(c):
        with c, c.makefile("rwb") as w:
            while True:
                lines = []
                while (l := w.readline()) not in (b"", b"\n"):
                    lines.append(l.decode("utf-8", "backslashreplace").rstrip("\n"))
                if not l:
                    return
                request = " ".join(lines)
                for part, plain in ((r"instance=\S+", "instance=I"), (r"queue_id=[0-9A-F]+", "queue_id=QID"),
                                    (r"server_port=\d+", "server_port=2500"),
                                    (r"fingerprint=\S+", "fingerprint=F"), (r"_cipher=\S+", "_cipher=C")):
                    request = re.sub(part, plain, request)
                requests.append(request)
                got = dict(l.split("=", 1) for l in lines)
                action = answers.get(got.get("recipient") or got.get("protocol_state"), answers.get("*", "DUNNO"))
                w.write({"HANGUP": b"", "EMPTY": b"\n", "NOEND": b"action=DUNNO\n"}.get(
                    action, f"action={action}\n\n".encode()))
                w.flush()
                if action in ("HANGUP", "NOEND"):
                    return

    def accept():
        while True:
            threading.Thread(target=session, args=(server.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


def main(argv):
    if argv[:1] == ["--inside"]:
        return inside(argv[1])
    check = "--check" in argv
    world, *paths = [a for a in argv if a != "--check"]
    for path in paths:
        before, after = record(world, path)
        if check:
            sys.stdout.writelines(l + "\n" for l in difflib.unified_diff(
                before.split("\n"), after.split("\n"), path, "postfix", lineterm=""))
        else:
            open(path, "w").write(after)


main(sys.argv[1:])
