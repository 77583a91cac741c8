// Sorts tables and lets plots over time be read and zoomed. The page says everything without it.
"use strict";

for (const table of document.querySelectorAll("table[data-sort]")) {
  const body = table.tBodies[0];
  table.querySelectorAll("thead th").forEach((head, column) => {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending" || (!head.hasAttribute("aria-sort") && head.classList.contains("n"));
      table.querySelectorAll("thead th").forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = (row) => row.cells[column].dataset.v ?? row.cells[column].textContent;
      const sign = down ? -1 : 1;
      const rows = [...body.rows].sort((a, b) => {
        const x = key(a), y = key(b);
        if (x === "" || y === "") return (x === "") - (y === ""); // what has no value stays at the end
        return sign * (isNaN(x) || isNaN(y) ? x.localeCompare(y) : x - y);
      });
      body.append(...rows);
    });
  });
}

const clock = (s) => {
  if (s < 100) return `${+s.toPrecision(3)} s`;
  const two = (n) => String(n).padStart(2, "0"), t = Math.round(s), h = Math.floor(t / 3600);
  return h ? `${h}:${two(Math.floor((t % 3600) / 60))}:${two(t % 60)}` : `${Math.floor(t / 60)}:${two(t % 60)}`;
};
const written = (v, unit) => {
  if (unit === "bytes") return v >= 2 ** 30 ? `${(v / 2 ** 30).toFixed(1)} GiB` : `${Math.round(v / 2 ** 20)} MiB`;
  return `${v >= 10 ? Math.round(v).toLocaleString("en") : +v.toPrecision(2)} ${unit}`;
};

for (const plot of document.querySelectorAll("svg[data-x]")) {
  const W = 1000, H = 200, end = +plot.dataset.x, top = +plot.dataset.y, unit = plot.dataset.unit;
  const figure = plot.closest("figure"), out = figure.querySelector("output"), ticks = figure.querySelectorAll(".x span");
  const series = [...plot.querySelectorAll("polyline[data-name]")].map((line) => ({
    name: line.dataset.name,
    points: line.getAttribute("points").split(" ").filter(Boolean).map((p) => p.split(",").map(Number)),
  }));
  const make = (name, kind) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    made.setAttribute("class", kind);
    made.setAttribute("y1", 0); made.setAttribute("y2", H); made.setAttribute("height", H);
    return made;
  };
  const cursor = make("line", "cursor"), span = make("rect", "span");
  let from = 0, to = W, at = null, start = null;
  plot.tabIndex = 0;

  const view = (a, b) => {
    from = Math.max(0, a); to = Math.min(W, b);
    plot.setAttribute("viewBox", `${from} 0 ${to - from} ${H}`);
    ticks.forEach((tick, i) => { tick.textContent = clock(((from + ((to - from) * i) / (ticks.length - 1)) / W) * end); });
  };
  const read = (x) => {
    at = Math.min(to, Math.max(from, x));
    cursor.setAttribute("x1", at); cursor.setAttribute("x2", at);
    plot.append(cursor);
    const said = series.map(({ name, points }) => {
      let best = points[0];
      for (const p of points) if (Math.abs(p[0] - at) < Math.abs(best[0] - at)) best = p;
      return best && `${series.length > 1 ? `${name} ` : ""}${written(((H - best[1]) / H) * top, unit)}`;
    });
    out.textContent = `${clock((at / W) * end)}  ${said.filter(Boolean).join(", ")}`;
  };
  const leave = () => { cursor.remove(); out.textContent = ""; at = null; };
  const place = (event) => {
    const box = plot.getBoundingClientRect();
    return from + ((event.clientX - box.left) / box.width) * (to - from);
  };
  plot.addEventListener("pointermove", (event) => {
    read(place(event));
    if (start === null) return;
    span.setAttribute("x", Math.min(start, at)); span.setAttribute("width", Math.abs(at - start));
    plot.append(span);
  });
  plot.addEventListener("pointerdown", (event) => {
    if (event.pointerType !== "touch" && event.button === 0) { start = place(event); plot.setPointerCapture(event.pointerId); }
  });
  plot.addEventListener("pointerup", () => {
    if (start !== null && Math.abs(at - start) > (to - from) / 60) view(Math.min(start, at), Math.max(start, at));
    start = null; span.remove();
  });
  plot.addEventListener("pointerleave", () => { if (start === null) leave(); });
  plot.addEventListener("dblclick", () => view(0, W));
  plot.addEventListener("blur", leave);
  plot.addEventListener("keydown", (event) => {
    const width = to - from, here = at ?? (from + to) / 2;
    if (event.key === "ArrowLeft") read(here - width / 50);
    else if (event.key === "ArrowRight") read(here + width / 50);
    else if (event.key === "+") view(here - width / 4, here + width / 4);
    else if (event.key === "-") view(here - width, here + width);
    else if (event.key === "0" || event.key === "Escape") view(0, W);
    else return;
    event.preventDefault();
  });
}
