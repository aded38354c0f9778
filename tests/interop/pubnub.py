"""The official PubNub SDK from PyPI against the emulator, in both directions with our program.

Usage: pubnub.py FILESTORE EMULATOR_URL CONFIG

Where the SDK cannot do what it should, a comment says so; the checks hold what it does do.
"""

import asyncio
import contextlib
import io
import json
import logging
import os
import queue
import subprocess
import sys
import tempfile
import threading
import tomllib
import traceback
import urllib.parse
import urllib.request
import warnings
from pathlib import Path

# This file has the name of the package: the folder of scripts is not where packages are.
sys.path.remove(str(Path(__file__).resolve().parent))

from pubnub.callbacks import SubscribeCallback  # noqa: E402
from pubnub.crypto import AesCbcCryptoModule, LegacyCryptoModule  # noqa: E402
from pubnub.enums import PNStatusCategory  # noqa: E402
from pubnub.exceptions import PubNubAsyncioException, PubNubException  # noqa: E402
from pubnub.pnconfiguration import PNConfiguration  # noqa: E402
from pubnub.pubnub import PubNub  # noqa: E402
from pubnub.pubnub_asyncio import PubNubAsyncio  # noqa: E402

FILESTORE, URL, CONFIG = sys.argv[1:]
STORE = tomllib.loads(Path(CONFIG).read_text())["stores"]["pubnub"]
SECRET, CIPHER = "sec-c-emulator", "clé-ключ-鍵"
LIMIT = 5 * 1024 * 1024

warnings.filterwarnings("ignore", message="Deprecated: Usage of local cipher_keys")
logging.getLogger("pubnub").setLevel(logging.CRITICAL)

passed = 0


def check(what, holds, seen=None):
    global passed
    if not holds:
        print(f"interop: {what}: {seen!r}", file=sys.stderr)
        end(1)
    passed += 1


def end(code):
    """Ends without the SDK's threads, which may wait for events for minutes."""
    sys.stdout.flush()
    os._exit(code)


def refused(what, status, call, *texts):
    """What a call raises, which names the status and what the service said."""
    try:
        seen = call()
    except PubNubException as error:
        text = str(error)
        check(f"{what} says {texts}", f"({status})" in text and all(part in text for part in texts), text)
    else:
        check(f"{what} is refused", False, seen)


# Our program: one store for each way to encrypt and to sign.

OURS = {
    "clear": {},
    "acrh": {"cipher_key": CIPHER},
    "legacy": {"cipher_key": CIPHER, "crypto": "legacy"},
    "signed": {"secret_key": SECRET},
    "signed-acrh": {"secret_key": SECRET, "cipher_key": CIPHER},
    "signed-legacy": {"secret_key": SECRET, "cipher_key": CIPHER, "crypto": "legacy"},
}


def write_config(path):
    tables = []
    for name, more in OURS.items():
        keys = "".join(f"{key} = {json.dumps(value)}\n" for key, value in (STORE | more).items())
        tables.append(f"[stores.{name}]\n{keys}")
    path.write_text("\n".join(tables))
    return path


