"""The report page in a browser: its slider moves, nothing is loaded, nothing complains."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from defilter.study import transfer

SCRIPT = """
import json, sys
from PyQt6.QtCore import QUrl
from PyQt6.QtWebEngineCore import QWebEnginePage, QWebEngineUrlRequestInterceptor
from PyQt6.QtWidgets import QApplication

MOVE = '''(() => {
  const slider = document.querySelector(".pair input");
  slider.value = 80;
  slider.dispatchEvent(new Event("input"));
  const cut = getComputedStyle(slider.parentElement.querySelector(".after")).clipPath;
  const broken = [...document.images].filter(i => !i.naturalWidth).length;
  return JSON.stringify([cut, document.images.length, broken]);
})()'''

application = QApplication(sys.argv[:1])
messages, requests = [], []

class Page(QWebEnginePage):
    def javaScriptConsoleMessage(self, level, message, line, source):
        messages.append(message)

class Interceptor(QWebEngineUrlRequestInterceptor):
    def interceptRequest(self, info):
        requests.append(info.requestUrl().scheme())

def finish(moved):
    print(json.dumps([moved and json.loads(moved), messages, requests]))
    application.quit()

page, interceptor = Page(), Interceptor()
page.profile().setUrlRequestInterceptor(interceptor)
page.loadFinished.connect(lambda _: page.runJavaScript(MOVE, finish))
page.load(QUrl.fromLocalFile(sys.argv[1]))
application.exec()
"""


def _webengine() -> bool:
    return importlib.util.find_spec("PyQt6.QtWebEngineCore") is not None


@pytest.mark.slow
def test_the_report_in_a_browser(tmp_path: Path) -> None:
    if importlib.util.find_spec("PyQt6") is None or not _webengine():
        pytest.skip("no headless Chromium here: pip install -e '.[browser]'")
    transfer.run(None, None, str(tmp_path), None, None)
    settings = {"QT_QPA_PLATFORM": "offscreen", "QTWEBENGINE_CHROMIUM_FLAGS": "--no-sandbox"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "report.html")],
        capture_output=True, text=True, timeout=120, env=os.environ | settings, check=False,
    )  # fmt: skip
    if done.returncode and "Error: lib" in done.stderr:  # of the system
        pytest.skip(f"Chromium does not start here: {done.stderr.strip().splitlines()[-1]}")
    (cut, images, broken), messages, requests = json.loads(done.stdout.strip().splitlines()[-1])
    assert cut == "inset(0px 0px 0px 80%)"
    assert images >= 2 * 6 + 2 * 5 and broken == 0  # sliders; maps of the photos
    assert messages == []
    assert set(requests) <= {"file", "data"} and requests.count("file") == 1
