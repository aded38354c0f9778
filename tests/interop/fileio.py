"""The unmodified file.io clients from PyPI against the emulator, in both directions with our program.

Usage: fileio.py FILESTORE EMULATOR_URL CONFIG
"""

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import fileio_upload
import fileioapi
import requests
from fileio_wrapper import Fileio

FILESTORE, URL, CONFIG = sys.argv[1:]
KEY = "FILEIO0.EMULATO-RKEY000-0000000-0000000"

# How each client is pointed elsewhere: the only change that is made to it.
Fileio.url = URL + "/"
fileioapi.FILEIO = URL

passed = 0


def check(what, holds, seen=None):
    global passed
    if not holds:
        sys.exit(f"interop: {what}: {seen!r}")
    passed += 1


def filestore(*args, store="fileio", code=0):
    command = [FILESTORE, "--config", CONFIG, "--store", store, "--quiet", *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    check(f"{args} exits with {code}", done.returncode == code, done)
    return done.stdout.strip()


def reference(key):
    return f"fileio:fileio:{key}"


def wrapper(folder):
    """fileio_wrapper 1.0.3."""
    account = Fileio(KEY)
    content = os.urandom(200_000)
    path = folder / "from-wrapper.bin"
    path.write_bytes(content)

    # Theirs up, ours down.
    sent = account.upload(str(path))
    check("upload", sent["success"] and sent["status"] == 200, sent)
    check("defaults", (sent["maxDownloads"], sent["autoDelete"], sent["downloads"]) == (1, True, 0), sent)
    check("order of keys", list(sent)[:4] == ["success", "status", "id", "key"], list(sent))
    check("link", sent["link"] == f"{URL}/{sent['key']}", sent)
    filestore("download", reference(sent["key"]), "-o", folder / "ours.bin")
    check("their bytes in our file", (folder / "ours.bin").read_bytes() == content)

    # Ours up, theirs down, with the name that the service gives.
    ours = filestore("upload", path, "--name", "from-filestore.bin")
    down = account.download(ours.rsplit(":", 1)[1], str(folder) + "/")
    check("download", down["success"] and down["name"] == "from-filestore.bin", down)
    check("our bytes in their file", (folder / "from-filestore.bin").read_bytes() == content)
    again = account.download(ours.rsplit(":", 1)[1], str(folder) + "/again")
    check("a second read is not found", again.get("status") == 404, again)
    filestore("stat", ours, code=3)

    # In memory, and anonymously.
    anonymous = Fileio.upload(str(path), expires="10m")
    check("anonymous upload", anonymous["success"], anonymous)
    raw = Fileio.download(anonymous["key"])
    check("anonymous download", hashlib.sha256(raw["content"]).digest() == hashlib.sha256(content).digest())

    # What a paid account may ask for.
    many = account.upload(str(path), expires=None, max_downloads=3)
    check("never, three times", (many["expires"], many["maxDownloads"]) == (None, 3), many)
    timed = account.upload(str(path), expires="2h")
    check("expiry", timed["expires"] > timed["created"], timed)
    limited = Fileio.upload(str(path), max_downloads=5)
    check("a free plan is refused more", limited["success"] is False and limited["status"] == 402, limited)

    # Lists, the account, updates, deletes.
    listed = account.list()
    check("list", {many["key"], timed["key"]} == {node["key"] for node in listed["nodes"]}, listed)
    check("newest first", listed["nodes"][0]["key"] == timed["key"], listed)
    check("search", account.list(search="no-such-name")["count"] == 0)
    check("limit", len(account.list(limit=1)["nodes"]) == 1)
    check("sort", [n["size"] for n in account.list(sort="size")["nodes"]] == [200_000, 200_000])
    check("ours lists theirs", reference(many["key"]) in filestore("list", "--all", "--json"))
    me = account.me()
    check("me", me["success"] and me["usedStorageBytes"] == 400_000, me)
    updated = account.update(many["key"], max_downloads=9)
    check("update keeps the rest", (updated["maxDownloads"], updated["expires"]) == (9, None), updated)
    replaced = account.update(many["key"], max_downloads=1, mode="replace_all")
    check("PUT without a file is refused", replaced["success"] is False and replaced["status"] == 400, replaced)
    check("delete", account.delete(many["key"])["success"] is True)
    filestore("delete", reference(timed["key"]))
    check("all gone", account.list()["count"] == 0)
    wrong = Fileio("WRONG").list()
    check("a wrong key", wrong["success"] is False and wrong["status"] == 401, wrong)

    # Names.
    for name in ["plain.txt", "with space.txt", "größe.txt", "a+b=c&d.txt"]:
        (folder / name).write_bytes(b"name")
        sent = account.upload(str(folder / name))
        check("name", sent["name"] == name, sent)
        (folder / "in").mkdir(exist_ok=True)
        saved = filestore("download", reference(sent["key"]), "-o", folder / "in")
        check("name on disk", Path(saved).name == name, saved)


def plain(folder):
    """fileioapi 0.0.2: text only, and a wrong name for the expiry."""
    path = folder / "note.txt"
    path.write_text("a note\n")
    sent = fileioapi.upload(str(path), expiry="2d")
    check("upload", sent["success"], sent)
    filestore("download", reference(sent["key"]), "-o", folder / "note.ours")
    check("their bytes in our file", (folder / "note.ours").read_text() == "a note\n")

    ours = filestore("upload", path)
    saved = folder / "note.theirs"
    fileioapi.download(f"{URL}/{ours.rsplit(':', 1)[1]}", str(saved))
    check("our bytes in their file", saved.read_text() == "a note\n")
    filestore("stat", ours, code=3)


def command_line(folder):
    """file.io-cli 1.0.4: its address is fixed, so it goes through us as its proxy, in chunks."""
    path = folder / "from-cli.txt"
    path.write_bytes(b"line\n")
    program = Path(sys.executable).with_name("file.io-cli")
    environment = os.environ | {"http_proxy": URL, "no_proxy": ""}
    done = subprocess.run([program, path], capture_output=True, text=True, env=environment, check=False)
    check("upload", done.returncode == 0 and URL in done.stdout, done)
    key = done.stdout.split()[-1].rsplit("/", 1)[1]
    saved = filestore("download", reference(key), "-o", folder / "cli")
    check("their bytes in our file", Path(saved).read_bytes() == b"line\n")


def printed(folder):
    """fileio_upload 1.2.1: prints the link; its address is fixed too."""
    path = folder / "printed.bin"
    path.write_bytes(os.urandom(1000))
    post, answers = requests.post, []

    def here(url, **arguments):
        answers.append(post(url.replace("https://file.io", URL), **arguments))
        return answers[-1]

    requests.post = here
    try:
        fileio_upload.Main(str(path)).upload()
        fileio_upload.Main(str(path), expires="1w").upload()
    finally:
        requests.post = post
    for answer in answers:
        sent = answer.json()
        saved = filestore("download", reference(sent["key"]), "-o", folder / f"printed-{sent['key']}")
        check("their bytes in our file", Path(saved).read_bytes() == path.read_bytes())
    check("two uploads", len(answers) == 2, answers)


def raw():
    """What the home page of the service told people to do."""
    text = requests.post(URL, data={"text": "this is a secret pw"}, timeout=10).json()
    check("text", requests.get(text["link"], timeout=10).text == "this is a secret pw", text)
    gone = requests.get(text["link"], timeout=10)
    check("once", gone.status_code == 404 and gone.json()["code"] == "FILE_NOT_FOUND", gone.text)
    check("no name on errors", "Content-Disposition" not in gone.headers, gone.headers)


def full_disk(folder):
    """A full disk is found before the read that would consume the file."""
    (folder / "full").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder / "full"]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        print("skipped: a full disk (mounting one is not permitted here)")
        return
    try:
        (folder / "large").write_bytes(b"x" * 100_000)
        sent = filestore("upload", folder / "large")
        before = reads()
        filestore("download", sent, "-o", folder / "full" / "copy", code=5)
        check("nothing is left on the full disk", not any((folder / "full").iterdir()))
        check("nothing was read", reads() == before)
        filestore("download", sent, "-o", folder / "copy")
        check("the file was still there", (folder / "copy").stat().st_size == 100_000)
    finally:
        subprocess.run(["umount", folder / "full"], check=True)


def reads():
    journal = requests.get(f"{URL}/_emulator/journal", timeout=10).json()["entries"]
    return sum(entry["operation"] == "download" for entry in journal)


with tempfile.TemporaryDirectory() as name:
    wrapper(Path(name))
    plain(Path(name))
    command_line(Path(name))
    printed(Path(name))
    raw()
    full_disk(Path(name))
print(f"{passed} passed, 0 failed")
