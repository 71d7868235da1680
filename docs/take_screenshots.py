"""Pictures of a report in Chromium, on a desk and on a phone.

    python docs/take_screenshots.py RUN_OR_STUDY docs/images/NAME

Writes NAME.png (1400 × 900) and NAME-phone.png (390 × 844, two pixels a point). Needs Debian's package `chromium`.
"""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright


def main(folder: str, out: str) -> None:
    page_address = (Path(folder) / "report.html").resolve().as_uri()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, width, height, scale in (("", 1400, 900, 1), ("-phone", 390, 844, 2)):
            page = browser.new_page(viewport={"width": width, "height": height}, device_scale_factor=scale)
            page.goto(page_address)
            page.screenshot(path=f"{out}{name}.png")
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
