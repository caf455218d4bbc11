// What a window does: it says what a person chose, and shows the panels that are new. All else is the server's.
"use strict";

const live = document.getElementById("live");
const problem = document.getElementById("problem");
const viewer = document.getElementById("viewer");
const have = Object.fromEntries(
  [...document.querySelectorAll("[data-panel]")].map((panel) => [panel.dataset.panel, Number(panel.dataset.version)]),
);
let later = 0;
let asked = {};

function tell(text) {
  problem.querySelector("p").textContent = text;
  problem.hidden = !text;
}

async function post(path, body) {
  try {
    const answer = await fetch(path, { method: "POST", body: body ?? "" });
    const data = await answer.json();
    if (data.problem) tell(data.problem);
    else await show(data);
    return !data.problem;
  } catch {
    tell("The Studio does not answer: see the terminal it was started in, then reload this page.");
    return false;
  }
}

function valueOf(input) {
  if (input.dataset.values) return input.dataset.values.split(" ")[input.value];
  return input.type === "checkbox" ? String(input.checked) : input.value;
}

function say(name) {
  for (const output of document.querySelectorAll(`[data-shows="${name}"]`)) {
    const value = valueOf(document.querySelector(`[data-setting="${name}"]`));
    output.textContent = name === "sparsity" ? `${Math.round(100 * value)} %` : value;
  }
}

function choose(input, wait) {
  asked[input.dataset.setting] = valueOf(input);
  say(input.dataset.setting);
  clearTimeout(later);
  later = setTimeout(async () => {
    const form = new URLSearchParams(asked);
    asked = {};
    await post("/settings", form);
  }, wait);
}

async function show(state) {
  for (const input of document.querySelectorAll("[data-setting]")) {
    const name = input.dataset.setting;
    if (input === document.activeElement || name in asked) continue;
    const value = String(state.settings[name]);
    if (input.dataset.values) input.value = input.dataset.values.split(" ").indexOf(value);
    else if (input.type === "checkbox") input.checked = value === "true";
    else if (input.value !== value) input.value = value;
    say(name);
  }
  document.getElementById("start").disabled = state.running;
  const stale = Object.keys(state.versions).filter((name) => have[name] !== state.versions[name]);
  await Promise.all(stale.map((name) => renew(name, state.versions[name])));
  document.body.classList.toggle("busy", state.busy.length > 0);
  return state.busy.length > 0 || state.running;
}

async function renew(name, version) {
  const panel = document.querySelector(`[data-panel="${name}"]`);
  if (panel.contains(document.activeElement) && /^(SELECT|INPUT)$/.test(document.activeElement.tagName)) return;
  const answer = await fetch(`/panel/${name}`);
  if (!answer.ok) return;
  const open = new Map([...panel.querySelectorAll("details")].map((item, at) => [item.dataset.keep ?? at, item.open]));
  const checked = [...panel.querySelectorAll("[data-build]:checked")].map((item) => item.dataset.build);
  panel.innerHTML = await answer.text();
  [...panel.querySelectorAll("details")].forEach((item, at) => {
    const key = item.dataset.keep ?? at;
    if (open.has(key)) item.open = open.get(key);
  });
  for (const item of panel.querySelectorAll("[data-build]")) item.checked = checked.includes(item.dataset.build);
  for (const item of panel.querySelectorAll("[data-bottom]")) item.scrollTop = item.scrollHeight;
  have[name] = version;
}

async function watch() {
  let soon = false;
  try {
    const answer = await fetch("/state");
    if (answer.status === 403) throw new Error("token");
    soon = await show(await answer.json());
    live.textContent = soon ? "working" : "connected";
    live.className = soon ? "live works" : "live";
  } catch (error) {
    const other = error.message === "token";
    live.textContent = other ? "open the address with the token" : "no answer from the Studio";
    live.className = "live gone";
  }
  setTimeout(watch, soon ? 250 : document.hidden ? 3000 : 700);
}

async function upload(files) {
  for (const file of files) {
    live.textContent = `loading ${file.name}`;
    const offer = new URLSearchParams({ name: file.name, length: file.size });
    if (await post("/offer", offer)) await post(`/upload?name=${encodeURIComponent(file.name)}`, file);
  }
}

function view(path, title) {
  viewer.hidden = false;
  viewer.querySelector("h2").textContent = title;
  const frame = viewer.querySelector("iframe");
  frame.onload = () => {
    const inner = frame.contentDocument?.documentElement;
    if (inner) frame.style.height = `${inner.scrollHeight + 8}px`;
  };
  frame.src = path;
  viewer.scrollIntoView({ block: "start" });
}

document.addEventListener("input", (event) => {
  if (event.target.matches('input[type="range"][data-setting]')) choose(event.target, 60);
});
document.addEventListener("change", (event) => {
  if (event.target.id === "upload") upload(event.target.files);
  else if (event.target.matches("[data-setting]:not([type=range])")) {
    choose(event.target, 0);
    if (event.target.tagName === "SELECT") event.target.blur();
  }
});
document.addEventListener("click", async (event) => {
  const target = event.target.closest("button, a");
  if (!target) return;
  const { post: path, form, view: build } = target.dataset;
  if (path) {
    target.disabled = true;
    tell("");
    await post(path, form ? new URLSearchParams(form) : "");
    target.disabled = false;
  } else if (build !== undefined) {
    event.preventDefault();
    view(target.getAttribute("href"), build);
  } else if ("compare" in target.dataset) {
    const chosen = [...document.querySelectorAll("[data-build]:checked")].map((item) => item.dataset.build);
    if (chosen.length < 2) return tell("Builds are compared two or more at a time: choose them first.");
    view(`/compare?${new URLSearchParams(chosen.map((name) => ["build", name]))}`, chosen.join(" and "));
  } else if ("close" in target.dataset) {
    target.closest("#problem, #viewer").hidden = true;
  }
});
for (const kind of ["dragover", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    if (kind === "drop") upload(event.dataTransfer.files);
  });
}
for (const name of ["sparsity", "bits"]) say(name);
watch();
