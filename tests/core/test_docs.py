"""docs/writing-a-service.md is run as it stands."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from vas import assembly
from vas.config import load

PAGE = Path(__file__).parents[2] / "docs" / "writing-a-service.md"
FILE = re.compile(r"^\*\*(?P<name>[\w\\/.]+)\*\*|^```(?:python|toml)\n(?P<code>.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the page's files: a block belongs to the file named last before it."""
    folder, files, name = tmp_path_factory.mktemp("docs"), dict[str, str](), ""
    for found in FILE.finditer(PAGE.read_text("utf-8")):
        name = (found["name"] or name).replace("\\", "")
        if found["code"]:
            files[name] = f"{files[name]}\n\n{found['code']}" if name in files else found["code"]
    for name, code in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(code, "utf-8")
    return folder


def test_the_page_writes_all_files_of_a_service(written: Path) -> None:
    files = {str(path.relative_to(written)) for path in written.rglob("*.*")}
    gift = {f"gift/{name}" for name in ("__init__.py", "texts.toml", "conftest.py", "test_gift.py")}
    assert files == {"config.toml", "pyproject.toml", *gift}


@pytest.mark.timeout(180)
@pytest.mark.parametrize("engines", [1, 2])
def test_the_tests_of_the_page_pass(written: Path, request: pytest.FixtureRequest, engines: int) -> None:
    postgres = {"VAS_TEST_POSTGRES": request.getfixturevalue("server").url("postgres")} if engines == 2 else {}
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "asyncio_mode=auto", "gift"],
        cwd=written, capture_output=True, text=True, timeout=150,
        env={"PYTHONPATH": f"{written}:{PAGE.parents[1]}", "PATH": "", "PYTHONDONTWRITEBYTECODE": "1", **postgres},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert re.search(rf"{9 * engines} passed", ran.stdout)


def test_the_service_of_the_page_is_found_and_switched_on(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packaged = tomllib.loads((written / "pyproject.toml").read_text("utf-8"))
    [(name, target)] = packaged["project"]["entry-points"][assembly.SERVICES].items()
    monkeypatch.syspath_prepend(written)
    monkeypatch.setattr(assembly, "entry_points", lambda group: [EntryPoint(name, target, group)])
    router = assembly.router(load(written / "config.toml", {}))
    assert router.mounted["gift"].config.daily_limit == 5
    found = router.sms("9106", "GIVE 0912345678 5")
    assert found is not None
    assert found.handler.name == "give_points"
