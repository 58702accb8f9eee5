// A line chart as SVG: axes, lines with markers, intervals, points that are links.

const SVG = "http://www.w3.org/2000/svg";
const DASHES = ["", "9 3", "6 3 2 3", "2 3", "12 3 2 3", "4 2"];
const SHAPES = ["circle", "square", "diamond", "triangle", "down", "plus"];

/** An SVG element with `attributes`, below `parent`. */
function draw(parent, name, attributes = {}, text = "") {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== "") element.textContent = text;
  return parent.appendChild(element);
}

/** At most about `count` round numbers from `low` to `high`. */
function ticks(low, high, count) {
  const raw = (high - low || 1) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((x) => x * power).find((x) => x >= raw * 0.999);
  const values = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) values.push(i * step + 0); // + 0: -0 becomes 0
  return values;
}

const plain = (value) => value.toLocaleString("en-US", { maximumFractionDigits: 4 });

/** A marker of size 4 around x, y. Its shape distinguishes lines of similar colours. */
function marker(parent, shape, x, y) {
  const r = 4;
  const paths = {
    square: `M${x - r},${y - r}h${2 * r}v${2 * r}h${-2 * r}z`,
    diamond: `M${x},${y - 5.5}l5.5,5.5l-5.5,5.5l-5.5,-5.5z`,
    triangle: `M${x},${y - 5}l5,9h-10z`,
    down: `M${x},${y + 5}l5,-9h-10z`,
    plus: `M${x - 1.6},${y - 5}h3.2v3.4h3.4v3.2h-3.4v3.4h-3.2v-3.4h-3.4v-3.2h3.4z`,
  };
  if (shape === "circle") return draw(parent, "circle", { class: "mark", cx: x, cy: y, r });
  return draw(parent, "path", { class: "mark", d: paths[shape] });
}

/**
 * Draws `series`: [{ name, color, dash, shape, points: [{ x, y, low, high, href, title }] }] and returns the SVG.
 *
 * `options`: width, height, label (a description for screen readers), yLabel, xLabel, bands (names of the positions
 * 0, 1, 2, ... on the x axis; without them it is a numeric scale), zero (whether y starts at 0).
 */
function chart(series, options) {
  const { width, height, bands, zero } = options;
  const box = { left: 52, right: width - 16, top: options.yLabel ? 30 : 12, bottom: height - (options.xLabel ? 44 : 30) };
  const svg = draw(document.createDocumentFragment(), "svg", {
    class: "plot", viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": options.label,
  });
  const points = series.flatMap((one) => one.points);
  const ys = points.flatMap((p) => [p.y, p.low ?? p.y, p.high ?? p.y]).filter(Number.isFinite);
  const xs = points.map((p) => p.x);
  let [low, high] = ys.length ? [zero ? 0 : Math.min(...ys), Math.max(...ys)] : [0, 1];
  const room = (high - low || 0.1) * 0.06;
  [low, high] = [zero ? 0 : low - room, high + room];
  const [first, last] = bands ? [-0.5, bands.length - 0.5] : [Math.min(0, ...xs), Math.max(1, ...xs)];
  const x = (value) => box.left + ((value - first) / (last - first)) * (box.right - box.left);
  const y = (value) => box.bottom - ((value - low) / (high - low)) * (box.bottom - box.top);

  for (const value of ticks(low, high, Math.max(3, height / 60))) {
    draw(svg, "line", { class: "grid", x1: box.left, x2: box.right, y1: y(value), y2: y(value) });
    draw(svg, "text", { class: "tick", x: box.left - 8, y: y(value) + 4, "text-anchor": "end" }, plain(value));
  }
  const places = bands ? bands.map((name, at) => [at, name]) : ticks(first, last, width / 90).map((v) => [v, plain(v)]);
  for (const [at, name] of places) {
    draw(svg, "text", { class: "tick", x: x(at), y: box.bottom + 20, "text-anchor": "middle" }, name);
  }
  if (options.yLabel) draw(svg, "text", { class: "label", x: 4, y: 12 }, options.yLabel);
  if (options.xLabel) {
    draw(svg, "text", { class: "label", x: (box.left + box.right) / 2, y: height - 4, "text-anchor": "middle" }, options.xLabel);
  }
  for (const one of series) drawSeries(svg, one, x, y);
  return svg;
}

/** One line: its intervals, the line with a gap where a value is missing, and its markers on top. */
function drawSeries(svg, one, x, y) {
  const group = draw(svg, "g", { style: `--ink: ${one.color}` });
  const drawn = one.points.filter((p) => Number.isFinite(p.y));
  for (const p of drawn) {
    if (Number.isFinite(p.low) && Number.isFinite(p.high)) {
      draw(group, "line", { class: "bar", x1: x(p.x), x2: x(p.x), y1: y(p.low), y2: y(p.high) });
    }
  }
  let pen = "M";
  const path = one.points.map((p) => {
    if (!Number.isFinite(p.y)) return (pen = "M"), "";
    const step = `${pen}${x(p.x).toFixed(1)},${y(p.y).toFixed(1)}`;
    pen = "L";
    return step;
  });
  draw(group, "path", { class: "curve", d: path.join(""), "stroke-dasharray": one.dash ?? "" });
  for (const p of one.shape ? drawn : []) {
    const link = p.href ? draw(group, "a", { href: p.href, tabindex: -1, "aria-label": p.title }) : group;
    marker(link, one.shape, x(p.x), y(p.y));
    if (p.href) draw(draw(link, "circle", { class: "hit", cx: x(p.x), cy: y(p.y), r: 11 }), "title", {}, p.title);
  }
}

/** A short piece of a line for a legend. */
function swatch(color, dash, shape) {
  const svg = draw(document.createDocumentFragment(), "svg", {
    class: "swatch", viewBox: "0 0 34 12", "aria-hidden": "true",
  });
  const group = draw(svg, "g", { style: `--ink: ${color}` });
  draw(group, "path", { class: "curve", d: "M0,6L34,6", "stroke-dasharray": dash ?? "" });
  if (shape) marker(group, shape, 17, 6);
  return svg;
}
