// The list: filters, text search, pages of rows.

const PAGE = 50;

const OUTCOMES = {
  solved: (r) => r.acc === true && !r.masked,
  unsolved: (r) => r.acc === false && !r.masked,
  ungraded: (r) => r.acc === null && !r.masked,
  masked: (r) => r.masked,
};
const REPAIRS = {
  repaired: (r) => r.repairs > 0,
  recovered: (r) => r.recovered > 0,
  lost: (r) => r.repairs > r.recovered,
  none: (r) => r.repairs === 0,
};
const FAILED = { some: (r) => r.failed > 0, none: (r) => r.failed === 0 };

function fillSelect(select, values) {
  select.append(el("option", { value: "" }, "all"), ...values.map((value) => el("option", { value }, visible(String(value)))));
}

function outcomeChip(row) {
  if (row.masked) return chip("lost", "warn");
  if (row.acc === null) return chip("not graded");
  return row.acc ? chip("✓ solved", "good") : chip("✗ unsolved", "bad");
}

function rowButton(row, open) {
  const meta = el("span", { class: "meta" }, outcomeChip(row), `step ${row.step} · ${row.split} · #${row.rollout}`,
    row.repairs > 0 && chip(`${row.recovered}/${row.repairs} repaired`, "warn"),
    row.failed > 0 && chip(`${row.failed} failed`));
  const text = el("span", { class: "text" }, visible(row.question));
  return el("li", {}, el("button", { class: "row", type: "button", "data-id": row.id, onclick: () => open(row.id) }, meta, text));
}

function makeList({ rows, store, open }) {
  const form = document.getElementById("filters");
  const list = document.getElementById("rows");
  const count = document.getElementById("count");
  const [prev, next] = ["prev-page", "next-page"].map((id) => document.getElementById(id));
  let shown = rows, page = 0, search = 0, selected = null;

  const distinct = (key) => [...new Set(rows.map((r) => r[key]))];
  fillSelect(form.elements.step, distinct("step").sort((a, b) => a - b));
  fillSelect(form.elements.split, distinct("split"));
  fillSelect(form.elements.arm, distinct("arm"));

  function matches(row) {
    const f = form.elements;
    return (f.step.value === "" || row.step === Number(f.step.value)) &&
      (f.split.value === "" || row.split === f.split.value) &&
      (f.arm.value === "" || row.arm === f.arm.value) &&
      (OUTCOMES[f.outcome.value]?.(row) ?? true) &&
      (REPAIRS[f.repairs.value]?.(row) ?? true) &&
      (FAILED[f.failed.value]?.(row) ?? true);
  }
  async function apply() {
    const ticket = ++search; // a newer search makes this one stop
    const query = form.elements.text.value.trim().toLowerCase();
    const found = [];
    for (const row of rows.filter(matches)) {
      let hit = row.text.includes(query);
      if (!hit && form.elements.deep.checked) {
        hit = await store.contains(row.id, query);
        if (ticket !== search) return;
      }
      if (hit) found.push(row);
    }
    [shown, page] = [found, 0];
    draw();
  }
  function draw() {
    const pages = Math.max(1, Math.ceil(shown.length / PAGE));
    list.replaceChildren(...shown.slice(page * PAGE, (page + 1) * PAGE).map((row) => rowButton(row, open)));
    if (shown.length === 0) list.append(el("li", { class: "empty" }, "No trajectory matches these filters."));
    list.scrollTop = 0;
    count.textContent = `${number(shown.length)} of ${number(rows.length)}` + (pages > 1 ? ` · page ${page + 1} of ${pages}` : "");
    [prev.disabled, next.disabled] = [page === 0, page >= pages - 1];
    mark();
  }
  function mark() {
    for (const button of list.querySelectorAll(".row")) {
      const current = button.dataset.id === String(selected);
      button.setAttribute("aria-current", current);
      if (current) list.scrollTop = Math.max(0, button.offsetTop - list.offsetTop - list.clientHeight / 2);
    }
  }
  prev.addEventListener("click", () => { page -= 1; draw(); });
  next.addEventListener("click", () => { page += 1; draw(); });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", apply);
  draw();
  return {
    select(id) {
      selected = id;
      const at = shown.findIndex((row) => row.id === id);
      const target = Math.floor(at / PAGE);
      if (at >= 0 && target !== page) { page = target; draw(); } else mark();
    },
    neighbour(id, offset) {
      const at = shown.findIndex((row) => row.id === id);
      return at < 0 ? shown[0]?.id : shown[at + offset]?.id;
    },
  };
}
