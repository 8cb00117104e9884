"""
A desktop program with a webview (WebKitGTK) whose schemes and message port are in the hands of
whoever started it, over lines of JSON:

    in   {"load": url}
         {"answer": id, "status": 200, "headers": {…}}   then any number of
         {"answer": id, "body": base64}                  and
         {"answer": id, "end": true}
    out  {"ask": id, "url": url}                         a request of `app:` or `wsock:`
         {"cancel": id}                                  nobody reads its body any more
         {"message": value}                              window.webkit.messageHandlers.relay
         {"say": value}                                  window.webkit.messageHandlers.say

    python3 webview_host.py [SCRIPT]                     SCRIPT runs in each page before its own

Ends with its input. Needs gir1.2-webkit2-4.1, python3-gi and Xvfb.
"""
import base64
import ctypes
import json
import os
import queue
import subprocess
import sys
import threading

# A screen of its own.
ready, number = os.pipe()
screen = subprocess.Popen(
    ["Xvfb", "-displayfd", str(number), "-screen", "0", "800x600x24", "-nolisten", "tcp"],
    pass_fds=[number], stderr=subprocess.DEVNULL,
    # It goes with this process, however that goes: PR_SET_PDEATHSIG, SIGKILL.
    preexec_fn=lambda: ctypes.CDLL(None).prctl(1, 9),
)
os.close(number)
os.environ["DISPLAY"] = ":" + os.read(ready, 16).decode().strip()
os.environ["GDK_BACKEND"] = "x11"
os.environ.setdefault("WEBKIT_DISABLE_COMPOSITING_MODE", "1")

import gi  # noqa: E402

gi.require_version("Gtk", "3.0")
gi.require_version("Soup", "3.0")
gi.require_version("WebKit2", "4.1")
from gi.repository import Gio, GLib, Gtk, Soup, WebKit2  # noqa: E402


def tell(**what):
    print(json.dumps(what), flush=True)


class Answer:
    """The answer to one request: a pipe that a thread fills, as slowly as the page reads."""

    def __init__(self, number, request):
        self.number, self.request = number, request
        self.parts = queue.Queue()

    def head(self, status, headers):
        source, self.sink = os.pipe()
        stream = Gio.UnixInputStream.new(source, True)
        response = WebKit2.URISchemeResponse.new(stream, -1)
        response.set_status(status, None)
        fields = Soup.MessageHeaders.new(Soup.MessageHeadersType.RESPONSE)
        for name, value in headers.items():
            fields.append(name, value)
        response.set_content_type(headers.get("content-type", "application/octet-stream"))
        response.set_http_headers(fields)
        self.request.finish_with_response(response)
        threading.Thread(target=self.fill, daemon=True).start()

    def fill(self):
        try:
            while (part := self.parts.get()) is not None:
                while part:
                    part = part[os.write(self.sink, part):]
        except BrokenPipeError:
            tell(cancel=self.number)
        finally:
            os.close(self.sink)


answers = {}


def asked(request):
    number = len(answers)
    answers[number] = Answer(number, request)
    tell(ask=number, url=request.get_uri())


def told(line):
    if "load" in line:
        view.load_uri(line["load"])
    elif "status" in line:
        answers[line["answer"]].head(line["status"], line["headers"])
    else:
        body = line.get("body")
        answers[line["answer"]].parts.put(base64.b64decode(body) if body is not None else None)


def listen():
    for line in sys.stdin:
        GLib.idle_add(told, json.loads(line))
    GLib.idle_add(Gtk.main_quit)


def posted(name):
    def handler(_, result):
        print(json.dumps({name: "@"}).replace('"@"', result.get_js_value().to_json(0)), flush=True)
    return handler


contents = WebKit2.UserContentManager()
for handler, name in (("relay", "message"), ("say", "say")):
    contents.connect(f"script-message-received::{handler}", posted(name))
    contents.register_script_message_handler(handler)
if len(sys.argv) > 1:
    contents.add_script(WebKit2.UserScript.new(
        sys.argv[1],
        WebKit2.UserContentInjectedFrames.TOP_FRAME,
        WebKit2.UserScriptInjectionTime.START,
    ))
context = WebKit2.WebContext.new_ephemeral()
for scheme in ("app", "wsock"):
    context.register_uri_scheme(scheme, asked)
view = WebKit2.WebView(web_context=context, user_content_manager=contents)
window = Gtk.Window()
window.add(view)
window.show_all()
threading.Thread(target=listen, daemon=True).start()
try:
    Gtk.main()
finally:
    screen.kill()
    os._exit(0)  # threads that wait for the page have nothing to wait for
