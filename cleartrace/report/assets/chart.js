// Values under the pointer, or at a cursor moved with the arrow keys.

function attachHover(svg) {
  const data = JSON.parse(svg.dataset.series);
  const columns = [...new Map(data.lines.flatMap((line) => line.points.map((p) => [p[0], p[2]])))].sort((a, b) => a[0] - b[0]);
  const cursor = document.createElementNS(svg.namespaceURI, "path");
  cursor.setAttribute("class", "cursor");
  svg.append(cursor);
  let current = columns.length - 1;

  function show(index) {
    current = Math.max(0, Math.min(columns.length - 1, index));
    const [x, label] = columns[current];
    const values = data.lines.flatMap((line) => line.points.filter((p) => p[0] === x).map((p) => `${line.label}: ${p[3]}`));
    cursor.setAttribute("d", `M${x} 14V${svg.viewBox.baseVal.height - 42}`);
    const box = svg.getBoundingClientRect();
    showTip(`${data.xLabel}: ${label}\n${values.join("\n")}`, box.left + (x / svg.viewBox.baseVal.width) * box.width, box.top + box.height / 3);
  }
  function hide() {
    cursor.removeAttribute("d");
    hideTip();
  }
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width;
    let nearest = 0;
    columns.forEach((column, i) => { if (Math.abs(column[0] - x) < Math.abs(columns[nearest][0] - x)) nearest = i; });
    show(nearest);
  });
  svg.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!move) return;
    event.preventDefault();
    show(current + move);
  });
  svg.addEventListener("pointerleave", hide);
  svg.addEventListener("blur", hide);
}

document.querySelectorAll("svg.chart").forEach(attachHover);
