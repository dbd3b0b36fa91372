// What happens when: a picture comes, a knob moves, an answer arrives.

import { keys, models, restore, RefusedError } from "./api.js";
import { render } from "./card.js";
import { chart } from "./charts.js";
import { overlayOf } from "./keys.js";
import { decode, difference, GAIN, psnr } from "./pixels.js";
import { Viewer } from "./viewer.js";

const find = (id) => document.getElementById(id);
const WAIT_MS = 250; // a knob that still moves asks for nothing
const state = { models: [], samples: [], file: null, truth: null, running: null, timer: 0, keys: null, answer: null };
const viewer = new Viewer(find("viewer"), find("canvas"), (y, x) => showKeys(y, x));

function say(text) { find("status").textContent = text; }
function complain(error) {
  if (error?.name === "AbortError") return;
  find("error").textContent = error instanceof RefusedError ? error.message : `Something failed: ${error.message}`;
  find("error").hidden = false;
  say("");
}
function calm() { find("error").hidden = true; }
function model() { return state.models.find((one) => one.name === find("model").value); }
function asked() { return { k: find("k").value, strength: find("strength").value }; }

function numbers(rows) {
  find("numbers").replaceChildren(...rows.flatMap(([name, value]) => {
    const term = document.createElement("dt"), text = document.createElement("dd");
    term.textContent = name;
    text.textContent = value;
    return [term, text];
  }));
}

async function take(file, truth = null, credit = "") {
  if (!file) return;
  calm();
  Object.assign(state, { file, truth: truth && await decode(truth), keys: null, answer: null });
  find("credit").textContent = credit;
  find("truth").value = "";
  if (!truth) find("sample").value = "";
  viewer.before = viewer.after = viewer.changed = null;
  hideKeys();
  forget();
  find("empty").hidden = true;
  find("measure").disabled = !state.truth;
  find("k-curve").replaceChildren();
  await run(false);
}

// Nothing of the picture before stays: its result would be taken for that of one that is refused.
function forget() {
  const link = find("download");
  if (link.href) URL.revokeObjectURL(link.href);
  for (const name of ["href", "download"]) link.removeAttribute(name);
  link.setAttribute("aria-disabled", "true");
  numbers([]);
  find("canvas").setAttribute("aria-label", "No result yet");
}

// TIFF files are shown as the service's own PNG of them: no browser decodes them.
async function shown(file, signal) {
  try {
    return await decode(file);
  } catch {
    const { blob } = await restore(model().name, file, { ...asked(), strength: 0, format: "png" }, signal);
    return decode(blob);
  }
}

function soon() {
  reflect();
  clearTimeout(state.timer);
  state.timer = setTimeout(() => run(true), WAIT_MS);
}

async function run(keepPlace) {
  if (!state.file || !model()) return;
  clearTimeout(state.timer);
  state.running?.abort();
  const { signal } = (state.running = new AbortController());
  const { file } = state;
  say("Restoring…");
  try {
    const before = await shown(file, signal);
    if (!keepPlace) viewer.show(before, null, false);
    const answer = await restore(model().name, file, asked(), signal);
    let after;
    try {
      after = await decode(answer.blob);
    } catch {
      after = await decode((await restore(model().name, file, { ...asked(), format: "png" }, signal)).blob);
    }
    if (signal.aborted || file !== state.file) return;
    calm();
    viewer.changed = await difference(before, after);
    viewer.show(before, after, keepPlace && viewer.after !== null);
    tell(answer, before, after);
  } catch (error) {
    complain(error);
  }
}

