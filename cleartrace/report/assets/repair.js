// What a rollback removed, beside what stands there now.

const DIFF_LIMIT = 500; // lines per side; a longer pair is shown without marks

// Longest common subsequence of lines: for each side, whether its line is also on the other.
function commonLines(a, b) {
  const same = [a.map(() => false), b.map(() => false)];
  if (a.length > DIFF_LIMIT || b.length > DIFF_LIMIT) return same.map((side) => side.map(() => true));
  const length = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--)
    for (let j = b.length - 1; j >= 0; j--)
      length[i][j] = a[i] === b[j] ? length[i + 1][j + 1] + 1 : Math.max(length[i + 1][j], length[i][j + 1]);
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    if (a[i] === b[j]) { same[0][i++] = true; same[1][j++] = true; }
    else if (length[i + 1][j] >= length[i][j + 1]) i++;
    else j++;
  }
  return same;
}

function diffBlock(lines, same, mark) {
  return el("pre", {}, ...lines.map((line, i) => el("span", { class: "ln" + (same[i] ? "" : " " + mark) }, visible(line))));
}

function attemptPair(attempt, index, repair) {
  const old = attempt.text.split("\n"), now = repair.replacement.split("\n");
  const kept = repair.outcome !== "recovered" && index === repair.attempts.length - 1;
  const [oldSame, nowSame] = commonLines(old, now);
  const left = el("section", { class: "pane" },
    el("header", {}, `Attempt ${index + 1}, ${kept ? "kept" : "removed"}`, chip(attempt.error_class ?? "failed", "bad")),
    diffBlock(old, oldSame, "old"), el("pre", { class: "error" }, visible(attempt.error_text)));
  if (kept) return el("div", {}, left);
  const right = el("section", { class: "pane" },
    el("header", {}, repair.outcome === "recovered" ? "In the trajectory now" : "In the trajectory now, not repaired"),
    diffBlock(now, nowSame, "new"));
  return el("div", { class: "pair" }, left, right);
}

function repairView(repair) {
  const head = el("div", { class: "chips" }, el("b", {}, `Turn ${repair.position}`),
    chip(repair.outcome.replace("_", " "), { recovered: "good", appended: "warn" }[repair.outcome] ?? "bad"),
    repair.splice && chip(`splice: ${repair.splice}`, repair.splice === "graft" ? "grafted" : "replaced"),
    repair.similarity != null && chip(`similarity ${number(repair.similarity, 2)}`),
    repair.gate != null && chip(`importance ${number(repair.gate, 2)}`),
    chip(`${repair.attempts.length} failed attempt${repair.attempts.length === 1 ? "" : "s"}`));
  return el("div", { class: "repair" }, head, ...repair.attempts.map((attempt, i) => attemptPair(attempt, i, repair)));
}
