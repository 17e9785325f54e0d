// SPDX-License-Identifier: GPL-3.0-or-later
"use strict";
const { metrics, classic, verdict, paysOff, sources, film, magma } = JSON.parse(document.getElementById("data").textContent);
const { mean, noise_floor: floor, views } = metrics;
const byId = id => document.getElementById(id);
document.documentElement.style.setProperty("--magma", magma.join(","));

// texts only ever enter the page as text
function element(name, attributes = {}, ...children) {
  const made = name.startsWith("svg:")
    ? document.createElementNS("http://www.w3.org/2000/svg", name.slice(4)) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const METRICS = [
  { key: "psnr", name: "PSNR", unit: "dB", digits: 2, higher: true,
    says: "Pixel error over the whole picture. Higher is better; from about 40 dB on it is hard to see." },
  { key: "psnr_foreground", name: "PSNR, foreground", unit: "dB", digits: 2, higher: true,
    says: "The same where there is something to see: an empty background cannot flatter it." },
  { key: "ssim", name: "SSIM", unit: "", digits: 4, higher: true,
    says: "Likeness of local structure, edges and contrast. 1 is identical." },
  { key: "flip", name: "ꟻLIP", unit: "", digits: 4, higher: false,
    says: "What an eye notices when flipping between the two at a normal distance. 0 is identical." },
];
// without a number: nothing differs, or there is nothing to measure
function shown(metric, entry) {
  const value = entry[metric.key];
  if (value !== null) return value.toFixed(metric.digits);
  return metric.key === "ssim" || metric.key === "psnr_foreground" && entry.foreground === 0 ? "–" : "∞";
}
function seconds(value) {
  if (value >= 3600) return `${Math.floor(value / 3600)} h ${Math.round(value % 3600 / 60)} min`;
  if (value >= 60) return `${Math.floor(value / 60)} min ${Math.round(value % 60)} s`;
  if (value >= 1) return `${value.toFixed(value < 10 ? 2 : 1)} s`;
  return value >= 0.01 ? `${Math.round(value * 1000)} ms` : `${+(value * 1000).toPrecision(2)} ms`;
}
function bytes(value) {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let unit = 0;
  for (; value >= 1000 && unit < 4; unit++) value /= 1000;
  return `${unit && value < 100 ? value.toFixed(1) : value.toFixed(0)} ${units[unit]}`;
}
// the colours of a ꟻLIP map
const scale = () => element("span", { class: "legend" }, "0", element("i"), "1");
const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;
const animated = new Set(views.map(view => view.frame)).size > 1;
const nameOf = view => `View ${view.index}` + (animated ? `, frame ${view.frame}` : "");

// the header
const { dataset, twin, view_transform: transform, machine } = metrics;
const benchmark = metrics.protocol === "nerf-synthetic";
const scene = dataset.scene || dataset.path.replace(/^.*[\\/]|\.h5$/g, "");
byId("title").textContent = scene;
byId("verdict").textContent = verdict;
const sizes = [...new Set(views.map(view => view.size.join(" × ")))];
byId("facts").textContent = [
  `${plural(views.length, "view")} that the twin never saw`, sizes.length < 4 ? sizes.join(", ") : "many sizes",
  benchmark ? "measured as NeRF-Synthetic does" : `${transform.view} view transform`, metrics.train_seconds === null ? "" : `trained for ${seconds(metrics.train_seconds)}`,
].filter(Boolean).join(" · ");
byId("notes").append(...metrics.warnings.map(text => element("p", { class: "note" }, text)));

// the mean figures, each with the spread of the views around it
function spread(metric) {
  const points = views.map(view => [view, view[metric.key]]).filter(([, value]) => value !== null);
  const drawing = element("svg:svg", { class: "spread", role: "img" });
  if (!points.length) return drawing;
  const limit = floor && floor[metric.key] !== null ? floor[metric.key] : null;
  const all = points.map(([, value]) => value).concat(limit ?? []);
  const [low, high] = [Math.min(...all), Math.max(...all)];
  const room = (high - low) * 0.06 || Math.abs(high) * 0.05 || 1;
  const x = value => `${(2 + 96 * (value - low + room) / (high - low + 2 * room)).toFixed(2)}%`;
  const worst = metric.higher ? Math.min(...points.map(p => p[1])) : Math.max(...points.map(p => p[1]));
  const best = metric.higher ? Math.max(...points.map(p => p[1])) : Math.min(...points.map(p => p[1]));
  drawing.setAttribute("aria-label", `Worst view ${worst.toFixed(metric.digits)}, best view ${best.toFixed(metric.digits)}`
    + (limit === null ? "" : `, noise floor ${limit.toFixed(metric.digits)}`));
  drawing.append(element("svg:line", { class: "rail", x1: "1%", x2: "99%", y1: 14, y2: 14 }));
  for (const [view, value] of points)
    drawing.append(element("svg:circle", { class: "dot", cx: x(value), cy: 14, r: 5 },
      element("svg:title", {}, `${nameOf(view)}: ${value.toFixed(metric.digits)}`)));
  if (mean[metric.key] !== null) drawing.append(
    element("svg:line", { class: "mean", x1: x(mean[metric.key]), x2: x(mean[metric.key]), y1: 5, y2: 23 }));
  if (limit !== null) {
    const right = parseFloat(x(limit)) > 50;
    drawing.append(element("svg:line", { class: "floor", x1: x(limit), x2: x(limit), y1: 3, y2: 25 }),
      element("svg:text", { class: "floor-text", x: right ? "100%" : "0%", y: 40, "text-anchor": right ? "end" : "start" },
        `noise floor ${limit.toFixed(metric.digits)}`));
    drawing.append(element("svg:text", { x: right ? "0%" : "100%", y: 40, "text-anchor": right ? "start" : "end" },
      `worst ${worst.toFixed(metric.digits)}`));
  } else if (points.length > 1) {
    drawing.append(element("svg:text", { x: "0%", y: 40 }, low.toFixed(metric.digits)),
      element("svg:text", { x: "100%", y: 40, "text-anchor": "end" }, high.toFixed(metric.digits)));
  }
  return drawing;
}
const whole = { ...mean, foreground: Math.max(...views.map(view => view.foreground)) };
for (const metric of METRICS) {
  const unit = mean[metric.key] !== null && metric.unit ? element("span", { class: "unit" }, ` ${metric.unit}`) : "";
  byId("metrics").append(element("div", { class: "card" }, element("h3", {}, metric.name),
    element("div", { class: "figure" }, shown(metric, whole), unit), spread(metric),
    element("p", { class: "small quiet" }, metric.key === "ssim" && mean.ssim === null
      ? "Pictures below 11 × 11 pixels have none." : metric.says)));
}

// once around the scene
if (metrics.turntable) {
  const turning = metrics.turntable;
  const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  const video = element("video", { src: film, controls: "", loop: "", playsinline: "", preload: "auto",
    "aria-label": `Film around the scene: ${turning.sides.join(", ")}` });
  video.muted = true;
  window.addEventListener("beforeprint", () => { video.controls = false; });
  window.addEventListener("afterprint", () => { video.controls = true; });
  video.autoplay = !still;
  byId("film").append(video);
  byId("film-sides").append(...turning.sides.map(side => element("span", {}, side)));
  const alone = turning.sides.length === 1;
  byId("film-words").append(element("span", {}, [`${turning.frames} frames`,
    alone ? "the twin alone: no scene was given to render beside it" : turning.psnr === null ? "" : `PSNR ${turning.psnr.toFixed(1)} dB in the mean`,
    `a frame of the twin in ${seconds(turning.neural_seconds)}` + (alone || !turning.classic_seconds ? "" : `, of ${classic} in ${seconds(turning.classic_seconds)}`),
  ].filter(Boolean).join(" · ")), ...(alone ? [] : [scale()]));
  byId("turntable").hidden = false;
}

// when the twin pays off
byId("pays-off").append(...paysOff.map((text, number) => element("p", { class: number ? "quiet" : "lead" }, text)));
if (document.querySelector(".plot")) {
  const ladder = metrics.noise_ladder;
  byId("plot-words").textContent = [
    ladder ? `One frame: view ${ladder.index}, by the twin, and by ${classic} with more and more samples${ladder.denoised ? ", denoised each time" : ""}.`
      : dataset.blender ? "How the classic render gets better with its samples was not measured when this dataset was made."
      : "These pictures were imported: how long they took, and how good they were when, is not known.",
    metrics.training.history.length ? `Before its first frame the twin is trained${metrics.costs.dataset_seconds === null ? "" : " on the rendered dataset"}; how good it was when is measured on other views, kept for that.` : "",
  ].filter(Boolean).join(" ");
  byId("plot").hidden = false;
}

// time and size
function bars(rows, words) {
  const largest = Math.max(...rows.map(row => row.value));
  return element("dl", { class: "bars small" }, ...rows.flatMap(row => [
    element("dt", {}, row.name),
    element("dd", {}, element("div", { class: "rail" },
      element("div", { class: `fill ${row.side || ""}`, style: `width:${largest ? 100 * row.value / largest : 0}%` }))),
    element("dd", { class: "amount" }, row.value > 0 ? words(row.value) : "unknown"),
  ]));
}
// both sides, line by line: a classic column for each number of samples that is worth a look
function ledger() {
  const { costs } = metrics;
  const judge = floor && views.find(view => view.index === floor.index);
  const likeness = judge ? judge.psnr : mean.psnr;
  const decibels = value => value === null ? "–" : `${value.toFixed(1)} dB`;
  const columns = costs.classic.map(way => ({ side: "classic", name: classic, below: plural(way.samples < 10 ? +way.samples.toFixed(1) : Math.round(way.samples), "sample"),
    psnr: decibels(way.psnr), frame: seconds(way.seconds),
    from: costs.fixed_seconds === null ? "unknown" : way.break_even_frames === null ? "never" : plural(way.break_even_frames, "frame").replace(/^\d+/, count => Number(count).toLocaleString("en")) }));
  const fixed = value => value === null ? "unknown" : seconds(value);
  const twin = { side: "neural", name: "Twin", below: machine.device === "cpu" ? plural(machine.cores, "core") : machine.device };
  const row = (name, values, last, kind = "") => element("tr", { class: kind }, element("th", { scope: "row" }, name),
    ...values.map(value => element("td", {}, value)), element("td", {}, last));
  const dash = columns.map(() => "–");
  return element("div", { class: "ledger-room" }, element("table", { class: "ledger" },
    element("thead", {}, element("tr", {}, element("td"), ...[...columns, twin].map(column =>
      element("th", { scope: "col", class: column.side }, element("b", {}, column.name), column.below)))),
    element("tbody", {},
      row(judge ? `PSNR, view ${judge.index}` : "PSNR, mean", columns.map(column => column.psnr), decibels(likeness)),
      row("A frame", columns.map(column => column.frame), seconds(costs.neural_seconds)),
      row(`Dataset, ${plural(costs.dataset_views, "view")}`, dash, fixed(costs.dataset_seconds)),
      row("Training", dash, fixed(costs.train_seconds)),
      ...(columns.length ? [row("The twin pays off from", columns.map(column => column.from), "", "total")] : []))));
}
const where = machine.device === "cpu" ? machine.processor : `${machine.device} and ${machine.processor}`;
byId("costs").append(
  element("div", { class: "card" }, element("h3", {}, "Time"), ledger(),
    element("p", { class: "small quiet" }, "Means over the held-out views. The twin on " + where
      + (dataset.blender ? `; ${classic} as it was measured when the dataset was rendered.` : "."))),
  element("div", { class: "card" }, element("h3", {}, "Size on disk"),
    bars([{ name: "Scene (.blend)", value: metrics.bytes.scene, side: "classic" },
          { name: "Dataset (.h5)", value: metrics.bytes.dataset },
          { name: "Twin (.twin)", value: metrics.bytes.twin, side: "neural" }].filter(row => row.value > 0), bytes),
    element("p", { class: "small quiet" }, "The dataset is needed for training and for this comparison only; the twin stands alone."
      + (metrics.bytes.scene > 0 ? " Files that the .blend needs beside itself are not counted." : ""))));

// the views
byId("views-title").textContent = plural(views.length, "view");
function wipe(view) {
  const slider = element("input", { type: "range", min: 0, max: 100, step: 1, value: 50,
    "aria-label": `${nameOf(view)}: wipe between ${classic} and Radiance Twin` });
  const left = element("span", { class: "pill left" }, classic);
  const right = element("span", { class: "pill right" }, "Radiance Twin");
  const frame = element("div", { class: "frame wipe" }, picture(view, "classic"),
    picture(view, "neural", "over"), left, right,
    element("div", { class: "line" }, element("div", { class: "grip" })), slider);
  const draw = () => {
    const cut = Number(slider.value);
    frame.style.setProperty("--cut", `${cut}%`);
    slider.setAttribute("aria-valuetext", `${classic} ${Math.round(cut)} %, Radiance Twin ${Math.round(100 - cut)} %`);
    left.classList.toggle("gone", cut < 22);
    right.classList.toggle("gone", cut > 68);
  };
  const follow = event => {
    const box = frame.getBoundingClientRect();
    slider.value = 100 * (event.clientX - box.left) / box.width;
    draw();
  };
  frame.addEventListener("pointerdown", event => {
    if (event.button) return;
    frame.setPointerCapture(event.pointerId);
    follow(event);
  });
  frame.addEventListener("pointermove", event => frame.hasPointerCapture(event.pointerId) && follow(event));
  // without this the browser would take the focus off the slider again
  frame.addEventListener("mousedown", event => { event.preventDefault(); slider.focus({ preventScroll: true, focusVisible: false }); });
  slider.addEventListener("input", draw);
  draw();
  return frame;
}
const WORDS = { classic: () => `rendered by ${classic}`, neural: () => "seen by the field", flip: () => "map of the visible difference" };
function picture(view, kind, name = "") {
  return element("img", { src: sources[view.index][kind], alt: `${nameOf(view)}, ${WORDS[kind]()}`, class: name,
    decoding: "async", draggable: "false" });
}
function panel(name, content, ...caption) {
  return element("figure", { class: `panel ${name}` }, content, element("figcaption", {}, ...caption));
}
function card(view, worst) {
  const still = kind => element("div", { class: "frame" }, picture(view, kind));
  const figures = METRICS.map(metric => element("div", {}, element("dt", { title: metric.says }, metric.name),
    element("dd", {}, shown(metric, view) + (metric.unit && view[metric.key] !== null ? ` ${metric.unit}` : ""))));
  const times = element("div", {}, element("dt", {}, "Time"), element("dd", {},
    `${view.classic_seconds > 0 ? seconds(view.classic_seconds) : "unknown"} → ${seconds(view.neural_seconds)}`));
  const made = element("article", { class: "view card", id: `view-${view.index}` },
    element("div", { class: "view-head" },
      element("h3", {}, nameOf(view), worst ? element("span", { class: "tag" }, " · differs most") : ""),
      element("dl", { class: "figures" }, ...figures, times)),
    element("div", { class: "panels" },
      panel("wiping", wipe(view), element("span", {}, "Drag", element("span", { class: "keys" }, ", or use the arrow keys")), element("span", { class: "zoom" })),
      panel("side", still("classic"), element("span", {}, classic), element("span", { class: "zoom" })),
      panel("side", still("neural"), element("span", {}, "Radiance Twin"), element("span", { class: "zoom" })),
      panel("map", still("flip"), element("span", {}, "ꟻLIP"), scale())));
  made.style.setProperty("--ratio", `${view.size[0]} / ${view.size[1]}`);
  return made;
}
// what is seen most comes first
const worstFirst = [...views].sort((a, b) => b.flip - a.flip);
const cards = new Map(worstFirst.map((view, rank) => [view, card(view, rank === 0 && views.length > 1)]));

// Small pictures are enlarged by whole device pixels, so that what is seen is what was measured; large ones are reduced.
function fit() {
  const mode = document.body.dataset.mode;
  const density = window.devicePixelRatio || 1;
  for (const [view, made] of cards) {
    const box = getComputedStyle(made);
    const room = Math.floor(made.clientWidth - parseFloat(box.paddingLeft) - parseFloat(box.paddingRight));
    const [width, height] = view.size;
    let zoom = 1, beside = 0;
    for (const columns of mode === "side" ? [3, 2, 1] : [2, 1]) {
      const widest = Math.floor(Math.min((room - 16 * (columns - 1)) / columns, 0.86 * window.innerHeight * width / height));
      zoom = widest >= width / density ? Math.floor(widest * density / width) / density : widest / width;
      beside = room - columns * (zoom * width + 16);
      if (zoom * width >= 220) break;
    }
    // what the pictures leave free takes the figures
    made.classList.toggle("aside", beside >= 215);
    made.style.setProperty("--shown", `${zoom * width}px`);
    made.style.setProperty("--rendering", zoom * density >= 1 ? "pixelated" : "auto");
    const words = zoom === 1 ? "" : zoom > 1 ? `enlarged × ${+zoom.toFixed(2)}, unfiltered` : `reduced to ${Math.round(zoom * 100)} %`;
    for (const caption of made.querySelectorAll(".zoom")) caption.textContent = words;
  }
}

// all of them at a glance
byId("sheet-words").textContent = `${classic} | Radiance Twin | ꟻLIP, the worst first. A click leads to the view.`;
byId("sheet").append(...worstFirst.map(view => {
  const triple = element("div", { class: "triple" }, ...["classic", "neural", "flip"].map(kind => picture(view, kind)));
  const link = element("a", { href: `#view-${view.index}` }, triple,
    element("div", { class: "caption" }, element("span", {}, nameOf(view)), element("b", {}, view.psnr === null ? "identical" : `${view.psnr.toFixed(1)} dB`)));
  link.style.setProperty("--ratio", `${view.size[0]} / ${view.size[1]}`);
  // the address keeps the two choices below, so that the link must not replace it
  link.addEventListener("click", event => {
    event.preventDefault();
    cards.get(view).scrollIntoView({ behavior: "smooth" });
    cards.get(view).querySelector("input").focus({ preventScroll: true });
  });
  return link;
}));

// whose error it is
const objects = (metrics.objects || []).filter(thing => thing.psnr !== null);
const MOST_OBJECTS = 16;
if (objects.length) {
  const best = Math.max(...objects.map(thing => thing.psnr));
  const rows = objects.map(thing => element("li", { title: `${thing.pixels.toLocaleString("en")} pixels in ${plural(thing.views, "view")}` },
    element("span", {}, thing.names.join(", ") || `Index ${thing.index}`),
    element("span", { class: "rail" }, element("span", { class: "fill", style: `width:${100 * Math.max(thing.psnr, 0) / best}%` })),
    element("b", {}, `${thing.psnr.toFixed(1)} dB`)));
  byId("objects").append(...rows.slice(0, MOST_OBJECTS));
  if (rows.length > MOST_OBJECTS) {
    byId("more-objects").hidden = false;
    byId("more-objects").querySelector("summary").textContent = `${rows.length - MOST_OBJECTS} more`;
    byId("more-objects").querySelector("ol").append(...rows.slice(MOST_OBJECTS));
  }
  byId("objects-section").hidden = false;
}

// the two choices, kept in the address so that a link shows what its sender saw
function choose(mode, order) {
  document.body.dataset.mode = mode;
  byId("views").replaceChildren(...(order === "index" ? views : worstFirst).map(view => cards.get(view)));
  fit();
}
const chosen = name => document.querySelector(`input[name=${name}]:checked`).value;
for (const input of document.querySelectorAll(".choice input")) input.addEventListener("change", () => {
  choose(chosen("mode"), chosen("order"));
  try { history.replaceState(null, "", `#mode=${chosen("mode")}&order=${chosen("order")}`); } catch { /* a file that may not */ }
});
const wanted = new URLSearchParams(location.hash.slice(1));
for (const name of ["mode", "order"]) for (const input of document.getElementsByName(name)) {
  if (input.value === wanted.get(name)) input.checked = true;
}
choose(chosen("mode"), chosen("order"));
window.addEventListener("resize", fit);

// where it all comes from
const origin = [
  ["Dataset", `${dataset.path} · SHA-256 ${dataset.sha256.slice(0, 16)}…` + (dataset.blender ? ` · Blender ${dataset.blender}` : "")],
  ["Twin", `${twin.path} · SHA-256 ${twin.sha256.slice(0, 16)}…`],
  ["Colour", benchmark ? "NeRF-Synthetic's own protocol: both sides composited over white with their sRGB values, fractions of an 8-bit level cut off"
    : `Both sides composited over (${metrics.background.map(value => +value.toFixed(3)).join(", ")}) in scene-linear light, `
    + `then ${transform.display} / ${transform.view}, look ${transform.look}, exposure ${transform.exposure}, as 8-bit pictures`],
  ["Metrics", "PSNR per view, then the mean in dB. SSIM with an 11 × 11 Gaussian window, σ 1.5, on RGB; smaller pictures have none. ꟻLIP for low dynamic range, 67 pixels per degree."],
  ["Noise floor", floor ? `View ${floor.index} rendered twice by ${classic} with different seeds, compared with itself: no twin can be expected to do better.`
    : "Not measured: the dataset holds no view that was rendered twice."],
  ["Machine", `${machine.processor} · ${machine.system} · torch ${machine.torch} on ${machine.device} · Python ${machine.python}`],
];
byId("origin").append(...origin.flatMap(([term, text]) => [element("dt", {}, term), element("dd", {}, text)]));
