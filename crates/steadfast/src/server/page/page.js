"use strict";
// Whatever comes from a model or a job is shown as text, never parsed as HTML.

const POLL_MILLISECONDS = 5000;
const ANSWER_TOKENS = 200;
const at = (id) => document.getElementById(id);
let key = "";

function headers() {
  const all = { "content-type": "application/json" };
  if (key) all.authorization = `Bearer ${key}`;
  return all;
}

async function ask(path, options = {}) {
  const response = await fetch(path, { headers: headers(), ...options });
  if (response.status === 401) at("key-form").hidden = false;
  if (!response.ok) {
    const body = await response.json().catch(() => ({}));
    const error = new Error(body.error?.message ?? `${response.status}`);
    error.code = body.error?.code;
    throw error;
  }
  return response;
}

function say(error) {
  at("trouble").textContent = error ? error.message : "";
}

function element(name, text) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  return made;
}

async function showModels() {
  const models = (await (await ask("/v1/models")).json()).data.map((model) => model.id);
  for (const [side, chosen] of [["left-model", 0], ["right-model", models.length - 1]]) {
    const select = at(side);
    const known = [...select.options].map((option) => option.value);
    if (known.join("\n") === models.join("\n")) continue;
    const before = select.value;
    select.replaceChildren(...models.map((model) => element("option", model)));
    // A model that has just been trained is what one wants to see beside the base.
    select.value = known.length && side === "left-model" ? before : models[chosen];
  }
}

// Server-sent events: `data: {…}` lines with an empty line between them.
async function answer(model, question, place) {
  place.textContent = "";
  const response = await ask("/v1/chat/completions", {
    method: "POST",
    body: JSON.stringify({
      model,
      messages: [{ role: "user", content: question }],
      max_tokens: ANSWER_TOKENS,
      temperature: 0,
      stream: true,
    }),
  });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let waiting = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (waiting + value).split("\n");
    waiting = lines.pop();
    for (const line of lines) {
      if (!line.startsWith("data: ") || line === "data: [DONE]") continue;
      const piece = JSON.parse(line.slice("data: ".length));
      if (piece.error) throw new Error(piece.error.message);
      place.textContent += piece.choices?.[0]?.delta?.content ?? "";
    }
  }
}

function curve(losses) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 100 40");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  const last = losses[losses.length - 1];
  svg.setAttribute("aria-label", `training loss, now ${last.toFixed(3)}`);
  const [low, high] = [Math.min(...losses), Math.max(...losses)];
  const points = losses.map((loss, index) => {
    const across = losses.length === 1 ? 50 : (100 * index) / (losses.length - 1);
    const down = high === low ? 20 : 38 - (36 * (loss - low)) / (high - low);
    return `${across.toFixed(2)},${down.toFixed(2)}`;
  });
  const line = document.createElementNS(space, "polyline");
  line.setAttribute("points", points.join(" "));
  svg.append(line);
  return svg;
}

const signed = (points) => (points > 0 ? "+" : "") + points.toFixed(1);

// What the job's model learnt and lost, an axis a row.
function changes(results) {
  const table = element("table");
  const head = table.createTHead().insertRow();
  for (const title of ["", "before", "after", "change", "95% interval", "items"]) head.append(element("th", title));
  const body = table.createTBody();
  for (const [axis, change] of Object.entries(results.arms[0].axes)) {
    if (!change) continue;
    const row = body.insertRow();
    row.append(element("th", axis));
    for (const value of [change.before, change.after]) row.append(element("td", value.toFixed(1)));
    row.append(element("td", signed(change.net_change)));
    row.append(element("td", change.ci95.map(signed).join(" … ")));
    row.append(element("td", String(change.n)));
  }
  return table;
}

// A link cannot carry a key: with one, the report is fetched and saved.
function reportLink(path, id) {
  const link = element("a", "whole report");
  link.href = path;
  link.target = "_blank";
  link.addEventListener("click", async (event) => {
    if (!key) return;
    event.preventDefault();
    try {
      const saved = element("a");
      saved.href = URL.createObjectURL(await (await ask(path)).blob());
      saved.download = `${id}.html`;
      saved.click();
      URL.revokeObjectURL(saved.href);
    } catch (error) {
      say(error);
    }
  });
  return link;
}

const FINAL = ["succeeded", "failed", "cancelled"];
const finished = new Map();

async function shownJob(job) {
  if (FINAL.includes(job.status) && finished.has(job.id)) return finished.get(job.id);
  const path = `/v1/fine_tuning/jobs/${encodeURIComponent(job.id)}/events?limit=1000`;
  const events = (await (await ask(path)).json()).data.reverse();
  const losses = events.map((event) => event.data?.train_loss).filter((loss) => Number.isFinite(loss));
  const item = element("li");
  item.append(element("h3", job.fine_tuned_model ?? job.id));
  item.append(element("p", `${job.status} · ${job.steadfast?.method ?? ""}`));
  item.append(element("p", events.length ? events[events.length - 1].message : ""));
  if (losses.length) item.append(curve(losses));
  if (job.steadfast?.results) {
    try {
      item.append(changes(await (await ask(job.steadfast.results)).json()));
      item.append(reportLink(job.steadfast.report, job.id));
    } catch (error) {
      item.append(element("p", error.message));
    }
  }
  if (FINAL.includes(job.status)) finished.set(job.id, item);
  return item;
}

async function showJobs() {
  let jobs = [];
  try {
    jobs = (await (await ask("/v1/fine_tuning/jobs?limit=20")).json()).data;
  } catch (error) {
    if (error.code !== "no_state") throw error;
    at("no-jobs").textContent = "This server keeps no jobs: start it with --state DIR.";
    return;
  }
  at("no-jobs").hidden = jobs.length > 0;
  at("jobs").replaceChildren(...(await Promise.all(jobs.map(shownJob))));
}

async function refresh() {
  try {
    await showModels();
    await showJobs();
    say(null);
  } catch (error) {
    say(error);
  }
  setTimeout(refresh, POLL_MILLISECONDS);
}

at("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  key = at("key").value.trim();
  at("key-form").hidden = true;
  showModels().then(showJobs).then(() => say(null), say);
});

at("ask").addEventListener("submit", async (event) => {
  event.preventDefault();
  at("send").disabled = true;
  const question = at("question").value;
  const sides = ["left", "right"].map((side) =>
    answer(at(`${side}-model`).value, question, at(`${side}-answer`)));
  const failed = (await Promise.allSettled(sides)).find((one) => one.status === "rejected");
  say(failed ? failed.reason : null);
  at("send").disabled = false;
});

refresh();
