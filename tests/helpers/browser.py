"""A real browser for the tests of the page: headless Chromium, with the log of its console and of its network."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CHROMIUM, DRIVER = (shutil.which(name) for name in ("chromium", "chromedriver"))
MISSING = None if CHROMIUM and DRIVER else "no Chromium here: apt-get install chromium chromium-driver"

_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1280,900"),
)


@contextmanager
def chromium(*flags: str) -> Iterator["WebDriver"]:  # noqa: F821  selenium takes a second to import
    """A browser with a profile of its own, which goes with it."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for flag in (*_FLAGS, f"--user-data-dir={profile}", *flags):
            options.add_argument(flag)
        driver = webdriver.Chrome(options, Service(DRIVER, log_output=os.devnull))
        try:
            yield driver
        finally:
            driver.quit()


def open_page(driver, page: Path) -> dict[str, list[str]]:
    """Opens a file and returns what the console said and which addresses were asked for, the page's own left out."""
    driver.get("about:blank")
    driver.get_log("browser"), driver.get_log("performance")  # what the browser did by itself
    driver.get(page.resolve().as_uri())
    return {"console": console(driver), "requests": requests(driver, page)}


def console(driver) -> list[str]:
    return [entry["message"] for entry in driver.get_log("browser")]


def requests(driver, page: Path) -> list[str]:
    """Addresses asked for since the last call; what lies in the page itself (data:) is no request."""
    events = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    return [url for url in asked if not url.startswith("data:") and url.partition("#")[0] != page.resolve().as_uri()]