def filestore(*args, config, store, code=0):
    command = [FILESTORE, "--config", config, "--store", store, "--quiet", *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    check(f"{store}: {args} exits with {code}", done.returncode == code, done)
    return done.stdout.strip()


def our_store(scheme, signed):
    scheme = scheme.removesuffix(" module")
    if not signed:
        return scheme
    return "signed" if scheme == "clear" else f"signed-{scheme}"


def reference(store, channel, file_id, name):
    parts = (urllib.parse.quote(part, safe="") for part in (channel, file_id, name))
    return f"{store}:pubnub:{'/'.join(parts)}"


def parts_of(text):
    """Channel, id and name of a reference."""
    return [urllib.parse.unquote(part) for part in text.split(":", 2)[2].split("/")]


# Their client: a bare cipher key is the legacy scheme, as its module is.

SCHEMES = ("clear", "acrh", "legacy", "legacy module")


def configuration(scheme="clear", signed=False, user="py thon~1"):
    config = PNConfiguration()
    config.publish_key, config.subscribe_key = STORE["publish_key"], STORE["subscribe_key"]
    config.user_id, config.origin, config.ssl = user, urllib.parse.urlsplit(URL).netloc, False
    if signed:
        config.secret_key = SECRET
    # Without `cipher_key` a crypto module is ignored for files, and they go up in the clear.
    if scheme != "clear":
        config.cipher_key = CIPHER
    if scheme == "acrh":
        config.crypto_module = AesCbcCryptoModule(config)
    if scheme == "legacy module":
        config.crypto_module = LegacyCryptoModule(config)
    return config


def stored(client, channel, name, content, **more):
    """Sends and announces a file; the message is kept, which is not the SDK's default."""
    send = client.send_file().channel(channel).file_name(name).file_object(content).should_store(True)
    for key, value in more.items():
        getattr(send, key)(value)
    return send.sync().result


def downloaded(client, channel, file):
    return client.download_file().channel(channel).file_id(file.file_id).file_name(file.name).sync().result.data


def last_message(client, channel, decrypt=False):
    fetch = client.fetch_messages().channels([channel]).maximum_per_channel(1).include_meta(True)
    fetch = fetch.include_message_type(True).include_uuid(True).include_custom_message_type(True)
    messages = fetch.include_message_actions(False).decrypt_messages(decrypt).sync().result.channels
    return messages[channel][-1]


def every_operation(folder, config, scheme, signed):
    """Each operation of the SDK, and each direction between it and us."""
    client = PubNub(configuration(scheme, signed))
    ours = our_store(scheme, signed)
    channel, encrypts = f"{scheme} {signed}/größe #1?%+~", scheme != "clear"
    content = os.urandom(200_000)
    path = folder / "theirs.bin"
    path.write_bytes(content)

    # Theirs: bytes, an open file, a stream in memory.
    sent = stored(client, channel, "my größe.bin", content, message={"text": "hi"}, ttl=222)
    check("a timetoken", len(sent.timestamp) == 17, vars(sent))
    with path.open("rb") as file:
        second = stored(client, channel, "b.bin", file)
    third = stored(client, channel, "c+d~e.bin", io.BytesIO(content))
    for file in (sent, second, third):
        check("their bytes come back", downloaded(client, channel, file) == content)

    # The message of the first: in the history as it was written.
    client.publish_file_message().channel(channel).file_id(sent.file_id).file_name(sent.name).message(
        {"text": "again"}
    ).should_store(True).sync()
    said = last_message(client, channel, decrypt=encrypts)
    file = {"id": sent.file_id, "name": sent.name}
    check("history", said.message == {"message": {"text": "again"}, "file": file}, said.message)
    check("a file message", (said.message_type, said.uuid) == (4, "py thon~1"), vars(said))
    if encrypts:
        check("an encrypted message is a text", isinstance(last_message(client, channel).message, str))

    # List, page by page, in the order of ids.
    listed, token = [], None
    while True:
        page = client.list_files().channel(channel).limit(2).next(token).sync().result
        check("count", page.count == len(page.data) <= 2, page.data)
        listed += page.data
        token = page.next
        if not token:
            break
    check("all of them", sorted(one["id"] for one in listed) == [one["id"] for one in listed], listed)
    check("names", {one["name"] for one in listed} == {"my größe.bin", "b.bin", "c+d~e.bin"}, listed)
    # 200,000 bytes are whole blocks: one of padding, and the header or the bare vector before them.
    size = 200_000 + {"clear": 0, "acrh": 16 + 26}.get(scheme, 16 + 16)
    check("stored sizes", {one["size"] for one in listed} == {size}, listed)

    # Theirs up, ours down.
    for file in (sent, second, third):
        saved = folder / f"ours-{file.file_id}"
        filestore("download", reference(ours, channel, file.file_id, file.name), "-o", saved, config=config, store=ours)
        check("their bytes in our file", saved.read_bytes() == content)
    seen = filestore("list", channel, "--all", "--json", config=config, store=ours)
    check("ours lists theirs", seen.count('"ref"') == 3 and sent.file_id in seen, seen)

    # Ours up, theirs down, with the message and its options.
    options = ["message={\"text\": \"<ours> & more\"}", "ttl=24", "custom_message_type=our-type"]
    # The SDK signs `meta` encoded twice, so only ours can sign it; both send it the same way.
    options.append('meta={"k": "v", "n": [1, 2.5]}')
    flags = [word for option in options for word in ("-O", option)]
    ref = filestore("upload", path, "--name", "from filestore größe.bin", "--to", channel, *flags, config=config, store=ours)
    where, file_id, name = parts_of(ref)
    check("the channel and the name", (where, name) == (channel, "from filestore größe.bin"), ref)
    get = client.download_file().channel(channel).file_id(file_id).file_name(name)
    check("our bytes in their hands", get.sync().result.data == content)
    said = last_message(client, channel, decrypt=encrypts)
    check("our message", said.message["message"] == {"text": "<ours> & more"}, said.message)
    check("our file in it", (said.message["file"]["id"], said.message["file"]["name"]) == (file_id, name), said.message)
    # The SDK asks the history for a message's label and drops it; a subscriber gets it, below.
    check("our meta", said.meta == {"k": "v", "n": [1, 2.5]}, vars(said))

    # The URL, good for whoever has it.
    url = client.get_file_url().channel(channel).file_id(file_id).file_name(name).sync().result.file_url
    stored_bytes = urllib.request.urlopen(url, timeout=10).read()
    check("the signed URL", len(stored_bytes) == size, len(stored_bytes))
    check("nothing in the clear" if encrypts else "in the clear", (stored_bytes == content) != encrypts)

    # Delete, theirs and ours.
    deleted = client.delete_file().channel(channel).file_id(file_id).file_name(name).sync().result
    check("delete", deleted.status == 200, vars(deleted))
    filestore("download", ref, "-o", folder / "gone", config=config, store=ours, code=3)
    filestore("delete", reference(ours, channel, sent.file_id, sent.name), config=config, store=ours)
    refused("a deleted file", 404, lambda: downloaded(client, channel, sent), "NoSuchKey")
    left = client.list_files().channel(channel).sync().result
    check("two are left", (left.count, left.next) == (2, None), left.data)


def keys_of_one_call(folder, config):
    """A cipher key for one file encrypts the file and its message, in the legacy scheme."""
    client = PubNub(configuration())
    sent = stored(client, "one call", "a.txt", b"hello", cipher_key=CIPHER)
    check("not in the clear", len(downloaded(client, "one call", sent)) == 32)
    get = client.download_file().channel("one call").file_id(sent.file_id).file_name("a.txt").cipher_key(CIPHER)
    check("decrypted", get.sync().result.data == b"hello")
    saved = folder / "one-call"
    filestore("download", reference("acrh", "one call", sent.file_id, "a.txt"), "-o", saved, config=config, store="acrh")
    check("by us too", saved.read_bytes() == b"hello")


def empty_files(folder, config):
    """The SDK refuses empty bytes, sends empty streams, and encrypts neither; we do both."""
    client = PubNub(configuration())
    sent = stored(client, "empty", "theirs", io.BytesIO(b""))
    check("empty", downloaded(client, "empty", sent) == b"")
    (folder / "empty").write_bytes(b"")
    saved = folder / "empty-saved"
    filestore("download", reference("clear", "empty", sent.file_id, "theirs"), "-o", saved, config=config, store="clear")
    check("empty for us", saved.read_bytes() == b"")
    for scheme in ("clear", "acrh", "legacy"):
        _, file_id, name = parts_of(
            filestore("upload", folder / "empty", "--to", "empty", config=config, store=scheme)
        )
        get = PubNub(configuration(scheme)).download_file().channel("empty").file_id(file_id).file_name(name)
        check(f"our empty file, {scheme}", get.sync().result.data == b"")


def limits(folder, config):
    """The largest file in each scheme, and one byte more."""
    client = PubNub(configuration())
    check("the largest", downloaded(client, "limit", stored(client, "limit", "l", b"x" * LIMIT)) == b"x" * LIMIT)
    refused("one byte more", 400, lambda: stored(client, "limit", "l", b"x" * (LIMIT + 1)), "EntityTooLarge", str(LIMIT + 1))
    path = folder / "large"
    for scheme, largest in [("acrh", LIMIT - 33), ("legacy", LIMIT - 17)]:
        theirs = PubNub(configuration(scheme))
        refused(f"{scheme}: one more", 400, lambda: stored(theirs, "limit", "l", b"x" * (largest + 1)), "EntityTooLarge")
        sent = stored(theirs, "limit", "l", b"x" * largest)
        saved = folder / f"large-{scheme}"
        filestore("download", reference(scheme, "limit", sent.file_id, "l"), "-o", saved, config=config, store=scheme)
        check("the largest of theirs is ours", saved.read_bytes() == b"x" * largest)
        path.write_bytes(b"y" * largest)
        _, file_id, name = parts_of(filestore("upload", path, "--to", "limit", config=config, store=scheme))
        get = theirs.download_file().channel("limit").file_id(file_id).file_name(name)
        check("the largest of ours is theirs", get.sync().result.data == b"y" * largest)
        path.write_bytes(b"y" * (largest + 1))
        filestore("upload", path, "--to", "limit", config=config, store=scheme, code=5)


class Listener(SubscribeCallback):
    def __init__(self):
        self.connected, self.files = threading.Event(), queue.Queue()

    def status(self, pubnub, status):
        if status.category == PNStatusCategory.PNConnectedCategory:
            self.connected.set()

    def file(self, pubnub, event):
        self.files.put(event)

    def message(self, pubnub, message):
        self.files.put(AssertionError(f"a file event came as a message: {message.message}"))

    def presence(self, pubnub, presence):
        pass


@contextlib.contextmanager
def subscribed(config, channel):
    """A subscriber, good for one file event: behind the first the SDK's own thread dies, since its
    subscriptions have no `file_message`."""
    threading.excepthook = lambda died: None if "file_message" in str(died.exc_value) else sys.__excepthook__(*died[:3])
    client, listener = PubNub(config), Listener()
    client.add_listener(listener)
    client.subscribe().channels([channel, "another room"]).execute()
    check("subscribed", listener.connected.wait(10))
    try:
        yield lambda: listener.files.get(timeout=10)
    finally:
        client.unsubscribe_all()
        client.stop()


def events(folder, config):
    """A subscriber hears of files, theirs and ours, kept in the history or not."""
    path = folder / "event.txt"
    path.write_bytes(b"an event")
    for scheme in SCHEMES:
        for signed in (False, True):
            channel = f"events {scheme} {signed}"
            theirs = configuration(scheme, signed)
            with subscribed(theirs, channel) as event:
                send = PubNub(theirs).send_file().channel(channel).file_name("a b.txt").file_object(b"x")
                send = send.message({"text": "théirs"}).custom_message_type("their-type")
                if not signed:
                    send = send.meta({"k": "v"})
                sent, seen = send.sync().result, event()
                check("their event", (seen.file_id, seen.file_name) == (sent.file_id, "a b.txt"), vars(seen))
                check("its message", seen.message == {"text": "théirs"}, seen.message)
                check("its time", seen.timetoken == int(sent.timestamp), seen.timetoken)
                check("its publisher", (seen.publisher, seen.channel) == ("py thon~1", channel), vars(seen))
                check("its type", seen.custom_message_type == "their-type", vars(seen))
                check("its meta", signed or seen.user_metadata == {"k": "v"}, vars(seen))
            with subscribed(theirs, channel) as event:
                ours = our_store(scheme, signed)
                flags = ["-O", 'message={"text": "öurs"}', "-O", 'meta={"k": "v"}', "-O", "should_store=false"]
                ref = filestore("upload", path, "--to", channel, *flags, config=config, store=ours)
                _, file_id, name = parts_of(ref)
                seen = event()
                check("our event", (seen.file_id, seen.file_name) == (file_id, name), vars(seen))
                check("our message", (seen.message, seen.user_metadata) == ({"text": "öurs"}, {"k": "v"}), vars(seen))
                check("our user", seen.publisher == STORE["user_id"], seen.publisher)
                # The event's own URL is the one that redirects; urllib wants it encoded.
                url = urllib.parse.quote(seen.file_url, safe=":/?&=%~")
                if not signed:
                    content = urllib.request.urlopen(url, timeout=10).read()
                    check("behind its URL", (content == b"an event") == (scheme == "clear"), content)


def errors():
    client = PubNub(configuration())
    sent = stored(client, "errors", "a.txt", b"x")
    refused("a page too large", 400, lambda: client.list_files().channel("errors").limit(101).sync(), "3001", "Files")
    refused("a channel with a comma", 400, lambda: stored(client, "a,b", "a", b"x"), "invalid characters")
    refused("a long channel", 400, lambda: stored(client, "a" * 93, "a", b"x"), "invalid characters")
    refused("a wrong name", 404, lambda: get(client, sent, "b.txt"), "NoSuchKey", "/b.txt</Key>")
    refused("a long message", 414, lambda: stored(client, "errors", "a", b"x", message="x" * 33_000), "Request URI")
    refused("a bad label", 400, lambda: stored(client, "errors", "a", b"x", custom_message_type="pn_x"), "custom_message_type")

    wrong = configuration()
    wrong.subscribe_key = "sub-c-unknown"
    refused("an unknown key", 400, lambda: PubNub(wrong).list_files().channel("a").sync(), "Invalid Subscribe Key")
    wrong = configuration(signed=True)
    wrong.secret_key = "sec-c-wrong"
    refused("a wrong secret", 403, lambda: PubNub(wrong).list_files().channel("a").sync(), "Invalid signature")
    # `meta` is encoded twice in what the SDK signs: no signature of a message with it can be right.
    signed = PubNub(configuration(signed=True))
    refused("a signed meta", 403, lambda: stored(signed, "errors", "a", b"x", meta={"k": "v"}), "Invalid signature")
    check("no meta", len(stored(signed, "errors", "a", b"x").timestamp) == 17)


def get(client, sent, name):
    return client.download_file().channel("errors").file_id(sent.file_id).file_name(name).sync()


def control(method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{URL}/_emulator/{path}", data=data, method=method)
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.loads(response.read() or b"null")


def tokens():
    """Access Manager, with a token and with the secret key."""
    keyset = f"pubnub/keysets/{STORE['subscribe_key']}"
    control("PATCH", keyset, {"access_manager": True})
    try:
        client = PubNub(configuration())
        refused("no token", 403, lambda: stored(client, "guarded", "a", b"x"), "Forbidden", '"channels":["guarded"]')
        rights = {"guarded": ["read", "write"]}
        token = control("POST", "pubnub/grants", {"subscribe_key": STORE["subscribe_key"], "channels": rights})["token"]
        client.set_token(token)
        sent = stored(client, "guarded", "a", b"x")
        check("with a token", downloaded(client, "guarded", sent) == b"x")
        delete = client.delete_file().channel("guarded").file_id(sent.file_id).file_name("a")
        refused("no right to delete", 403, delete.sync, "Forbidden")
        check("with the secret key", downloaded(PubNub(configuration(signed=True)), "guarded", sent) == b"x")
        control("DELETE", f"pubnub/grants/{token}")
        refused("a revoked token", 403, lambda: downloaded(client, "guarded", sent), "Token is revoked")
    finally:
        control("PATCH", keyset, {"access_manager": False})


async def asynchronous(folder, config, scheme, signed):
    """The same SDK on asyncio."""
    client = PubNubAsyncio(configuration(scheme, signed))
    channel, content = f"asyncio {scheme} {signed}/ä", os.urandom(100_000)
    ours = our_store(scheme, signed)

    send = client.send_file().channel(channel).file_name("my ä.bin").file_object(content).message({"test": 1})
    sent = (await send.should_store(True).ttl(222).future()).result
    check("a timetoken", len(sent.timestamp) == 17, vars(sent))
    get = client.download_file().channel(channel).file_id(sent.file_id).file_name(sent.name)
    check("their bytes come back", (await get.future()).result.data == content)
    url = (await client.get_file_url().channel(channel).file_id(sent.file_id).file_name(sent.name).future()).result
    check("the URL", url.file_url.startswith(f"{URL}/_storage/pubnub/"), url.file_url)
    listed = (await client.list_files().channel(channel).limit(10).future()).result
    check("list", (listed.count, listed.data[0]["id"]) == (1, sent.file_id), listed.data)
    publish = client.publish_file_message().channel(channel).file_id("fileID").file_name("k.jpg").ttl(22)
    if not signed:
        publish = publish.meta({"test": "test"})
    published = (await publish.message({"test_message": "test"}).future()).result
    check("published", published.timestamp > sent.timestamp, vars(published))

    saved = folder / "asyncio"
    theirs = reference(ours, channel, sent.file_id, sent.name)
    filestore("download", theirs, "-o", saved, "--force", config=config, store=ours)
    check("their bytes in our file", saved.read_bytes() == content)
    _, file_id, name = parts_of(filestore("upload", saved, "--to", channel, config=config, store=ours))
    get = client.download_file().channel(channel).file_id(file_id).file_name(name)
    check("our bytes in their hands", (await get.future()).result.data == content)

    listener = Listener()
    client.add_listener(listener)
    client.subscribe().channels(channel).execute()
    await in_time(listener.connected.is_set)
    _, file_id, _ = parts_of(filestore("upload", saved, "--to", channel, config=config, store=ours))
    await in_time(lambda: not listener.files.empty())
    event = listener.files.get()
    check("our event", (event.file_id, event.file_name) == (file_id, "asyncio"), vars(event))

    deleted = (await client.delete_file().channel(channel).file_id(sent.file_id).file_name(sent.name).future()).result
    check("delete", deleted.status == 200, vars(deleted))
    # A missing file is an exception that is returned, not raised.
    gone = client.download_file().channel(channel).file_id(sent.file_id).file_name(sent.name)
    error = await gone.future()
    check("gone", isinstance(error, PubNubAsyncioException) and error.status.status_code == 404, vars(error))
    await client.stop()


async def in_time(holds):
    for _ in range(200):
        if holds():
            break
        await asyncio.sleep(0.05)
    check("in ten seconds", holds())


async def asynchronously(folder, config):
    # The task that brought an event dies of the missing `file_message`, like the thread above.
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    for scheme in SCHEMES:
        for signed in (False, True):
            await asynchronous(folder, config, scheme, signed)


def everything(folder):
    config = write_config(folder / "stores.toml")
    for scheme in SCHEMES:
        for signed in (False, True):
            every_operation(folder, config, scheme, signed)
    keys_of_one_call(folder, config)
    empty_files(folder, config)
    limits(folder, config)
    events(folder, config)
    errors()
    tokens()
    asyncio.run(asynchronously(folder, config))


with tempfile.TemporaryDirectory() as scratch:
    try:
        everything(Path(scratch))
    except BaseException:
        traceback.print_exc()
        end(1)
print(f"{passed} passed, 0 failed")
end(0)
