"use strict";
// Charts over the steps of a run: one SVG each, all with one range of steps, which zooming changes.

const SVG_NAMES = "http://www.w3.org/2000/svg";
const HEIGHT = 250, LEFT = 52, RIGHT = 12, TOP = 10, BOTTOM = 26;

function make(parent, name, attributes = {}, text = null) {
  const svg = parent instanceof SVGElement || name === "svg";
  const made = svg ? document.createElementNS(SVG_NAMES, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== null) made.textContent = text;
  parent.appendChild(made);
  return made;
}

function short(value) {
  const size = Math.abs(value);
  if (size >= 1e6) return +(value / 1e6).toPrecision(4) + "M";
  if (size >= 1e4) return +(value / 1e3).toPrecision(4) + "k";
  return size !== 0 && size < 1e-3 ? value.toExponential().replace("e-", "e−") : String(+value.toPrecision(5));
}

function ticks(low, high, wanted) {
  const raw = (high - low) / wanted, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= raw);
  const found = [];
  for (let at = Math.ceil(low / step - 1e-9); at * step <= high + step * 1e-9; at++) found.push(at * step);
  return found;
}

function logTicks(low, high) {
  const found = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
    for (const one of high / low > 1000 ? [1] : [1, 2, 5]) {
      const value = +(one * 10 ** power).toPrecision(6);
      if (value >= low && value <= high) found.push(value);
    }
  }
  return found;
}

class Group {
  // The range of steps that all charts show.
  constructor(charts) {
    const steps = charts.flatMap((chart) => chart.series.flatMap((one) => [one.x[0], one.x[one.x.length - 1]]));
    this.full = [Math.min(...steps), Math.max(...steps)];
    if (this.full[0] === this.full[1]) this.full = [this.full[0] - 0.5, this.full[1] + 0.5];
    this.range = this.full;
    this.members = [];
  }

  show(low, high) {
    const least = Math.min(2, this.full[1] - this.full[0]);
    low = Math.max(this.full[0], low);
    high = Math.min(this.full[1], high);
    if (high - low < least) return;
    this.range = [low, high];
    this.members.forEach((chart) => chart.draw());
  }

  zoom(factor, middle = (this.range[0] + this.range[1]) / 2) {
    this.show(middle - (middle - this.range[0]) * factor, middle + (this.range[1] - middle) * factor);
  }

  move(share) {
    const width = this.range[1] - this.range[0];
    const low = Math.min(Math.max(this.range[0] + share * width, this.full[0]), this.full[1] - width);
    this.show(low, low + width);
  }

  reset() { this.show(...this.full); }
}

class Chart {
  constructor(figure, data, group) {
    Object.assign(this, { data, group, hidden: new Set(), log: Boolean(data.log), width: 0 });
    const head = figure.querySelector("figcaption"), tools = make(head, "div", { class: "tools" });
    this.button(tools, "log", `${data.title}: logarithmic scale`, () => { this.log = !this.log; this.draw(); });
    this.button(tools, "+", `${data.title}: zoom in`, () => group.zoom(0.5));
    this.button(tools, "−", `${data.title}: zoom out`, () => group.zoom(2));
    this.button(tools, "all", `${data.title}: the whole run`, () => group.reset());
    this.svg = make(figure, "svg", { tabindex: "0", role: "img" });
    this.readout = make(figure, "p", { class: "readout" });
    this.legend(figure);
    this.listen();
    group.members.push(this);
    new ResizeObserver(([entry]) => {
      const width = Math.round(entry.contentRect.width);
      if (width && width !== this.width) { this.width = width; this.draw(); }
    }).observe(figure);
  }

  button(parent, text, label, act) {
    const made = make(parent, "button", { type: "button", class: "small", "aria-label": label }, text);
    made.addEventListener("click", act);
    return made;
  }

