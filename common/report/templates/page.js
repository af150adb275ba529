// The page: its colours, tables that sort and filter, the pictures behind the cells of the confusion matrix.

const DATA = JSON.parse(document.getElementById("data").textContent);

function themes() {
  const button = document.getElementById("theme"), names = ["auto", "light", "dark"];
  const kept = (act) => { try { return act(); } catch { return null; } };  // a page from a file may have no storage
  const set = (name) => {
    if (name === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = name;
    button.textContent = name;
    button.setAttribute("aria-label", `Colours: ${name === "auto" ? "as the system has them" : name} (${name})`);
  };
  set(names.find((name) => name === kept(() => localStorage.getItem("theme"))) || "auto");
  button.addEventListener("click", () => {
    const next = names[(names.indexOf(button.textContent) + 1) % names.length];
    set(next);
    kept(() => localStorage.setItem("theme", next));
  });
}

function sortable(table) {
  const headings = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  headings.forEach((heading, column) => {
    const button = heading.querySelector(".sort");
    if (!button) return;
    const numbers = button.dataset.kind === "number";
    const key = (row) => {
      const cell = row.cells[column];
      if (!numbers) return cell.textContent;
      return cell.dataset.value === "" ? null : Number(cell.dataset.value);
    };
    button.addEventListener("click", () => {
      const before = heading.getAttribute("aria-sort");
      const down = before === "none" ? numbers : before === "ascending";  // numbers: the highest first
      headings.forEach((one) => one.hasAttribute("aria-sort") && one.setAttribute("aria-sort", "none"));
      heading.setAttribute("aria-sort", down ? "descending" : "ascending");
      const order = (a, b) => (numbers ? a - b : a.localeCompare(b, undefined, { numeric: true })) * (down ? -1 : 1);
      const keyed = [...body.rows].map((row) => [key(row), row]);
      // What is not defined comes last, whichever way round.
      keyed.sort(([a], [b]) => (a === null || b === null ? (a === null) - (b === null) : order(a, b)));
      body.append(...keyed.map(([, row]) => row));
    });
  });
}

function filters(input) {
  const rows = [...document.getElementById(input.dataset.table).tBodies[0].rows];
  input.addEventListener("input", () => {
    const wanted = input.value.trim().toLowerCase();
    for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
  });
}

function behind(button) {
  // The pictures of a cell (true label, predicted class), in the panel below the matrix.
  const panel = document.getElementById("behind"), some = DATA.cells[button.dataset.cell];
  const [label, predicted] = button.dataset.cell.split(",").map((number) => DATA.classes[number]);
  panel.replaceChildren();
  panel.hidden = false;
  make(panel, "p", { class: "title" }, `True label ${label}, predicted ${predicted}: ${some.length} of ` +
    `${button.dataset.count} images, the most confident`);
  const gallery = make(panel, "div", { class: "gallery" });
  for (const one of some) {
    const figure = make(gallery, "figure");
    make(figure, "img", { src: one.image, alt: one.file });
    make(figure, "figcaption", {}, `${(100 * one.p).toFixed(1)} %, ${one.file}`);
  }
  panel.scrollIntoView({ block: "nearest" });
}

function overview(picture) {
  const text = document.getElementById("matrix-cell"), known = new Map(), size = DATA.classes.length;
  for (const [label, predicted, images] of DATA.sparse) known.set(label * size + predicted, images);
  picture.addEventListener("pointermove", (event) => {
    const box = picture.getBoundingClientRect();
    const place = (at, from, length) => Math.min(size - 1, Math.max(0, Math.floor((at - from) / length * size)));
    const label = place(event.clientY, box.top, box.height), predicted = place(event.clientX, box.left, box.width);
    const images = known.get(label * size + predicted);
    text.textContent = `true label ${label} ${DATA.classes[label]}, predicted ${predicted} ${DATA.classes[predicted]}` +
      (images ? `: ${images} images` : "");
  });
}

themes();
document.querySelectorAll("table.sortable").forEach(sortable);
document.querySelectorAll("input.filter").forEach(filters);
document.querySelectorAll("button.cell").forEach((one) => one.addEventListener("click", () => behind(one)));
if (document.getElementById("matrix")) overview(document.getElementById("matrix"));
if (document.getElementById("reliability")) reliability(document.getElementById("reliability"), DATA.calibration);
if (DATA.charts.length) {
  const group = new Group(DATA.charts);
  document.querySelectorAll("[data-chart]").forEach((figure) => {
    new Chart(figure, DATA.charts.find((chart) => chart.id === figure.dataset.chart), group);
  });
}
// On paper nothing can be opened.
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((one) => { one.open = true; }));
