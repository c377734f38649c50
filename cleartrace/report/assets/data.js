// The data blocks of this page: base64 of gzip of JSON, decoded when needed.

async function unpack(id) {
  const packed = atob(document.getElementById(id).textContent);
  const bytes = Uint8Array.from(packed, (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

async function loadIndex() {
  const { chunkRows, columns } = await unpack("index");
  const keys = Object.keys(columns);
  const rows = columns[keys[0]].map((_, i) => ({ id: i, ...Object.fromEntries(keys.map((key) => [key, columns[key][i]])) }));
  for (const row of rows) row.text = [row.question, row.sample, row.source, row.prediction, row.errors].join("\n").toLowerCase();
  return { chunkRows, rows };
}

function makeStore(chunkRows) {
  const recent = new Map(); // chunk number -> promise of its details; a few are kept
  const texts = [];

  function chunk(number) {
    if (!recent.has(number)) {
      recent.set(number, unpack("chunk-" + number));
      if (recent.size > 8) recent.delete(recent.keys().next().value);
    }
    return recent.get(number);
  }
  function fullText(d) {
    const parts = d.segments.map((s) => s.pieces.join(""));
    for (const call of d.tool_calls) parts.push(call.code, call.text);
    for (const repair of d.repairs) for (const a of repair.attempts) parts.push(a.text, a.error_text);
    return parts.join("\n").toLowerCase();
  }
  return {
    async detail(id) {
      return (await chunk(Math.floor(id / chunkRows)))[id % chunkRows];
    },
    // Whether the turns, code or output of a trajectory hold `query`; decodes its chunk the first time.
    async contains(id, query) {
      if (texts[id] === undefined) {
        const start = Math.floor(id / chunkRows) * chunkRows;
        (await chunk(start / chunkRows)).forEach((d, i) => { texts[start + i] = fullText(d); });
      }
      return texts[id].includes(query);
    },
  };
}