  legend(figure) {
    const legend = make(figure, "div", { class: "legend" });
    this.data.series.forEach((one, number) => {
      const made = make(legend, "button", { type: "button", class: "small", "aria-pressed": "true" });
      make(made, "i").style.cssText = `background: var(--c${one.color}); opacity: ${one.faint ? 0.55 : 1}`;
      make(made, "span", {}, one.name);
      made.addEventListener("click", () => {
        if (!this.hidden.delete(number)) this.hidden.add(number);
        made.setAttribute("aria-pressed", String(!this.hidden.has(number)));
        this.draw();
      });
    });
  }

  listen() {
    const svg = this.svg, step = (event) => this.step(event.clientX - svg.getBoundingClientRect().left);
    svg.addEventListener("pointerdown", (event) => {
      this.start = step(event);
      svg.setPointerCapture(event.pointerId);
    });
    svg.addEventListener("pointermove", (event) => {
      this.read(step(event));
      if (this.start !== undefined) this.select(this.start, step(event));
    });
    svg.addEventListener("pointerup", (event) => {
      const [low, high] = [this.start, step(event)].sort((a, b) => a - b);
      this.start = undefined;
      this.draw();
      if (this.x(high) - this.x(low) > 8) this.group.show(low, high);
    });
    svg.addEventListener("pointercancel", () => { this.start = undefined; this.draw(); });
    svg.addEventListener("pointerleave", () => {
      if (this.start === undefined) { this.draw(); this.readout.textContent = ""; }
    });
    svg.addEventListener("dblclick", () => this.group.reset());
    svg.addEventListener("keydown", (event) => {
      const acts = {
        ArrowLeft: () => this.group.move(-0.2), ArrowRight: () => this.group.move(0.2),
        "+": () => this.group.zoom(0.5), "-": () => this.group.zoom(2), Escape: () => this.group.reset(),
      };
      if (acts[event.key]) { acts[event.key](); event.preventDefault(); }
    });
  }

  x(step) {
    const [low, high] = this.group.range;
    return LEFT + (step - low) / (high - low) * (this.width - LEFT - RIGHT);
  }

  step(x) {
    const [low, high] = this.group.range;
    return low + Math.min(Math.max((x - LEFT) / (this.width - LEFT - RIGHT), 0), 1) * (high - low);
  }

  visible() { return this.data.series.filter((one, number) => !this.hidden.has(number)); }

  scale() {
    // [lowest, highest] of what is seen, with a margin; then the function from a value to its place.
    const [from, to] = this.group.range, use = (value) => !this.log || value > 0;
    let low = Infinity, high = -Infinity;
    for (const one of this.visible()) {
      one.y.forEach((value, at) => {
        if (one.x[at] < from || one.x[at] > to || !use(value)) return;
        low = Math.min(low, value);
        high = Math.max(high, value);
      });
    }
    if (low > high) [low, high] = [this.log ? 0.1 : 0, 1];
    const bend = this.log ? Math.log10 : (value) => value;
    let [bottom, top] = [bend(low), bend(high)];
    const margin = (top - bottom) * 0.06 || Math.abs(top) * 0.1 || 0.5;
    [bottom, top] = [bottom - margin, top + margin];
    if (!this.log && low >= 0 && bottom < 0) bottom = 0;
    this.low = this.log ? 10 ** bottom : bottom;
    this.high = this.log ? 10 ** top : top;
    this.y = (value) => TOP + (top - bend(value)) / (top - bottom) * (HEIGHT - TOP - BOTTOM);
    this.use = use;
  }

  draw() {
    if (!this.width) return;
    const svg = this.svg, right = this.width - RIGHT, bottom = HEIGHT - BOTTOM;
    this.scale();
    svg.replaceChildren();
    svg.setAttribute("viewBox", `0 0 ${this.width} ${HEIGHT}`);
    const [from, to] = this.group.range.map((step) => Math.round(step));
    svg.setAttribute("aria-label", `${this.data.title}, steps ${from} to ${to}`);
    const clip = `clip-${this.data.id}`;
    make(make(svg, "clipPath", { id: clip }), "rect", { x: LEFT, y: 0, width: right - LEFT, height: bottom + 4 });
    for (const value of this.log ? logTicks(this.low, this.high) : ticks(this.low, this.high, 5)) {
      make(svg, "line", { class: "grid", x1: LEFT, x2: right, y1: this.y(value), y2: this.y(value) });
      make(svg, "text", { x: LEFT - 7, y: this.y(value) + 4, "text-anchor": "end" }, short(value));
    }
    for (const step of ticks(...this.group.range, Math.max(3, this.width / 90))) {
      make(svg, "text", { x: this.x(step), y: bottom + 17, "text-anchor": "middle", class: "step" }, short(step));
    }
    make(svg, "text", { x: LEFT - 7, y: bottom + 17, "text-anchor": "end" }, "step");
    const inside = make(svg, "g", { "clip-path": `url(#${clip})` });
    for (const one of this.visible()) this.curve(inside, one);
    this.cross = make(svg, "g");
  }