function tell(answer, before, after) {
  state.answer = answer;
  const link = find("download");
  if (link.href) URL.revokeObjectURL(link.href);
  link.href = URL.createObjectURL(answer.blob);
  link.download = `restored-${state.file.name ?? "picture"}`;
  link.removeAttribute("aria-disabled");
  const size = `${before.width} × ${before.height}` + (viewer.scale === 1 ? "" : ` to ${after.width} × ${after.height}`);
  const rows = [["Size", `${size} pixels`], ["Model", `${answer.model} (version ${answer.version})`]];
  rows.push(["Time", `${answer.seconds.toFixed(2)} s at k = ${answer.k}`]);
  if (state.truth) {
    const was = psnr(before, state.truth), is = psnr(after, state.truth);
    const gain = was === null || is === null ? "" : ` (${is >= was ? "+" : ""}${(is - was).toFixed(2)})`;
    const told = is === null
      ? `the truth has ${state.truth.width} × ${state.truth.height} pixels, the result ${after.width} × ${after.height}`
      : `${was === null ? "" : `${was.toFixed(2)} dB before, `}${is.toFixed(2)} dB after${gain}`;
    rows.push(["PSNR over RGB", told]);
  }
  for (const note of answer.notes) rows.push(["Note", note]);
  numbers(rows);
  find("canvas").setAttribute("aria-label", `${state.file.name ?? "Picture"}, before and after: ${rows.map((row) => row.join(" ")).join("; ")}`);
  say(`Restored in ${answer.seconds.toFixed(2)} s.`);
}

function reflect() {
  find("k-shown").textContent = find("k").value;
  find("strength-shown").textContent = Number(find("strength").value).toFixed(2);
  const query = `k=${find("k").value}&strength=${find("strength").value}`;
  find("curl").textContent =
    `curl --data-binary @photo.jpg "${location.origin}/v1/restore/${model()?.name ?? "NAME"}?${query}" -o restored.jpg`;
}

function chosen() {
  const one = model();
  if (!one) return;
  if (one.most_k) {
    find("k").max = one.most_k;
    find("k").value = one.k;
  }
  find("setting").textContent = one.problem || (one.setting ? `Restores: ${one.setting}.` : "It does not say what it restores.");
  render(find("card"), one.card || "This model has no card.");
  const points = one.harm ?? [];
  const number = (value, digits = 2) => (value === null || value === undefined ? "–" : value.toFixed(digits));
  chart(find("harm"), {
    title: "Change in PSNR by restoring", unit: "dB", zero: true,
    labels: points.map((point) => point.strength),
    lines: [
      { name: "Line: mean", kind: "mean", values: points.map((point) => point.mean_db) },
      { name: "dashes: worst picture", kind: "worst", values: points.map((point) => point.worst_db) },
    ],
    heads: ["Strength", "Before, dB", "After, dB", "Mean change", "Worst picture"],
    rows: points.map((p) => [p.strength, number(p.input_db), number(p.restored_db), number(p.mean_db), number(p.worst_db)]),
  });
  hideKeys();
  reflect();
}

async function showKeys(y, x) {
  if (!state.file || !model()) return;
  Object.assign(find("row"), { value: y });
  Object.assign(find("column"), { value: x });
  say("Asking for the keys…");
  try {
    state.keys = await keys(model().name, state.file, { y, x, k: find("k").value });
    const choice = find("stage-choice"), former = choice.selectedIndex;
    choice.replaceChildren(...state.keys.stages.map((stage) => new Option(
      `${stage.name}: ${stage.keys.length} keys, tokens of ${stage.scale} × ${stage.scale} pixels`,
    )));
    choice.disabled = false;
    choice.selectedIndex = Math.min(Math.max(0, former), state.keys.stages.length - 1);
    drawKeys();
    calm();
  } catch (error) {
    complain(error);
  }
}

function drawKeys() {
  const number = find("stage-choice").selectedIndex, stage = state.keys.stages[number];
  viewer.overlay = overlayOf(state.keys, number);
  viewer.draw();
  const places = stage.keys.slice(0, 8).map(([row, column]) => `${row},${column}`).join(" ");
  say(`Row ${find("row").value}, column ${find("column").value}: ${stage.keys.length} keys in ${stage.name}, at tokens ${places}`
    + (stage.keys.length > 8 ? " …" : ""));
}

function hideKeys() {
  state.keys = viewer.overlay = null;
  find("stage-choice").replaceChildren(new Option("none yet"));
  find("stage-choice").disabled = true;
  viewer.draw();
}

