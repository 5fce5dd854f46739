"use strict";
const byId = (id) => document.getElementById(id);
const data = JSON.parse(byId("data").textContent);
const chart = byId("chart");
const DASHES = ["", "9 4", "2 4", "10 3 2 3"];
const MARKERS = [
  "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0", "M-3.5,-3.5h7v7h-7z", "M0,-4.5L4.5,3.5H-4.5z",
  "M0,-5L5,0L0,5L-5,0z", "M0,4.5L4.5,-3.5H-4.5z", "M-4.5,0H4.5M0,-4.5V4.5",
  "M-3.5,-3.5L3.5,3.5M3.5,-3.5L-3.5,3.5",
];
const MARGIN = { left: 64, right: 14, top: 14, bottom: 44 };
let metric = 0;
let cursor = null; // the step whose values the legend shows

const draw = (parent, name, attributes, text) => {
  const node = document.createElementNS(chart.namespaceURI, name);
  for (const key in attributes) node.setAttribute(key, attributes[key]);
  if (text !== undefined) node.textContent = text;
  return parent.appendChild(node);
};
const html = (parent, name, text) => {
  const node = document.createElement(name);
  if (text !== undefined) node.textContent = text;
  return parent.appendChild(node);
};
const marker = (parent, i, x, y, size = 1) =>
  draw(parent, "path", {
    d: MARKERS[i % MARKERS.length], class: `mean s${i % 8}`, transform: `translate(${x},${y}) scale(${size})`,
  });
const curves = () => data.metrics[metric].groups;
const visible = () => data.labels.map((_, i) => i).filter((i) => data.shown[i]);
const number = (value) => (value === null ? "-" : String(Number(value.toPrecision(4))));

function ticks(low, high, count) {
  const rough = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const unit = [1, 2, 5, 10].find((factor) => factor * power >= rough) * power;
  const found = [];
  for (let k = Math.ceil(low / unit); k * unit <= high; k++) found.push(Number((k * unit).toPrecision(12)));
  return found;
}

// The values of untrained networks would flatten a long curve: its limits are those after 1/20 of
// the steps.
function limits(groups) {
  const series = groups.flatMap((group) => [group.mean, ...group.runs]);
  const steps = series.flatMap((each) => each[0]);
  let last = 0, first = Infinity, low = Infinity, high = -Infinity;
  for (const step of steps) { last = Math.max(last, step); first = Math.min(first, step); }
  for (const [at, values] of series) {
    values.forEach((value, i) => {
      if (value === null || (at.length > 9 && at[i] < last / 20)) return;
      low = Math.min(low, value);
      high = Math.max(high, value);
    });
  }
  if (low > high) return null;
  const room = (high - low) * 0.08 || Math.abs(high) * 0.1 || 1;
  return { first, last: Math.max(last, first + 1), low: low - room, high: high + room };
}

function render() {
  chart.replaceChildren();
  const shown = visible();
  const box = limits(shown.map((i) => curves()[i]));
  const width = chart.parentElement.clientWidth;
  const height = Math.round(Math.min(440, Math.max(270, width * 0.5)));
  chart.setAttribute("viewBox", `0 0 ${width} ${height}`);
  chart.style.height = `${height}px`;
  const inner = { width: width - MARGIN.left - MARGIN.right, height: height - MARGIN.top - MARGIN.bottom };
  if (!box) {
    draw(chart, "text", { x: width / 2, y: height / 2, "text-anchor": "middle" }, "no curve is shown");
    label();
    return;
  }
  const X = (step) => ((step - box.first) / (box.last - box.first)) * inner.width;
  const Y = (value) => (1 - (value - box.low) / (box.high - box.low)) * inner.height;
  for (const y of ticks(box.low, box.high, 8)) {
    const at = MARGIN.top + Y(y);
    draw(chart, "line", { x1: MARGIN.left, x2: width - MARGIN.right, y1: at, y2: at, class: "grid" });
    draw(chart, "text", { x: MARGIN.left - 7, y: at + 4, "text-anchor": "end" }, String(y));
  }
  for (const x of ticks(box.first, box.last, width < 500 ? 4 : 8)) {
    const at = { x: MARGIN.left + X(x), y: height - MARGIN.bottom + 17 };
    draw(chart, "text", { ...at, "text-anchor": "middle" }, x.toLocaleString("en"));
  }
  draw(chart, "text", { x: MARGIN.left + inner.width / 2, y: height - 8, "text-anchor": "middle" }, "steps");
  const name = { transform: `translate(13,${MARGIN.top + inner.height / 2}) rotate(-90)`, "text-anchor": "middle" };
  draw(chart, "text", name, data.metrics[metric].name);
  const plot = draw(chart, "svg", { x: MARGIN.left, y: MARGIN.top, ...inner }); // clips the curves
  const path = (steps, values) => {
    let d = "", pen = "M";
    steps.forEach((step, i) => {
      if (values[i] === null) { pen = "M"; return; }
      d += `${pen}${X(step).toFixed(1)},${Y(values[i]).toFixed(1)}`;
      pen = "L";
    });
    return d;
  };
  for (const i of shown) {
    const group = curves()[i], [steps, means, halves] = group.mean, color = `s${i % 8}`;
    const known = steps.map((_, k) => k).filter((k) => means[k] !== null && halves[k] !== null);
    const edge = (sign, order) =>
      order.map((k) => `${X(steps[k]).toFixed(1)},${Y(means[k] + sign * halves[k]).toFixed(1)}`).join("L");
    if (known.length > 1)
      draw(plot, "path", { d: `M${edge(1, known)}L${edge(-1, [...known].reverse())}z`, class: `band f${i % 8}` });
    for (const run of group.runs) draw(plot, "path", { d: path(...run), class: `run ${color}` });
    draw(plot, "path", { d: path(steps, means), class: `mean ${color}`, "stroke-dasharray": DASHES[i % 4] });
    const every = Math.ceil(steps.length / 10);
    steps.forEach((step, k) => {
      if (k % every === 0 && means[k] !== null) marker(plot, i, X(step), Y(means[k]), 0.8);
    });
  }
  if (cursor !== null) {
    draw(plot, "line", { x1: X(cursor), x2: X(cursor), y1: 0, y2: inner.height, class: "cursor" });
    for (const i of shown) {
      const [step, value] = at(i);
      if (value !== null) marker(plot, i, X(step), Y(value), 1.3);
    }
  }
  chart.toStep = (x) => box.first + ((x - MARGIN.left) / inner.width) * (box.last - box.first);
  label();
}