  curve(parent, one) {
    const places = one.y.flatMap((value, at) => {
      if (!this.use(value)) return [];
      const here = [this.x(one.x[at]), this.y(value)];
      return one.stairs && at ? [[this.x(one.x[at]), this.y(one.y[at - 1])], here] : [here];
    });
    const colour = `var(--c${one.color})`, path = places.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(" ");
    const line = make(parent, "polyline", { points: path, fill: "none", "stroke-width": one.faint ? 1.2 : 1.8 });
    line.style.cssText = `stroke: ${colour}; opacity: ${one.faint ? 0.55 : 1}; stroke-linejoin: round`;
    if (!one.dots && places.length > 1) return;
    if (places.length > 80) return;
    for (const [x, y] of places) make(parent, "circle", { cx: x, cy: y, r: 2.6 }).style.fill = colour;
  }

  select(from, to) {
    const [low, high] = [from, to].map((step) => this.x(step)).sort((a, b) => a - b);
    this.cross.replaceChildren();
    make(this.cross, "rect", { class: "select", x: low, width: high - low, y: TOP, height: HEIGHT - TOP - BOTTOM });
  }

  read(step) {
    // What every curve says at its point nearest to a step.
    this.cross.replaceChildren();
    make(this.cross, "line", { class: "cross", x1: this.x(step), x2: this.x(step), y1: TOP, y2: HEIGHT - BOTTOM });
    const values = this.visible().map((one) => {
      let at = 0;
      one.x.forEach((x, place) => { if (Math.abs(x - step) < Math.abs(one.x[at] - step)) at = place; });
      return `${one.name} ${+one.y[at].toPrecision(5)} (step ${one.x[at]})`;
    });
    this.readout.textContent = values.join(" · ");
  }
}

function reliability(figure, bins) {
  const size = 400, low = 300, side = 46, place = (value) => side + value * (size - side - 8);
  const svg = make(figure, "svg", { viewBox: `0 0 ${size} ${low + 96}`, role: "img", "aria-label": "Reliability curve" });
  const y = (value) => 8 + (1 - value) * (low - 8), most = Math.max(...bins.map((bin) => bin.images), 1);
  for (const value of [0, 0.2, 0.4, 0.6, 0.8, 1]) {
    make(svg, "line", { class: "grid", x1: side, x2: size - 8, y1: y(value), y2: y(value) });
    make(svg, "text", { x: side - 7, y: y(value) + 4, "text-anchor": "end" }, value);
    make(svg, "text", { x: place(value), y: low + 92, "text-anchor": "middle" }, value);
  }
  make(svg, "line", { class: "even", x1: place(0), y1: y(0), x2: place(1), y2: y(1) });
  for (const bin of bins) {
    const height = 60 * bin.images / most, width = place(bin.to) - place(bin.above);
    make(svg, "rect", { class: "bars", x: place(bin.above) + 1, width: width - 2, y: low + 76 - height, height });
  }
  const filled = bins.filter((bin) => bin.images);
  const points = filled.map((bin) => `${place(bin.confidence)},${y(bin.accuracy)}`).join(" ");
  make(svg, "polyline", { points, fill: "none", "stroke-width": 2 }).style.stroke = "var(--c0)";
  for (const bin of filled) {
    make(svg, "circle", { cx: place(bin.confidence), cy: y(bin.accuracy), r: 3.5 }).style.fill = "var(--c0)";
  }
  figure.prepend(svg);
}
