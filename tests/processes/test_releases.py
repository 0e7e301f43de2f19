"""Two releases work on one store, each from its own wheel.

There is no earlier release yet, so the later one is made up: from a copy of the
sources, with one more column, one more sealed field and a higher number of the schema.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from everbearer.stores import NewGrant, open_store, sealed_in
from everbearer.tokens import AccountKey, Token

ROOT = Path(__file__).parents[2]
WORKER = Path(__file__).with_name("release_worker.py")
KEY = AccountKey("billit", "acme")
TURNS = 10

NOTE = 'columns["note"] = row.get("note", "")'
ONCE = """if step != "add_note" or "note" not in {
    row["name"]
    for row in connection.execute("PRAGMA table_info(everbearer_records)")
}: """


def changed(place, *changes):
    """Change a file of the copy: what is not found any more must be made up anew."""
    text = place.read_text("utf-8")
    for pattern, new in changes:
        text, count = re.subn(pattern, new, text, flags=re.MULTILINE)
        assert count, f"{place.name}: no {pattern}"
    place.write_text(text, "utf-8")


def make_up_the_next_release(source):
    """A column ``note`` and a sealed field ``hint``, which every rotation may set."""
    stores, tokens = source / "stores", source / "tokens"
    changed(tokens / "_token.py", (r"^    scope: .*\n", r"\g<0>    hint: str = None\n"))
    changed(
        tokens / "_record.py", (r"^    rejections: .*\n", r'\g<0>    note: str = ""\n')
    )
    changed(
        stores / "_serialize.py",
        (r"^    scope: .*\n", r"\g<0>    hint: str | None = None\n"),
        (r'^ *"scope": token.scope,\n', r'\g<0>"hint": token.hint,'),
        (r'^ *"known": json.*\n', r'\g<0>"note": record.note,'),
        # A release adds what may be missing: others write records without it.
        (
            r'^( *)columns\["known"\] =',
            r'\1columns["note"] = row.get("note", "")\n\g<0>',
        ),
    )
    changed(
        stores / "_transitions.py",
        (
            r"^ *rejections=rotation.rejections,",
            r"\g<0>note=rotation.token.hint or record.note,",
        ),
    )
    for dialect in ("sqlite", "postgres"):
        changed(
            stores / "sql" / f"{dialect}.sql",
            (
                r"token_origin\s*=\s*(:|excluded\.)token_origin,",
                # A blank before the comma, or the next pattern finds it too.
                r"token_origin = \1token_origin , note = \1note,",
            ),
            (r"(:?)\btoken_origin,", r"\1token_origin, \1note,"),
            (
                r"^-- name: read_meta",
                "-- name: add_note\n-- What is new.\nALTER TABLE "
                + ("everbearer_records" if dialect == "sqlite" else "@records")
                + " ADD COLUMN"
                + (" IF NOT EXISTS" if dialect == "postgres" else "")
                + " note TEXT NOT NULL DEFAULT '';\n\n\\g<0>",
            ),
        )
    number = (r"^_SCHEMA: Final = \d+", "_SCHEMA: Final = 98")
    step = (r'"create_due_index"\)', r'"create_due_index", "add_note")')
    changed(stores / "postgres.py", number, step)
    changed(stores / "redis.py", number)
    changed(
        stores / "_sqlite_schema.py",
        number,
        step,
        (
            r"^( *)connection.execute\(SQL\[step\]\)",
            rf"\1{ONCE}connection.execute(SQL[step])",
        ),
    )


def installed(folder, change=None):
    """Build a wheel of a copy of the sources, and install it into *folder*."""
    copy = folder / "copy"
    copy.mkdir(parents=True)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    shutil.copytree(ROOT / "src", copy / "src")
    if change is not None:
        change(copy / "src" / "everbearer")
    python = [sys.executable, "-m"]
    build = ["hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run([*python, *build], cwd=copy, check=True, stdout=subprocess.DEVNULL)
    (wheel,) = folder.glob("*.whl")
    place = folder / "installed"
    install = ["install", "--no-deps", "--no-index", "--no-compile", "-qq"]
    words = ["pip", "--disable-pip-version-check", *install, "--target", place, wheel]
    subprocess.run([*python, *map(str, words)], check=True, stdout=subprocess.DEVNULL)
    return place


@pytest.fixture(scope="module", name="releases")
def _releases(tmp_path_factory):
    """Where this release and the next one are."""
    folder = tmp_path_factory.mktemp("releases")
    with ThreadPoolExecutor() as threads:
        this = threads.submit(installed, folder / "this")
        after = threads.submit(installed, folder / "next", make_up_the_next_release)
        return {"this": this.result(), "next": after.result()}


async def run(releases, release, url, times):
    """A process of *release*, to its end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *(str(WORKER), str(releases[release]), url, release, str(times)),
        env={**os.environ, "PYTHONPATH": str(releases[release])},
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(30):
            _, complained = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert complained.decode() == ""


@pytest.mark.asyncio
async def test_a_release_and_the_next_one_at_once(releases, store_url):
    """They take turns; neither loses what only the other knows."""
    store = open_store(store_url)
    await store.open()
    await store.put(KEY, NewGrant("i0", Token("access", "refresh"), "id", "origin"))
    async with asyncio.TaskGroup() as group:  # One that fails ends the other.
        for release in releases:
            group.create_task(run(releases, release, store_url, TURNS))
    # This release, as the last one to look.
    record = await store.load(KEY)
    assert record.version == 2 * TURNS + 1
    assert record.token.refresh_token == f"refresh of this {TURNS - 1}"
    (row,) = [row async for row in (await sealed_in(store)).all()]
    assert row.columns["note"] == f"hint {TURNS - 1}"
    await store.aclose()
