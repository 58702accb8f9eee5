// The interactive parts of the page: the first chart, the table of runs (sort, filter), and the view of a run's curves.

const $ = (selector) => document.querySelector(selector);
const data = JSON.parse($("#data").textContent);
let curves = null; // most of the page's data; parsed when a run is first opened

/** An HTML element with `children`, strings or elements. */
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

const sizeName = (size) => (size === "all" ? "all images" : Number(size).toLocaleString("en-US"));

// The first chart: one line for each target size, one point for each condition.

function headline() {
  const { sizes, conditions, cells } = data.means;
  const dodge = Math.min(0.07, 0.5 / sizes.length);
  const series = sizes.map((size, rank) => ({
    name: sizeName(size), color: `var(--size-${rank})`, dash: DASHES[rank % 6], shape: SHAPES[rank % 6],
    points: conditions.map((condition, place) => {
      const cell = cells[`${size}/${condition}`] ?? {};
      const [low, high] = interval(cell);
      const title = `${condition}, ${sizeName(size)} a class: ${cell.accuracy} (${cell.n} runs)`;
      const x = place + (rank - (sizes.length - 1) / 2) * dodge;
      return { x, y: cell.accuracy, low, high, title, href: `#cell/${size}/${condition}` };
    }),
  }));
  const label = "Accuracy by condition, one line for each target size; the table below has the same values";
  $("#headline").append(
    make("p", { class: "legend" }, "images a class: ", ...series.flatMap((one) => [
      make("span", {}, swatch(one.color, one.dash, one.shape), ` ${one.name} `)])),
    chart(series, { width: 1080, height: 420, bands: conditions, yLabel: "top-1 accuracy", label }));
}

/** The ends of a cell's bar: its 95 % interval, else one standard deviation to each side. */
function interval(cell) {
  if (cell.low != null) return [cell.low, cell.high];
  return cell.sd == null ? [undefined, undefined] : [cell.accuracy - cell.sd, cell.accuracy + cell.sd];
}

// The table of runs.

const rows = [...document.querySelectorAll("#run-table tbody tr")];
const headButtons = [...document.querySelectorAll("#run-table thead button")];
const byKey = new Map(rows.map((row) => [row.dataset.key, row]));

/** The sort key of a row in a column: the number if it is one; conditions in the thesis' order. */
function sortValue(row, column) {
  const text = row.cells[column].textContent.trim();
  const order = data.order[data.columns[column]]?.indexOf(text) ?? -1;
  if (order >= 0) return order;
  const number = Number(text.replaceAll(",", ""));
  return text === "" ? null : Number.isNaN(number) ? text : number;
}

function sortBy(column) {
  const head = headButtons[column].parentElement;
  const descending = head.getAttribute("aria-sort") === "ascending";
  for (const button of headButtons) button.parentElement.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", descending ? "descending" : "ascending");
  const keyed = rows.map((row) => [sortValue(row, column), row]);
  keyed.sort(([a], [b]) => {
    if (a === null || b === null) return (a === null) - (b === null); // blanks last in both directions
    const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
    return descending ? -order : order;
  });
  $("#run-table tbody").append(...keyed.map(([, row]) => row));
}

function filter() {
  const form = new FormData($("#filters"));
  const words = form.get("text").toLowerCase().split(/\s+/).filter(Boolean);
  const selected = data.columns.map((column) => form.get(column) ?? "");
  let shown = 0;
  for (const row of rows) {
    const texts = row.texts ??= [...row.cells].slice(0, data.columns.length).map((cell) => cell.textContent.trim());
    const matches = selected.every((value, i) => value === "" || texts[i].replaceAll(",", "") === value)
      && words.every((word) => hasWord(row, texts, word));
    row.hidden = !matches;
    shown += matches;
  }
  $("#count").textContent = shown === rows.length ? `${shown} runs` : `${shown} of ${rows.length} runs`;
}

