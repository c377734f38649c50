"""A shop of three products in the shapes of WebShop's pages: ids, classes, forms, addresses, and a last page that tells
everything. Written for these tests."""

from __future__ import annotations

import ast
import html
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, unquote

CANARY = "canary-goal"
GOALS = [(f"Find me a mug {n}, and price lower than 20.00 dollars", f"B0{n}") for n in range(3)]
PRODUCTS = {
    "B00": ("Blue mug", "$12.0", {"color": ["blue", "light blue | grey"], "size": ["s", "xl"]}),
    "B01": ("Red mug", "$14.0", {}),
    "B02": ("Tea <pot> & lid", "$55.0", {}),
}


class Shop(BaseHTTPRequestHandler):
    visits: list[tuple[str, str]] = []
    broken: str = ""

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, *_: object) -> None: ...

    def _answer(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers.get("content-length") or 0)).decode())
        type(self).visits.append((self.command, self.path))
        parts = [unquote(part) for part in self.path.strip("/").split("/")]
        if self.broken and self.broken in self.path:
            self._send(500, "oh no")
        elif "search_query" in form:
            words = form["search_query"][0].lower().split(" ")
            self._send(302, "", f"/search_results/{parts[0]}/{quote(str(words))}/1")
        elif len(parts) == 1:
            self._send(200, start(parts[0]))
        elif parts[0] == "search_results":
            self._send(200, results(*parts[1:]))
        elif parts[0] == "item_page":
            self._send(200, item(*parts[1:]))
        elif parts[0] == "item_sub_page":
            self._send(200, page(parts[1], "<p class='product-info'>Made of clay.</p>"))
        elif parts[0] == "done":
            self._send(200, done(parts[1], parts[2], ast.literal_eval(parts[3])))
        else:
            self._send(404, "")

    def _send(self, status: int, text: str, location: str = "") -> None:
        self.send_response(status)
        if location:
            self.send_header("location", location)
        body = text.encode()
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def page(session: str, inner: str) -> str:
    wish = GOALS[int(session.split("_")[-1])][0]
    return (
        "<html><head><title>Shop</title><style>.x{}</style></head><body>"
        f'<div id="instruction-text"><h4>Instruction: <br>{wish}</h4></div>{inner}'
        f"<script>let goal = '{CANARY}';</script></body></html>"
    )


def button(label: str, action: str, kind: str = "btn") -> str:
    return f'<form method="post" action="{action}"><button type="submit" class="{kind}">{label}</button></form>'


def start(session: str) -> str:
    bar = '<input id="search_input" type="text" name="search_query"><button class="btn" type="submit">Search</button>'
    return page(session, f'<form method="post" action="/{session}">{bar}</form><iframe src="http://x">no</iframe>')


def results(session: str, words: str, number: str) -> str:
    links = "".join(
        f'<h4><a class="product-link" href="/item_page/{session}/{asin}/{quote(words)}/1/{{}}">{asin}</a></h4>'
        f"<h4>{html.escape(name)}</h4><h5>{price}</h5>"
        for asin, (name, price, _) in PRODUCTS.items()
    )
    old = f'<!-- <a class="product-link" href="/done/{session}/B00/{{}}">OLD</a> -->'
    more = button("Next &gt;", f"/search_results/{session}/{quote(words)}/{int(number) + 1}")
    return page(session, f"<p>Page {number}</p>{button('Back to Search', f'/{session}')}{more}{old}{links}")


def item(session: str, asin: str, words: str, number: str, options: str) -> str:
    name, price, kinds = PRODUCTS[asin]
    chosen = ast.literal_eval(options)
    here = f"{session}/{asin}/{quote(words)}/{number}"
    radios = "".join(
        f'<input type="radio" name="{kind}" value="{value}" '
        f'data-url="/item_page/{here}/{quote(str({**chosen, kind: value}))}">'
        f"<label>{value}</label>"
        for kind, values in kinds.items()
        for value in values
    )
    back = button("&lt; Back to Results", f"/search_results/{session}/{quote(words)}/{number}")
    about = button("Description", f"/item_sub_page/{here}/Description/{quote(options)}")
    buy = button("Buy Now", f"/done/{session}/{asin}/{quote(options)}", "btn purchase")
    return page(session, f"{back}{radios}<h2>{html.escape(name)}</h2><h4>Price: {price}</h4>{about}{buy}")


def done(session: str, asin: str, options: dict[str, str]) -> str:
    right = asin == GOALS[int(session.split("_")[-1])][1]
    reward = (0.5 + 0.5 * (options.get("size") == "xl")) if right else 0.0
    told = {"r_type": 1.0, "r_price": True}
    return (
        f'<div style="display:none"><h4 id="goal-asin">asin<pre>{CANARY}</pre></h4></div>'
        f'<h3 id="reward">Your score (min 0.0, max 1.0)<pre>{reward}</pre></h3>'
        f'<h4 hidden>Details <div id="reward_info"><pre>{html.escape(repr(told))}</pre></div></h4>'
    )


@contextmanager
def opened() -> Iterator[str]:
    Shop.visits, Shop.broken = [], ""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Shop)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join(10)
