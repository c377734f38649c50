// One trajectory: question, repairs, every token with its mask and provenance, every execution.

const KINDS = {
  prompt: "Prompt", assistant_reasoning: "Reasoning", assistant_call: "Tool call", tool: "Tool output", boundary: "Boundary",
};
const LONG_PROMPT = 300; // tokens; longer prompts start folded

// What the regenerations of this trajectory cost, kept or not.
function retryCost(c) {
  if (!c.retry_tokens) return null;
  const seconds = c.retry_generate_s + c.retry_tool_s;
  return chip(`retries: ${number(c.retry_calls)} calls, ${number(c.retry_tokens)} tokens, ${number(seconds)} of ${number(c.generate_s + c.tool_s)} s`);
}

function summaryView(d) {
  const infra = d.tool_calls.filter((call) => call.status === "infra_error").length;
  const facts = el("div", { class: "chips" }, outcomeChip(d), d.reward != null && chip(`reward ${number(d.reward)}`),
    chip(`${d.num_turns} turns`), chip(`${number(d.generated_tokens)} tokens sampled`),
    d.discarded_tokens > 0 && chip(`${number(d.discarded_tokens)} of them discarded`, "warn"),
    retryCost(d.counters), d.dropped && chip("dropped: a repair failed", "warn"),
    infra > 0 && chip(`${infra} infrastructure error${infra > 1 ? "s" : ""}`, "warn"), chip(`rollback ${d.arm}`), chip(d.data_source));
  const answer = (label, text) => el("div", {}, el("dt", {}, label), el("dd", {}, text == null ? "none" : visible(text)));
  return [facts, el("div", { class: "question" }, visible(d.question)),
    el("dl", { class: "answers" }, answer("expected", d.ground_truth), answer("answered", d.prediction))];
}

function legend(container) {
  const sample = (name, text) => el("span", { class: "tokens " + name }, text);
  const edges = el("input", { type: "checkbox", onchange: (event) => container.classList.toggle("edges", event.target.checked) });
  return el("div", { class: "legend" }, sample("trained", "trained"), sample("untrained", "not trained"),
    ...["original", "grafted", "replaced", "appended"].map((origin) => sample("trained " + origin, origin)),
    el("label", {}, edges, " token edges"));
}

function tokenSpans(segment, s) {
  return segment.pieces.map((piece, i) =>
    el("span", { class: "t", "data-s": s, "data-i": i }, visible(piece)));
}

function segmentView(segment, s, turn) {
  const size = segment.token_ids.length;
  const who = el("div", { class: "who" }, el("b", {}, (turn ? `Turn ${turn.number} · ` : "") + KINDS[segment.kind] + " "),
    `${size} token${size === 1 ? "" : "s"}, ${segment.loss ? "trained" : "not trained"} `,
    segment.origin !== "original" && chip(segment.origin, segment.origin), segment.attempt > 0 && ` attempt ${segment.attempt + 1}`);
  const classes = `tokens ${segment.loss ? "trained" : "untrained"} ${segment.origin === "original" ? "" : segment.origin}`;
  const tokens = el("p", { class: classes }, ...tokenSpans(segment, s));
  const folded = segment.kind === "prompt" && size > LONG_PROMPT;
  const body = folded ? el("details", {}, el("summary", {}, `Show the ${size} tokens of the prompt`), tokens) : tokens;
  return el("div", { class: "segment" + (turn?.first ? " turn" : "") }, who, body);
}

// The position that repairs and executions call this turn by; a turn without a call has none.
function turnNumber(segments, s) {
  for (; segments[s]?.kind.startsWith("assistant"); s++) if (segments[s].position != null) return segments[s].position;
  return null;
}

function turnsView(d) {
  let number = null, inTurn = false;
  return d.segments.map((segment, s) => {
    const assistant = segment.kind.startsWith("assistant");
    const first = assistant && !inTurn;
    if (first) number = turnNumber(d.segments, s) ?? (number === null ? 1 : number + 1);
    inTurn = assistant;
    return segmentView(segment, s, assistant ? { number, first } : null);
  });
}

function tokenTip(d, span) {
  const segment = d.segments[span.dataset.s], i = Number(span.dataset.i), logprob = segment.logprobs?.[i];
  let offset = i;
  for (let s = 0; s < Number(span.dataset.s); s++) offset += d.segments[s].token_ids.length;
  return [`${visible(JSON.stringify(segment.pieces[i]))}  id ${segment.token_ids[i]}`,
    logprob == null ? "no log-prob" : `log-prob ${logprob.toFixed(3)} (p = ${Math.exp(logprob).toPrecision(2)})`,
    `token ${offset} of the trajectory, ${i} of its segment`,
    `position ${segment.position ?? "–"}, attempt ${segment.attempt + 1}`,
    `${KINDS[segment.kind].toLowerCase()}, ${segment.origin}, ${segment.loss ? "trained" : "not trained"}`].join("\n");
}

function executionView(call) {
  const good = call.status === "ok";
  const head = el("div", { class: "chips" }, el("b", {}, `Turn ${call.position}`), chip(call.status.replace("_", " "), good ? "good" : "bad"),
    call.error_class && chip(call.error_class, "bad"), call.attempt > 0 && chip(`attempt ${call.attempt + 1}`),
    !call.kept && chip("removed by a rollback", "warn"), call.cost_s != null && chip(`${number(call.cost_s)} s`));
  const pane = (title, text) => el("section", { class: "pane" }, el("header", {}, title), el("pre", {}, visible(text)));
  return el("div", { class: "execution" }, head, el("div", { class: "pair" }, pane("Code", call.code), pane("Output", call.text)));
}

function detailView(d, step) {
  const where = el("div", { class: "bar" }, el("h3", {}, visible(`${d.sample_id} · rollout ${d.rollout} · step ${d.step} · ${d.split}`)),
    el("div", { class: "chips" }, el("button", { type: "button", onclick: () => step(-1) }, "‹ previous"), el("button", { type: "button", onclick: () => step(1) }, "next ›")));
  const turns = el("div", {}, ...turnsView(d));
  turns.addEventListener("pointerover", (event) => {
    const span = event.target.closest(".t");
    if (span) showTip(tokenTip(d, span), event.clientX, event.clientY);
    else hideTip();
  });
  turns.addEventListener("pointerleave", hideTip);
  const section = (title, ...rest) => el("div", { class: "section" }, el("h3", {}, title), ...rest);
  return [where, ...summaryView(d),
    ...(d.repairs.length ? [section("Repairs"), ...d.repairs.map(repairView)] : []),
    section("Turns", legend(turns)), turns,
    ...(d.tool_calls.length ? [section("Executions"), ...d.tool_calls.map(executionView)] : [])];
}
