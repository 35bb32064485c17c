"""The description and the listener agree, also on inputs that nobody thought of."""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from tests.admin.conftest import World

# That a number must exist is more than a pattern can say. Real ids lead past the answer "not found".
SETTINGS = """
[[operations]]
include-name = "GET /admin/v1/messages"
checks.positive_data_acceptance.enabled = false

[[operations]]
include-name = "GET /admin/v1/messages/{{id}}"
parameters = {{ "path.id" = "{message}" }}

[[operations]]
include-name = "GET /admin/v1/messages/{{id}}/whereabouts"
parameters = {{ "path.id" = "{reply}" }}

[[operations]]
include-name = "POST /admin/v1/messages/{{id}}/cancel"
parameters = {{ "path.id" = "{reply}" }}

[[operations]]
include-name = "POST /admin/v1/messages/{{id}}/replace"
parameters = {{ "path.id" = "{reply}" }}

[[operations]]
include-name = "GET /admin/v1/accounts/{{name}}"
parameters = {{ "path.name" = "main" }}

[[operations]]
include-name = "POST /admin/v1/accounts/{{name}}/drain"
parameters = {{ "path.name" = "main" }}

[[operations]]
include-name = "POST /admin/v1/accounts/{{name}}/stop"
parameters = {{ "path.name" = "main" }}

[[operations]]
include-name = "POST /admin/v1/accounts/{{name}}/start"
parameters = {{ "path.name" = "main" }}

[[operations]]
include-name = "POST /admin/v1/cost"
checks.positive_data_acceptance.enabled = false

[[operations]]
include-name = "GET /admin/v1/dead-letters/{{id}}"
parameters = {{ "path.id" = "{letter}" }}

[[operations]]
include-name = "POST /admin/v1/dead-letters/{{id}}/replay"
parameters = {{ "path.id" = "{letter}" }}
"""


@pytest.mark.timeout(180)
async def test_the_listener_does_what_its_description_says(world: World, tmp_path: Path) -> None:
    message, letter, reply = await world.received(), await world.failed(), await world.sent()
    (tmp_path / "schemathesis.toml").write_text(SETTINGS.format(message=message, letter=letter, reply=reply))
    # A minute passes with each request, so that trying wrong keys is never held back.
    world.clock.step = timedelta(minutes=1)
    run = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("st"),
        "run", str(world.client.make_url("/admin/openapi.json")),
        "--header", f"Authorization: Bearer {world.keys['admin']}",
        "--max-examples", "10", "--seed", "1", "--generation-deterministic",
        "--phases", "examples,coverage,fuzzing", "--no-color",
        cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    report, _ = await run.communicate()
    assert run.returncode == 0, report.decode()
    assert world.operations.replayed
    assert {order for _, order in world.accounts.orders} == {"drain", "stop", "start"}
    assert {what.split()[0] for what, *_ in world.accounts.recalled} == {"whereabouts", "cancel", "replace"}
