"""A page in headless Chromium, asked over its DevTools protocol what it says and how wide it is."""

import asyncio
import base64
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@dataclass
class Looked:
    """What was seen: complaints, the width that the page wants, its requests, and a picture."""

    complaints: list[str] = field(default_factory=list)
    width: int = 0
    requests: list[str] = field(default_factory=list)
    background: str = ""
    picture: bytes = b""


def look_at(path: Path, profile: Path, width: int = 1280, dark: bool = False) -> Looked:
    """Opens a page.

    Args:
        path: Of the page.
        profile: An empty folder for the browser.
        width: Of the screen in pixels; a narrow one is a phone's.
        dark: Whether the reader prefers the dark.
    """
    command = [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"]
    command += ["--hide-scrollbars", "--no-first-run", f"--user-data-dir={profile}", "about:blank"]
    browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        return asyncio.run(_look(path, _port(profile), width, dark))
    finally:
        browser.terminate()
        browser.wait(30)


def _port(profile: Path) -> str:
    for _ in range(600):
        told = profile / "DevToolsActivePort"
        if told.exists() and told.read_text().strip():
            return told.read_text().split()[0]
        time.sleep(0.1)
    raise TimeoutError("Chromium does not answer")


async def _look(path: Path, port: str, width: int, dark: bool) -> Looked:
    seen, answers, loaded, number = Looked(), {}, asyncio.Event(), 0
    async with aiohttp.ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{port}/json/list") as response:
            address = next(one for one in await response.json() if one["type"] == "page")["webSocketDebuggerUrl"]
        async with session.ws_connect(address, max_msg_size=1 << 28) as socket:

            async def listen():
                async for message in socket:
                    content = message.json()
                    method, told = content.get("method"), content.get("params", {})
                    if "id" in content and content["id"] in answers:
                        answers[content["id"]].set_result(content.get("result", content.get("error")))
                    elif method == "Page.loadEventFired":
                        loaded.set()
                    elif method == "Network.requestWillBeSent":
                        seen.requests.append(told["request"]["url"])
                    elif method in ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown"):
                        seen.complaints.append(str(told)[:300])

            async def ask(method, **params):
                nonlocal number
                number += 1
                answers[number] = asyncio.get_running_loop().create_future()
                await socket.send_json({"id": number, "method": method, "params": params})
                return await asyncio.wait_for(answers[number], 60)

            listening = asyncio.create_task(listen())
            for domain in ("Page", "Log", "Runtime", "Network"):
                await ask(f"{domain}.enable")
            is_phone = width < 600
            screen = {"width": width, "height": 850, "deviceScaleFactor": 2 if is_phone else 1, "mobile": is_phone}
            await ask("Emulation.setDeviceMetricsOverride", **screen)
            scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
            await ask("Emulation.setEmulatedMedia", features=[scheme])
            await ask("Page.navigate", url=path.as_uri())
            await asyncio.wait_for(loaded.wait(), 60)
            measured = "[document.documentElement.scrollWidth, getComputedStyle(document.body).backgroundColor]"
            found = await ask("Runtime.evaluate", expression=measured, returnByValue=True)
            seen.width, seen.background = found["result"]["value"]
            shot = await ask("Page.captureScreenshot", format="png", captureBeyondViewport=True)
            seen.picture = base64.b64decode(shot["data"])
            listening.cancel()
    return seen
