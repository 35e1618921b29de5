"use strict";
// Shows the items: filtered, searched, a chunk at a time. Text is only ever set as text.
(() => {
  const CHUNK = 40;
  const data = JSON.parse(document.getElementById("data").textContent);
  const by = (id) => document.getElementById(id);
  const [list, more, count] = [by("list"), by("more"), by("count")];
  const filters = { axis: by("axis"), suite: by("suite"), arm: by("arm"), search: by("search"), flipped: by("flipped") };

  const texts = data.items.map((row) =>
    [row.item, row.prompt, row.before.reply, ...Object.values({ ...row.own_before }).map((side) => side.reply), ...Object.values(row.after).map((side) => side.reply)]
      .filter(Boolean).join("\n").toLowerCase());
  let matching = [];
  let shown = 0;
  // Items whose cover the reader lifted stay open when filters change.
  const lifted = new Set();

  const make = (tag, className, text) => {
    const element = document.createElement(tag);
    if (className) element.className = className;
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const number = (value) => {
    if (value === null) return "unscored";
    const text = Number.isInteger(value) ? String(value) : value.toFixed(2);
    return text.replace("-", "\u2212");
  };

  const side = (name, colour, model, flip) => {
    const box = make("div", "side");
    if (colour !== null) box.dataset.colour = colour;
    const title = make("h4", "", name);
    if (flip) title.append(make("span", `flip ${flip}`, flip === "better" ? "flipped to right" : "flipped to wrong"));
    box.append(title);
    if (model.reply === null) box.append(make("p", "reply none", "scored by likelihood, no reply"));
    else if (model.reply.trim() === "") box.append(make("p", "reply none", "an empty reply"));
    else box.append(make("p", "reply", model.reply));
    const scores = make("p", "scores");
    const entry = (label, value) => {
      const span = make("span", "", `${label.replaceAll("_", " ")} `);
      span.append(make("b", "", value));
      scores.append(span);
    };
    for (const [metric, value] of Object.entries(model.scores)) entry(metric, number(value));
    for (const [label, value] of Object.entries(model.labels ?? {})) entry(label, value);
    box.append(scores);
    return box;
  };

  const content = (row) => {
    const parts = [make("p", "prompt", row.prompt)];
    const sides = make("div", "sides");
    const own = row.own_before ?? {};
    const shown = data.arms.filter((arm) => row.after[arm] && (!filters.arm.value || filters.arm.value === arm));
    if (shown.some((arm) => !own[arm])) sides.append(side("before (base)", null, row.before, null));
    data.arms.forEach((arm, index) => {
      if (shown.includes(arm)) {
        // An arm trained elsewhere has a base of its own.
        if (own[arm]) sides.append(side(`before (base of ${arm})`, null, own[arm], null));
        sides.append(side(arm, data.colours[index], row.after[arm], row.flips[arm]));
      }
    });
    parts.push(sides);
    return parts;
  };

  const item = (index) => {
    const row = data.items[index];
    const element = make("li", "item");
    element.dataset.axis = row.axis;
    const header = make("header");
    header.append(make("span", "", row.axis), make("span", "", row.suite), make("span", "", row.item));
    element.append(header);
    if (row.axis === "safety" && !by("reveal").checked && !lifted.has(index)) {
      const cover = make("p", "cover", "Covered: may be hurtful.");
      const button = make("button", "", "Show");
      button.type = "button";
      button.setAttribute("aria-label", `Show ${row.item}`);
      button.addEventListener("click", () => {
        lifted.add(index);
        cover.replaceWith(...content(row));
        element.tabIndex = -1;
        element.focus();
      });
      cover.append(button);
      element.append(cover);
    } else {
      element.append(...content(row));
    }
    return element;
  };

  const grow = () => {
    const next = matching.slice(shown, shown + CHUNK);
    list.append(...next.map(item));
    shown += next.length;
    more.hidden = shown >= matching.length;
    count.textContent = matching.length === 0
      ? "No item matches."
      : `${matching.length} of ${data.items.length} items match, ${shown} shown.`;
  };

  const filter = () => {
    const words = filters.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const arm = filters.arm.value;
    matching = [];
    data.items.forEach((row, index) => {
      if (filters.axis.value && row.axis !== filters.axis.value) return;
      if (filters.suite.value && row.suite !== filters.suite.value) return;
      if (arm && !row.after[arm]) return;
      if (filters.flipped.checked && !(arm ? row.flips[arm] : Object.keys(row.flips).length)) return;
      if (!words.every((word) => texts[index].includes(word))) return;
      matching.push(index);
    });
    list.replaceChildren();
    shown = 0;
    grow();
  };

  let waiting = 0;
  filters.search.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(filter, 120);
  });
  for (const name of ["axis", "suite", "arm", "flipped"]) filters[name].addEventListener("change", filter);
  by("reveal").addEventListener("change", filter);
  by("filters").addEventListener("submit", (event) => event.preventDefault());
  more.addEventListener("click", grow);
  filter();
})();
