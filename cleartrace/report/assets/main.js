// Start: theme button, then the browser. `#t=12` in the address opens trajectory 12.

function themeButton() {
  const button = document.getElementById("theme"), themes = ["auto", "light", "dark"];
  button.hidden = false;
  button.addEventListener("click", () => {
    const theme = themes[(themes.indexOf(document.documentElement.dataset.theme ?? "auto") + 1) % themes.length];
    document.documentElement.dataset.theme = theme;
    button.textContent = "Theme: " + theme;
  });
}

async function startBrowser() {
  const { chunkRows, rows } = await loadIndex();
  const store = makeStore(chunkRows), panel = document.getElementById("detail");
  const list = makeList({ rows, store, open });
  let current = null;

  function open(id) {
    location.hash = "t=" + id;
  }
  function step(offset) {
    const id = list.neighbour(current, offset);
    if (id !== undefined) open(id);
  }
  async function show() {
    const id = Number(/^#t=(\d+)$/.exec(location.hash)?.[1] ?? NaN);
    if (!(id < rows.length)) return;
    current = id;
    list.select(id);
    const detail = await store.detail(id);
    if (current !== id) return;
    hideTip();
    panel.replaceChildren(...detailView(detail, step));
    if (panel.getBoundingClientRect().top < 0 || innerWidth <= 900) panel.scrollIntoView();
  }
  addEventListener("hashchange", () => show().catch(fail));
  document.documentElement.dataset.ready = Math.round(performance.now());
  await show();
}

function fail(error) {
  document.getElementById("detail").replaceChildren(
    el("p", { class: "empty" }, "The trajectories cannot be shown: " + visible(String(error)) +
      (typeof DecompressionStream === "undefined" ? " (this browser has no DecompressionStream; use one from 2023 or later)" : "")));
}

themeButton();
if (document.getElementById("index")) startBrowser().catch(fail);