/** Whether a number is in a cell of the row; whether another word is part of the run's key or the start of a cell. */
function hasWord(row, texts, word) {
  if (/^[\d.,]+$/.test(word)) return texts.some((text) => text.replaceAll(",", "") === word.replaceAll(",", ""));
  return row.dataset.key.toLowerCase().includes(word) || texts.some((text) => text.toLowerCase().startsWith(word));
}

// The view of runs: one run, or all of a cell.

function show(keys, title) {
  curves ??= JSON.parse($("#curves").textContent);
  const looks = keys.filter((key) => byKey.has(key)).map((key, i) => ({
    key, color: `var(--run-${i % 6})`, dash: DASHES[Math.floor(i / 6) % 6], shape: SHAPES[i % 6] }));
  const withCurves = looks.filter(({ key }) => curves[key]);
  const plot = (name, zero, lines) => make("div", {},
    chart(lines, { width: 500, height: 290, zero, xLabel: "iteration", yLabel: name, label: name }));
  const tests = (column) => withCurves.map((look) => ({
    ...look, points: curves[look.key].tests.map((row) => ({ x: row[0], y: row[column] ?? undefined })) }));
  const training = withCurves.map((look) => ({
    ...look, shape: null, points: curves[look.key].train.map(([x, y]) => ({ x, y: y ?? undefined })) }));
  const validation = tests(2).map((one) => ({ ...one, dash: "7 3" }));
  $("#viewer-title").textContent = title;
  $("#viewer-body").replaceChildren(
    withCurves.length
      ? make("div", { class: "plots" }, plot("top-1 accuracy on the validation half", false, tests(1)),
        plot("log loss: training (solid), validation (dashed)", true, [...training, ...validation]))
      : make("p", { class: "muted" }, "The tables of this page have no curves of these runs."),
    facts(looks));
  if (!$("#viewer").open) $("#viewer").showModal();
}

/** The rows of these runs in the table of runs, each with the look of its line. */
function facts(looks) {
  const names = $("#run-table thead tr").cells;
  const head = make("tr", {}, make("th", { scope: "col" }, ""), ...[...names].map(
    (cell) => make("th", { scope: "col", class: cell.className }, cell.textContent.trim())));
  const lines = looks.map(({ key, color, dash, shape }) => make(
    "tr", {}, make("td", {}, swatch(color, dash, shape)), ...[...byKey.get(key).cells].map((cell) => cell.cloneNode(true))));
  return make("div", { class: "scroll" }, make("table", {}, make("thead", {}, head), make("tbody", {}, ...lines)));
}

/** Opens the run or cell in the address' fragment, #run/A2B/n0010/S3T/seed0 or #cell/10/S3T; else closes the view. */
function showFragment() {
  const [kind, ...rest] = decodeURIComponent(location.hash.slice(1)).split("/");
  if (kind === "run" && byKey.has(rest.join("/"))) show([rest.join("/")], rest.join("/"));
  else if (kind === "cell") {
    const keys = data.cells[rest.join("/")] ?? [];
    if (keys.length) show(keys, `${rest[1]}, ${sizeName(rest[0])} a class: ${keys.length} runs`);
  } else if ($("#viewer").open) $("#viewer").close();
}

headButtons.forEach((button, column) => button.addEventListener("click", () => sortBy(column)));
$("#filters").addEventListener("input", filter);
$("#filters").addEventListener("reset", () => setTimeout(filter));
$("#filters").addEventListener("submit", (event) => event.preventDefault());
$("#viewer").addEventListener("click", (event) => event.target === $("#viewer") && $("#viewer").close());
$("#viewer").addEventListener("close", () => {
  if (/^#(run|cell)\//.test(location.hash)) history.replaceState(null, "", " ");
});
addEventListener("hashchange", showFragment);
headline();
showFragment();
document.documentElement.dataset.ready = Math.round(performance.now());