async function measure() {
  const { file, truth } = state, one = model();
  const wanted = [1, 2, 4, 8, 16, 32, 64, 128, 256].filter((k) => k <= one.most_k);
  const found = [];
  find("measure").disabled = true;
  try {
    for (const k of wanted) {
      say(`Measuring k = ${k}…`);
      const { blob, seconds } = await restore(one.name, file, { ...asked(), k, format: "png" });
      if (file !== state.file) return;
      found.push({ k, value: psnr(await decode(blob), truth), seconds });
      chart(find("k-curve"), {
        title: "PSNR against k", unit: "dB", labels: found.map((point) => `k = ${point.k}`),
        lines: [{ name: `Line: ${one.name}`, kind: "mean", values: found.map((point) => point.value) }],
        heads: ["k", "PSNR, dB", "Seconds"],
        rows: found.map((p) => [p.k, p.value === null ? "sizes differ" : p.value.toFixed(3), p.seconds.toFixed(2)]),
      });
    }
    say("Measured.");
  } catch (error) {
    complain(error);
  } finally {
    find("measure").disabled = !state.truth;
  }
}

function dropping() {
  // A file dropped beside its place must not open in the place of the page; a file input takes it by itself.
  for (const kind of ["dragover", "drop"]) {
    window.addEventListener(kind, (event) => { if (event.target.type !== "file") event.preventDefault(); });
  }
  for (const place of [find("drop"), find("viewer")]) {
    place.addEventListener("dragover", (event) => { event.preventDefault(); place.classList.add("over"); });
    place.addEventListener("dragleave", () => place.classList.remove("over"));
    place.addEventListener("drop", (event) => {
      event.preventDefault();
      place.classList.remove("over");
      const [first] = event.dataTransfer.files;
      take(first).catch(complain);
    });
  }
}

async function sample(index) {
  const one = state.samples[index];
  const fetched = async (name) => {
    const blob = await (await fetch(`/page/samples/${name}`)).blob();
    return new File([blob], name, { type: blob.type });
  };
  await take(await fetched(one.file), await fetched(one.truth), one.credit);
}

async function start() {
  dropping();
  find("controls").addEventListener("submit", (event) => event.preventDefault());
  find("file").addEventListener("change", (event) => take(event.target.files[0]).catch(complain));
  find("truth").addEventListener("change", async (event) => {
    try {
      state.truth = event.target.files[0] ? await decode(event.target.files[0]) : null;
      find("measure").disabled = !state.truth;
      if (state.answer) tell(state.answer, viewer.before, viewer.after);
    } catch (error) { complain(error); }
  });
  find("sample").addEventListener("change", (event) => {
    if (event.target.value !== "") sample(Number(event.target.value)).catch(complain);
  });
  find("model").addEventListener("change", () => { chosen(); run(false); });
  for (const knob of ["k", "strength"]) find(knob).addEventListener("input", soon);
  find("k").addEventListener("change", () => { if (state.keys) showKeys(find("row").value, find("column").value); });
  find("divider").addEventListener("input", (event) => { viewer.divider = Number(event.target.value); viewer.draw(); });
  for (const radio of document.querySelectorAll("input[name=view]")) {
    radio.addEventListener("change", () => {
      viewer.view = radio.value;
      viewer.draw();
      say(radio.value === "difference" ? `Gray: unchanged; brighter or darker: ${GAIN} times the change.` : "");
    });
  }
  find("zoom-in").addEventListener("click", () => viewer.zoomBy(1.25));
  find("zoom-out").addEventListener("click", () => viewer.zoomBy(0.8));
  find("one-to-one").addEventListener("click", () => viewer.oneToOne());
  find("fit").addEventListener("click", () => viewer.fit());
  find("show-keys").addEventListener("click", () => showKeys(find("row").value, find("column").value));
  find("hide-keys").addEventListener("click", hideKeys);
  find("stage-choice").addEventListener("change", drawKeys);
  find("measure").addEventListener("click", measure);

  state.samples = await (await fetch("/page/samples/samples.json")).json();
  find("sample").append(...state.samples.map((one, index) => new Option(one.name, index)));
  state.models = (await models()).models;
  find("model").append(...state.models.map((one) => new Option(
    `${one.title ?? one.name}, version ${one.version ?? "none"}`, one.name,
  )));
  chosen();
}

start().catch(complain);
