"""The official Python SDK of Files.com, unmodified, against the emulator, in both directions with our program.

The same script serves the two generations of the SDK, which differ much on the wire.

Usage: filescom.py FILESTORE EMULATOR_URL CONFIG
"""

import hashlib
import io
import logging
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import files_sdk
import requests
from files_sdk import error

FILESTORE, URL, CONFIG = sys.argv[1:]
KEY = "filescomemulatorkey"
LOGIN = {"username": "emulator", "password": "emulator-password"}
SECOND_GENERATION = files_sdk.version.startswith("2.")
MIB = 1 << 20

# Every refusal is logged as well, and this script asks for many.
logging.getLogger("files_sdk").setLevel(logging.CRITICAL)
files_sdk.base_url = URL
files_sdk.set_api_key(KEY)

passed = 0


def check(what, holds, seen=None):
    global passed
    if not holds:
        sys.exit(f"interop: {what}: {seen!r}")
    passed += 1


def refused(what, kind, call, *args, **named):
    """The call fails with that class of error, and no other."""
    try:
        answer = call(*args, **named)
    except kind as failure:
        check(what, type(failure) is kind, type(failure))
        return failure
    sys.exit(f"interop: {what}: not refused: {answer!r}")


def filestore(*args, code=0):
    command = [FILESTORE, "--config", CONFIG, "--store", "filescom", "--quiet", *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    check(f"{args} exits with {code}", done.returncode == code, done)
    return done.stdout.strip()


def reference(path):
    return f"filescom:filescom:{path}"


def control(method, path, body=None):
    answer = requests.request(method, f"{URL}/_emulator/{path}", json=body, timeout=10)
    check(f"{method} {path}", answer.ok, answer.text)
    return answer.json() if answer.content else None


def asked(operation, step=None):
    """How often an operation was asked for since the journal was emptied."""
    entries = control("GET", "journal")["entries"]
    if step == "part":
        return sum(entry["method"] == "PUT" for entry in entries if entry["operation"] == operation)
    return sum(entry["operation"] == operation for entry in entries)


def paths(entries):
    return [entry.path for entry in entries]


def content(size):
    return os.urandom(size)


def upload_bytes(path, data):
    with files_sdk.file.open(path, "wb") as file:
        file.write(data)


def read_bytes(path):
    with files_sdk.file.open(path, "rb") as file:
        return file.read()


def by_file(folder):
    """upload_file and download_file, of every shape of size, in both directions."""
    for name, size in [("empty", 0), ("small", 9), ("one part", 5 * MIB), ("parts", 12 * MIB + 1)]:
        local, data = folder / name, content(size)
        local.write_bytes(data)
        os.utime(local, (1_700_000_000, 1_700_000_000))

        # Theirs up, theirs and ours down.
        path = f"sdk/deep/{name}"
        control("DELETE", "journal")
        files_sdk.file.upload_file(str(local), "/" + path, params={"mkdir_parents": True})
        extra = 1 if name == "one part" and not SECOND_GENERATION else 0
        check("parts", asked("upload", "part") == max(1, -(-size // (5 * MIB))) + extra, control("GET", "journal"))
        files_sdk.file.download_file(path, str(folder / "theirs"))
        check("their bytes in their file", (folder / "theirs").read_bytes() == data)
        filestore("download", reference(path.replace(" ", "%20")), "-o", folder / "ours", "--force")
        check("their bytes in our file", (folder / "ours").read_bytes() == data)
        found = files_sdk.file.find(path)
        check("facts", (found.size, found.type, found.display_name) == (size, "file", name), found.get_attributes())
        check("the file's own time", found.provided_mtime == "2023-11-14T22:13:20Z", found.provided_mtime)
        for _ in range(50):
            if found.md5:
                break
            time.sleep(0.02)
            found = files_sdk.file.find(path)
        check("md5", found.md5 == hashlib.md5(data).hexdigest(), found.md5)

        # Ours up, theirs down.
        ours = filestore("upload", local, "--to", "ours/deep")
        check("our reference", ours == reference(f"ours/deep/{name}".replace(" ", "%20")), ours)
        files_sdk.file.download_file(f"ours/deep/{name}", str(folder / "theirs"))
        check("our bytes in their file", (folder / "theirs").read_bytes() == data)
        check("the same file", files_sdk.file.find(f"ours/deep/{name}").size == size)

    # Names default to those of the other side.
    before = Path.cwd()
    os.chdir(folder)
    try:
        (folder / "default.txt").write_text("named")
        files_sdk.file.upload_file("default.txt")
        (folder / "default.txt").unlink()
        files_sdk.file.download_file("default.txt")
        check("default names", (folder / "default.txt").read_text() == "named")
    finally:
        os.chdir(before)

    # What one side writes over, the other reads.
    (folder / "over").write_text("one")
    ours = filestore("upload", folder / "over")
    (folder / "over").write_text("two")
    files_sdk.file.upload_file(str(folder / "over"), "over")
    filestore("download", ours, "-o", folder / "over.back")
    check("their bytes over ours", (folder / "over.back").read_text() == "two")
    (folder / "over").write_text("three")
    filestore("upload", folder / "over")
    check("our bytes over theirs", read_bytes("over") == b"three")

    for name in ["größe.txt", "with space & plus+.txt", "100%.txt", "a#b?c.txt", "日本.txt"]:
        (folder / name).write_text(name)
        files_sdk.file.upload_file(str(folder / name), f"names/{name}", params={"mkdir_parents": True})
        check("name", files_sdk.file.find(f"names/{name}").path == f"names/{name}")
        ours = filestore("upload", folder / name, "--to", "names/ours")
        check("our name", read_bytes(f"names/ours/{name}") == name.encode(), ours)
        filestore("download", ours.replace("names/ours", "names"), "-o", folder / "name", "--force")
        check("their name", (folder / "name").read_text() == name)


def by_data():
    """Open for reading and writing, text and binary."""
    with files_sdk.file.open("open.txt", "w") as file:
        file.write("one\n")
        file.write("two\n")
    check("text written", read_bytes("open.txt") == b"one\ntwo\n")
    with files_sdk.file.open("open.txt", "r") as file:
        check("text read", file.read() == "one\ntwo\n")
    large = content(11 * MIB)
    with files_sdk.file.open("open.bin", "wb") as file:
        file.write(large)
    with files_sdk.file.open("open.bin", "rb") as file:
        check("binary", file.read() == large)
    files_sdk.file.delete("open.bin")
    if not SECOND_GENERATION:
        return
    with files_sdk.file.open("umlaut.txt", "w") as file:
        file.write("größe\n")
    with files_sdk.file.open("umlaut.txt", "r") as file:
        check("lines", list(file) == ["größe\n"])
    files_sdk.file.upload_stream(io.BytesIO(large), "stream.bin")
    files_sdk.file.upload_stream(io.BytesIO(large), "sized.bin", size=len(large))
    for name in ["stream.bin", "sized.bin"]:
        back = io.BytesIO()
        files_sdk.file.download_stream(name, back)
        check("stream", back.getvalue() == large)
        files_sdk.file.delete(name)


def lists():
    """One page, all pages, page by page."""
    files_sdk.folder.create("list")
    for name in ["b.txt", "a.txt", "Z.txt", "sync.go", "sync_test.go", "éa.txt"]:
        upload_bytes(f"list/{name}", b"x")
    for name in ["folder 2", "Folder 1"]:
        files_sdk.folder.create(f"list/{name}")
    names = ["Folder 1", "folder 2", "a.txt", "b.txt", "éa.txt", "sync_test.go", "sync.go", "Z.txt"]
    expected = [f"list/{name}" for name in names]

    whole = files_sdk.folder.list_for("list")
    check("folders first, then by name", paths(whole) == expected, paths(whole))
    check("one page", not whole.has_next_page)
    check("kinds", [entry.type for entry in whole][:3] == ["directory", "directory", "file"])
    check("automatically", paths(files_sdk.folder.list_for("/list/", {"per_page": 3}).auto_paging_iter()) == expected)
    page = files_sdk.folder.list_for("list", {"per_page": 3})
    seen, pages, cursor = paths(page), 1, page.cursor
    while page.has_next_page:
        page.load_next_page()
        seen, pages = seen + paths(page), pages + 1
    check("by hand", (seen, pages) == (expected, 3), seen)
    check("root", "list" in paths(files_sdk.folder.list_for("/").auto_paging_iter()))
    check("ours is the same list", set(filestore("list", "list", "--all").split()) >= {"a.txt", "Z.txt", "sync.go"})
    by_size = {"sort_by": {"size": "desc"}} if SECOND_GENERATION else {"sort_by[size]": "desc"}
    check("sorted", len(paths(files_sdk.folder.list_for("list", by_size))) == 8)
    check("only files", len(paths(files_sdk.folder.list_for("list", {"type": "file"}))) == 6)
    found = paths(files_sdk.folder.list_for("", {"search": "SYNC"}))
    check("search", sorted(found) == ["list/sync.go", "list/sync_test.go"], found)
    other = {"cursor": cursor}
    refused("a cursor of another list", error.InvalidCursorError, files_sdk.folder.list_for, "", other)
    if SECOND_GENERATION:
        walked = [folder for folder, _, _ in files_sdk.folder.walk("list")]
        check("walk", walked == ["list", "list/Folder 1", "list/folder 2"], walked)


def changes():
    """Find, update, copy, move, delete, and what each of them refuses."""
    upload_bytes("change.txt", b"content")
    files_sdk.file.update("change.txt", {"provided_mtime": "2020-02-02T02:02:02Z", "custom_metadata": {"key": "value"}})
    found = files_sdk.file.find("change.txt")
    said = (found.provided_mtime, found.custom_metadata)
    check("update", said == ("2020-02-02T02:02:02Z", {"key": "value"}), said)
    stat = filestore("stat", reference("change.txt"))
    check("our stat knows the time", "2020-02-02" in stat, stat)

    files_sdk.folder.create("from/below", {"mkdir_parents": True})
    check("copy", files_sdk.file.copy("change.txt", {"destination": "from/copy.txt"}).status == "completed")
    check("move", files_sdk.file.move("change.txt", {"destination": "from/below/moved.txt"}).status == "completed")
    check("moved", read_bytes("from/below/moved.txt") == read_bytes("from/copy.txt") == b"content")
    refused("the source is gone", error.NotFoundError, files_sdk.file.find, "change.txt")
    filestore("stat", reference("change.txt"), code=3)

    destination = {"destination": "from/below/moved.txt"}
    refused("copy over", error.DestinationExistsError, files_sdk.file.copy, "from/copy.txt", destination)
    files_sdk.file.copy("from/copy.txt", destination | {"overwrite": True})
    failure = refused(
        "no parent", error.DestinationParentDoesNotExistError, files_sdk.file.move, "from/copy.txt", {"destination": "no/x"}
    )
    check("status", failure.http_code == 409, failure.http_code)
    refused("mkdir again", error.DestinationExistsError, files_sdk.folder.create, "from")
    refused("mkdir without parent", error.NotFoundError, files_sdk.folder.create, "no/folder")
    refused("below a file", error.FolderMustNotBeAFileError, files_sdk.folder.create, "from/copy.txt/x")
    refused("a folder has no content", error.CannotDownloadDirectoryError, files_sdk.file.download, "from")
    refused("trailing space", error.PathCannotHaveTrailingWhitespaceError, files_sdk.folder.create, "space ")
    failure = refused("not empty", error.FolderNotEmptyError, files_sdk.file.delete, "from")
    check("group", isinstance(failure, error.ProcessingFailureError))
    check("message", "not empty" in str(failure), failure)
    refused("no upload", error.FileUploadNotFoundError, files_sdk.file.begin_upload, "x", {"ref": "put-1", "part": 2})
    begun = files_sdk.file.begin_upload("x", {})[0]
    refused("nothing put", error.FileNotUploadedError, files_sdk.file.create, "x", {"action": "end", "ref": begun.ref})

    files_sdk.file.delete("from/copy.txt")
    files_sdk.file.delete("from", {"recursive": True})
    refused("deleted", error.NotFoundError, files_sdk.folder.list_for, "from")
    upload_bytes("for-us.txt", b"x")
    filestore("delete", reference("for-us.txt"))
    refused("deleted by us", error.NotFoundError, files_sdk.file.find, "for-us.txt")

    # In the background.
    upload_bytes("slow.txt", b"slow")
    control("PUT", "filescom/settings", {"migrations": {"polls": 2}})
    action = files_sdk.file.move("slow.txt", {"destination": "moved.txt"})
    check("pending", action.status == "pending" and action.file_migration_id, action.get_attributes())
    seen = [files_sdk.file_migration.find(action.file_migration_id).status for _ in range(3)]
    check("until completed", seen == ["pending", "processing", "completed"], seen)
    begun = files_sdk.file.begin_delete("moved.txt", {})
    check("a delete too", begun.status == "pending", begun.get_attributes())
    [files_sdk.file_migration.find(begun.file_migration_id) for _ in range(3)]
    refused("gone", error.NotFoundError, files_sdk.file.find, "moved.txt")
    if SECOND_GENERATION:
        upload_bytes("slow.txt", b"slow")
        files_sdk.file.copy_and_wait("slow.txt", {"destination": "copied.txt"}, interval=0.01)
        check("waited", read_bytes("copied.txt") == b"slow")
    control("PUT", "filescom/settings", {})


def sessions():
    """Log in, use the session in each of three ways, log out."""
    files_sdk.set_api_key("")
    failure = refused(
        "wrong password", error.InvalidUsernameOrPasswordError, files_sdk.session.create, LOGIN | {"password": "wrong"}
    )
    check("group", isinstance(failure, error.NotAuthenticatedError))
    session = files_sdk.session.create(LOGIN)
    check("session", len(session.id) == 40, session.id)
    check("per call", files_sdk.file.find("over", {}, {"session_id": session.id}).size == 5)
    per_object = files_sdk.file.File({"path": "over"}, {"session_id": session.id})
    check("per object", per_object.download()["size"] == 5)
    files_sdk.session_id = session.id
    upload_bytes("by-session.txt", b"session")
    check("for all calls", read_bytes("by-session.txt") == b"session")
    if SECOND_GENERATION:
        session.destroy()
    else:
        # There the method of the object calls itself without end.
        files_sdk.session.delete({}, {"session_id": session.id})
    refused("logged out", error.InvalidCredentialsError, files_sdk.file.find, "over")
    files_sdk.session_id = None

    refused("no key at all", error.AuthenticationError, files_sdk.file.find, "over")
    refused("ill-formed key", error.AuthenticationError, files_sdk.file.find, "over", {}, {"api_key": "not-a-key"})
    refused("wrong key", error.InvalidCredentialsError, files_sdk.file.find, "over", {}, {"api_key": "wrong"})
    check("key per call", files_sdk.file.find("over", {}, {"api_key": KEY}).size == 5)
    files_sdk.set_api_key(KEY)


def links():
    """Share links and temporary URLs."""
    upload_bytes("shared.txt", b"shared")
    bundle = files_sdk.bundle.create({"paths": ["shared.txt"], "max_uses": 1})
    check("link", bundle.url == f"{URL}/f/{bundle.code}", bundle.url)
    check("listed", bundle.id in [one.id for one in files_sdk.bundle.list()])
    check("the file", requests.get(bundle.url, timeout=10).content == b"shared")
    check("once", requests.get(bundle.url, timeout=10).status_code == 404)
    files_sdk.bundle.delete(bundle.id)
    refused("no such path", error.BundlePathNotFoundError, files_sdk.bundle.create, {"paths": ["nowhere"]})
    check("our URL", requests.get(filestore("url", reference("shared.txt")), timeout=10).content == b"shared")
    their = files_sdk.file.download("shared.txt").download_uri
    check("their URL", requests.get(their, timeout=10).content == b"shared")


def comparison():
    """What the SDK calls one path is one path here, and for us."""
    upload_bytes("Fïłèńämê.Txt", b"one file")
    for other in ["filename.txt", "FILENAME.TXT", "FÎŁĘÑÂMÉ.TXT"]:
        check("the SDK", files_sdk.path_util.is_same("Fïłèńämê.Txt", other), other)
        check("the emulator", files_sdk.file.find(other).path == "Fïłèńämê.Txt")
        filestore("stat", reference(requests.utils.quote(other)))
    check("two paths", not files_sdk.path_util.is_same("filename.txt", "filename.tx"))
    check("cleaned", files_sdk.path_util.normalize("/../a\\b//./c") == "a/b/c")


def options():
    """Configuration that shows on the wire."""
    # Set to one by main() for a fast script; this is how often a refusal is seen otherwise.
    files_sdk.max_network_retries = 3
    control("DELETE", "journal")
    refused("not found", error.NotFoundError, files_sdk.file.find, "nowhere")
    check("requests of one refusal", asked("stat") == (1 if SECOND_GENERATION else 3), asked("stat"))
    rule = {"operation": "stat", "times": 2, "do": {"status": {"code": 503}}}
    control("PUT", "faults", {"fault": [rule]})
    check("over a failure", files_sdk.file.find("over").size == 5)
    control("DELETE", "faults")
    files_sdk.max_network_retries = 1
    entry = control("GET", "journal")["entries"][0]
    check("who asks", f"v{files_sdk.version}" in entry["headers"]["user-agent"], entry)
    check("the key is masked", KEY not in str(entry), entry)
    files_sdk.open_timeout, files_sdk.read_timeout = 5, 5
    files_sdk.console_log_level = "none"
    check("time limits", files_sdk.file.find("over").size == 5)
    check("workspace", files_sdk.file.find("over", {}, {"workspace_id": 0}).size == 5)


def main():
    files_sdk.max_network_retries = 1
    control("POST", "reset")
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        by_file(Path(folder))
    by_data()
    lists()
    changes()
    sessions()
    links()
    comparison()
    options()
    seconds = time.monotonic() - begun
    print(f"ok: {passed} checks with Files.com {files_sdk.version} in {seconds:.0f} s")


main()