// Nearest step of a mean curve to the cursor, and the mean there.
function at(i) {
  const [steps, means] = curves()[i].mean;
  let best = 0;
  steps.forEach((step, k) => { if (Math.abs(step - cursor) < Math.abs(steps[best] - cursor)) best = k; });
  return steps.length ? [steps[best], means[best]] : [null, null];
}

function label() {
  byId("step").textContent = cursor === null ? "" : `step ${cursor.toLocaleString("en")}`;
  data.labels.forEach((_, i) => {
    const button = byId("legend").children[i];
    button.setAttribute("aria-pressed", data.shown[i]);
    button.querySelector("output").textContent = cursor === null || !data.shown[i] ? "" : number(at(i)[1]);
  });
}

function allSteps() {
  const steps = new Set(visible().flatMap((i) => curves()[i].mean[0]));
  return [...steps].sort((a, b) => a - b);
}

function moveTo(step) {
  const steps = allSteps();
  if (!steps.length) return;
  cursor = steps.reduce((best, each) => (Math.abs(each - step) < Math.abs(best - step) ? each : best));
  render();
}

function onKey(event) {
  const steps = allSteps();
  const now = cursor === null ? -1 : steps.indexOf(cursor);
  const next = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: steps.length - 1 }[event.key];
  if (next === undefined || !steps.length) return;
  event.preventDefault();
  moveTo(steps[Math.min(steps.length - 1, Math.max(0, next))]);
}

function onPointer(event) {
  if (chart.toStep) moveTo(chart.toStep(event.clientX - chart.getBoundingClientRect().left));
}

function show(choose) {
  data.shown = data.labels.map((_, i) => choose(i));
  render();
}

data.labels.forEach((text, i) => {
  const button = html(byId("legend"), "button");
  button.type = "button";
  const swatch = draw(button, "svg", { viewBox: "0 0 44 16", "aria-hidden": "true" });
  draw(swatch, "path", { d: "M0,8H44", class: `mean s${i % 8}`, "stroke-dasharray": DASHES[i % 4] });
  marker(swatch, i, 22, 8);
  html(button, "span", text);
  html(button, "output");
  button.onclick = () => show((k) => (k === i ? !data.shown[k] : data.shown[k]));
});
data.metrics.forEach((each) => html(byId("metric"), "option", each.name));
byId("metric").onchange = (event) => { metric = event.target.selectedIndex; cursor = null; render(); };
byId("all").onclick = () => show(() => true);
byId("none").onclick = () => show(() => false);
for (const kind of ["pointermove", "pointerdown"]) chart.addEventListener(kind, onPointer);
chart.addEventListener("keydown", onKey);
if (data.metrics.length) {
  byId("controls").hidden = false;
  window.addEventListener("resize", render);
  render();
} else {
  byId("curves").hidden = true;
}

for (const figure of document.querySelectorAll("figure")) {
  const slider = figure.querySelector("input");
  if (!slider) continue;
  const steps = [...figure.querySelectorAll("[data-step]")];
  slider.hidden = false;
  slider.oninput = () => {
    steps.forEach((each, i) => { each.hidden = i !== slider.valueAsNumber; });
    const text = `step ${steps[slider.valueAsNumber].dataset.step}`;
    figure.querySelector("output").textContent = text;
    slider.setAttribute("aria-valuetext", text);
  };
  slider.oninput();
}
