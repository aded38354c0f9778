"""The official Python SDK of Files.com does one job, with its defaults.

It has no method that deletes several files; a pool of threads with Python's default size deletes them.

Usage: filescom.py URL API_KEY {up,down,delete,delete-list} SCOPE FOLDER
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import files_sdk

URL, API_KEY, JOB, SCOPE, FOLDER = sys.argv[1:]
files_sdk.base_url = URL
files_sdk.set_api_key(API_KEY)

if JOB == "up":
    files_sdk.file.upload_directory(FOLDER, SCOPE)
elif JOB == "down":
    files_sdk.file.download_directory(SCOPE, FOLDER)
elif JOB == "delete":
    files_sdk.file.delete(SCOPE, {"recursive": True})
else:
    paths = [f"{SCOPE}/{path.name}" for path in Path(FOLDER).iterdir()]
    with ThreadPoolExecutor() as pool:
        # Without `list`, the errors are lost.
        list(pool.map(files_sdk.file.delete, paths))
