"""The page in a real browser: Debian's chromium and chromium-driver, driven by Selenium.

SCREENSHOTS=FOLDER keeps the pictures.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import socket
import subprocess
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn
from PIL import Image
from selenium import webdriver
from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select, WebDriverWait

from pipeline.restoring.restorer import Restorer
from pipeline.serving.service.app import Face
from pipeline.serving.service.offered_models import describe
from pipeline.serving.service.page_files import page_files
from pipeline.serving.service.settings import Limits, ServeSettings
from pipeline.serving.service.versions import resolve
from tests.pipeline.serving.service.asgi import call
from tests.pipeline.serving.service.conftest import Here

pytestmark = pytest.mark.slow
NAME, WAIT_S = "unified_color", 300
AXE = "axe-core@4.14.1"
MISSING = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]


class Desk(Here):
    async def models(self) -> list[dict[str, Any]]:
        version, folder = resolve(f"shipped:{NAME}")
        return [{"name": NAME, "problem": "", **describe(version, folder)}]


@pytest.fixture(scope="module")
def app() -> Any:
    version, folder = resolve(f"shipped:{NAME}")
    limits = Limits(max_pixels=1_000_000)
    desk = Desk(Restorer(folder, device="cpu"), limits, versions={NAME: version})
    return Face(ServeSettings(models={NAME: "x"}, limits=limits), desk).app()


@pytest.fixture(scope="module")
def address(app: Any) -> Iterator[str]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()  # from here on a caller waits; the server's thread may start later
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([listening])))
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    if MISSING:
        pytest.skip(f"{' and '.join(MISSING)} not found: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for flag in ("headless=new", "no-sandbox", "disable-gpu", "window-size=1400,1000", "disable-dev-shm-usage"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(str(shutil.which("chromedriver"))))
    driver.set_page_load_timeout(WAIT_S)
    driver.set_script_timeout(WAIT_S)
    yield driver
    driver.quit()


@pytest.fixture
def page(browser: webdriver.Chrome, address: str) -> webdriver.Chrome:
    browser.get(address)
    wait(browser, lambda: len(Select(browser.find_element(By.ID, "model")).options) == 1)
    return browser


def wait(page: webdriver.Chrome, condition: Callable[[], Any]) -> Any:
    return WebDriverWait(page, WAIT_S, 0.1).until(lambda _: condition())


def text(page: webdriver.Chrome, element: str) -> str:
    return page.find_element(By.ID, element).text


def choose_sample(page: webdriver.Chrome, name: str) -> None:
    Select(page.find_element(By.ID, "sample")).select_by_visible_text(name)
    wait(page, lambda: text(page, "status").startswith("Restored in"))


def pixels(page: webdriver.Chrome) -> np.ndarray:
    """What stands on the canvas."""
    url = page.execute_script("return document.getElementById('canvas').toDataURL('image/png')")
    return np.asarray(Image.open(BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGB"))


def keep(page: webdriver.Chrome, name: str) -> None:
    if folder := os.environ.get("SCREENSHOTS"):
        page.save_screenshot(str(Path(folder) / f"{name}.png"))


def set_range(page: webdriver.Chrome, element: str, value: object) -> None:
    page.execute_script(
        "const e = document.getElementById(arguments[0]); e.value = arguments[1];"
        "e.dispatchEvent(new Event('input', {bubbles: true}))",
        element, str(value),
    )  # fmt: skip


def sample(name: str) -> bytes:
    return page_files()[f"/page/samples/{name}"][0]


def test_a_sample_is_restored_compared_and_downloaded(page: webdriver.Chrome, app: Any, tmp_path: Path) -> None:
    choose_sample(page, "Cat with noise, σ 25")
    numbers = text(page, "numbers")
    assert "dB before" in numbers
    assert "(+" in numbers  # it gained
    keep(page, "page-light")

    link = page.find_element(By.ID, "download")
    assert link.get_attribute("download") == "restored-cat-noisy.png"
    page.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    link.click()
    downloaded = tmp_path / "restored-cat-noisy.png"
    wait(page, lambda: downloaded.is_file() and not list(tmp_path.glob("*.crdownload")))
    reply = call(app, "POST", f"/v1/restore/{NAME}?k=16&strength=1", sample("cat-noisy.png"))
    assert downloaded.read_bytes() == reply.body

    page.find_element(By.CSS_SELECTOR, "input[value=after]").click()
    page.find_element(By.ID, "one-to-one").click()
    shown = pixels(page)
    restored = np.asarray(Image.open(BytesIO(reply.body)).convert("RGB"))
    top, left = (int(side / 2 - 96 + 0.5) for side in shown.shape[:2])  # as JavaScript rounds
    np.testing.assert_array_equal(shown[top : top + 192, left : left + 192], restored)  # one to one, to the pixel

    page.find_element(By.CSS_SELECTOR, "input[value=slider]").click()
    before = np.asarray(Image.open(BytesIO(sample("cat-noisy.png"))).convert("RGB"))
    half = pixels(page)[top : top + 192, left : left + 192]
    np.testing.assert_array_equal(half[:, :90], before[:, :90])
    np.testing.assert_array_equal(half[:, 102:], restored[:, 102:])

    page.find_element(By.ID, "divider").send_keys(Keys.HOME)  # by keyboard: all of it is after
    np.testing.assert_array_equal(pixels(page)[top : top + 192, left : left + 192], restored)
    viewer = page.find_element(By.ID, "viewer")
    viewer.send_keys(Keys.ARROW_RIGHT)
    np.testing.assert_array_equal(pixels(page)[top : top + 192, left - 40 : left + 152], restored)
    viewer.send_keys("+")
    assert not np.array_equal(pixels(page)[top : top + 192, left - 40 : left + 152], restored)
    page.find_element(By.CSS_SELECTOR, "input[value=difference]").click()
    page.find_element(By.ID, "one-to-one").click()
    assert abs(int(pixels(page)[top + 96, left + 96].mean()) - 128) < 100


def test_strength_zero_is_the_picture_itself(page: webdriver.Chrome) -> None:
    choose_sample(page, "Cat with noise, σ 25")
    set_range(page, "strength", 0)
    wait(page, lambda: "(+0.00)" in text(page, "numbers"))
    assert page.find_element(By.ID, "strength-shown").text == "0.00"


def test_a_pixel_shows_its_keys(page: webdriver.Chrome, app: Any) -> None:
    choose_sample(page, "Cup as JPEG of quality 10")
    plain = pixels(page)
    ActionChains(page).click(page.find_element(By.ID, "canvas")).perform()
    wait(page, lambda: "keys in" in text(page, "status"))
    assert not np.array_equal(pixels(page), plain)
    keep(page, "page-keys")
    row, column = (page.find_element(By.ID, name).get_attribute("value") for name in ("row", "column"))
    assert {row, column} <= {"95", "96"}  # the middle of the picture, up to rounding
    found = call(app, "POST", f"/v1/keys/{NAME}?y={row}&x={column}&k=16", sample("cup-jpeg.jpg"))
    stages = Select(page.find_element(By.ID, "stage-choice")).options
    assert [option.text.split(" keys")[0] for option in stages] == [
        f"{stage['name']}: {len(stage['keys'])}" for stage in json.loads(found.body)["stages"]
    ]
    page.find_element(By.ID, "hide-keys").click()
    np.testing.assert_array_equal(pixels(page), plain)


def test_psnr_against_k_is_measured(page: webdriver.Chrome) -> None:
    choose_sample(page, "Rocket, soft by one pixel")
    for summary in page.find_elements(By.CSS_SELECTOR, ".side summary"):
        if "PSNR against k" in summary.text:
            summary.click()
    page.find_element(By.ID, "measure").click()
    wait(page, lambda: text(page, "status") == "Measured.")
    assert len(page.find_elements(By.CSS_SELECTOR, "#k-curve tbody tr")) >= 5


def test_a_dropped_file_and_what_is_no_picture(page: webdriver.Chrome) -> None:
    drop = """
        const [name, base64] = arguments, data = new DataTransfer();
        const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
        data.items.add(new File([bytes], name));
        document.getElementById("viewer").dispatchEvent(new DragEvent("drop", {dataTransfer: data, cancelable: true}));
    """
    page.execute_script(drop, "mine.jpg", base64.b64encode(sample("cup-jpeg.jpg")).decode())
    wait(page, lambda: text(page, "status").startswith("Restored in"))
    assert page.find_element(By.ID, "download").get_attribute("download") == "restored-mine.jpg"
    page.execute_script(drop, "notes.png", base64.b64encode(b"not a picture").decode())
    wait(page, lambda: page.find_element(By.ID, "error").is_displayed())
    assert "not an image" in text(page, "error")
    assert page.find_element(By.ID, "download").get_attribute("href") is None  # not the picture before
    assert text(page, "numbers") == ""
    assert len(np.unique(pixels(page))) == 1
    tiff = BytesIO()
    Image.open(BytesIO(sample("cup-jpeg.jpg"))).save(tiff, "TIFF")  # which no browser shows by itself
    page.execute_script(drop, "scan.tif", base64.b64encode(tiff.getvalue()).decode())
    wait(page, lambda: text(page, "status").startswith("Restored in"))
    assert not page.find_element(By.ID, "error").is_displayed()
    assert "192 × 192" in text(page, "numbers")
    missed = "return !document.body.dispatchEvent(new DragEvent('drop', {bubbles: true, cancelable: true}))"
    assert page.execute_script(missed)  # the page stays


def test_nothing_comes_from_elsewhere_and_nothing_is_complained_of(page: webdriver.Chrome, address: str) -> None:
    choose_sample(page, "Cat with noise, σ 25")
    loaded = page.execute_script("return performance.getEntriesByType('resource').map((one) => one.name)")
    assert loaded
    assert all(one.startswith((address, f"blob:{address}")) for one in loaded)
    severe = [line["message"] for line in page.get_log("browser") if line["level"] == "SEVERE"]
    assert [line for line in severe if "favicon" not in line and "422" not in line and "415" not in line] == []


def test_on_a_phone_and_in_the_dark(page: webdriver.Chrome) -> None:
    try:
        page.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride", {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
        )
        dark = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
        choose_sample(page, "Cat with noise, σ 25")
        assert page.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
        background = page.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert background == "rgb(18, 23, 21)"
        page.execute_script("document.getElementById('viewer').scrollIntoView()")
        keep(page, "page-phone-dark")
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The accessibility checker, from npm."""
    folder = tmp_path_factory.mktemp("axe")
    if shutil.which("npm") is None:
        pytest.skip(f"no npm to fetch {AXE} with")
    if subprocess.run(["npm", "pack", "--silent", AXE], cwd=folder, capture_output=True, check=False).returncode:
        pytest.skip(f"npm could not fetch {AXE}")
    with tarfile.open(next(folder.glob("*.tgz"))) as package:
        member = package.extractfile("package/axe.min.js")
        assert member is not None
        return member.read().decode()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(page: webdriver.Chrome, axe: str, scheme: str) -> None:
    features = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", features)
    choose_sample(page, "Cat with noise, σ 25")
    page.execute_script("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    page.execute_script(axe)
    found = page.execute_async_script("axe.run().then(arguments[0])")
    serious = [one for one in found["violations"] if one["impact"] in ("serious", "critical")]
    assert [(one["id"], [node["target"] for node in one["nodes"]]) for one in serious] == []


def test_keyboard_reaches_every_control(page: webdriver.Chrome) -> None:
    reached = set()
    deadline = time.monotonic() + WAIT_S
    while len(reached) < 100 and time.monotonic() < deadline:
        ActionChains(page).send_keys(Keys.TAB).perform()
        here = page.execute_script("return document.activeElement.id || document.activeElement.value || ''")
        if here in reached and here == "file":
            break
        reached.add(here)
    wanted = {"file", "sample", "truth", "model", "k", "strength", "zoom-in", "viewer", "divider", "row", "show-keys"}
    assert wanted <= reached
