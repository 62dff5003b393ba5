// Keyboard shortcuts for reviewers; every page works without this file.
"use strict";

const items = [...document.querySelectorAll(".item")];
const help = document.getElementById("help");
const helpButton = document.getElementById("help-button");
let current = -1;

function choose(index, focus = true) {
  if (items.length === 0) return;
  items[current]?.classList.remove("chosen");
  current = Math.max(0, Math.min(items.length - 1, index));
  const item = items[current];
  item.classList.add("chosen");
  if (!focus) return;
  const target = item.querySelector("a.open") ?? item;
  target.focus({ preventScroll: true });
  item.scrollIntoView({ block: "nearest" });
}

function submit(decision) {
  const item = items[current];
  const button = item?.querySelector(`button[value="${decision}"]`);
  if (!button) return;
  // The first press opens a decided finding, the second decides it again.
  const again = button.closest("details:not([open])");
  if (again) again.open = true;
  else button.form.requestSubmit(button);
}

function edit(name) {
  const field = items[current]?.querySelector(`input[name="${name}"]`);
  if (!field) return;
  const again = field.closest("details");
  if (again) again.open = true;
  field.focus();
  field.select();
}

const actions = {
  j: () => choose(current + 1),
  k: () => choose(current - 1),
  c: () => submit("CONFIRMED"),
  x: () => edit("corrected_value"),
  d: () => submit("DISMISSED"),
  n: () => edit("note"),
  w: () => location.assign("/"),
  "?": () => help.showModal(),
};

function typing(target) {
  return target.closest("input, select, textarea") !== null;
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return;
  if (help.open) return;
  if (typing(event.target)) {
    typed(event);
    return;
  }
  const action = actions[event.key];
  if (!action || event.repeat) return;
  event.preventDefault();
  action();
});

function typed(event) {
  if (event.key === "Escape") {
    choose(current);
  } else if (event.key === "Enter" && event.target.name === "corrected_value") {
    event.preventDefault();
    submit("CORRECTED");
  }
}

for (const [index, item] of items.entries()) {
  item.addEventListener("focusin", () => choose(index, false));
}

// A second press must not send the same decision twice.
document.addEventListener("submit", (event) => {
  if (event.target.method !== "post") return;
  if (event.target.dataset.sent) event.preventDefault();
  event.target.dataset.sent = "yes";
});
window.addEventListener("pageshow", () => {
  for (const form of document.forms) delete form.dataset.sent;
});

helpButton.hidden = false;
helpButton.addEventListener("click", () => help.showModal());

const start = items.findIndex((item) => `#${item.id}` === location.hash);
const open = items.findIndex((item) => item.dataset.state !== "decided" && item.dataset.state !== "withdrawn");
if (document.getElementById("onward") && start < 0) {
  document.getElementById("onward").focus();
} else if (start >= 0 || open >= 0) {
  choose(start >= 0 ? start : open, document.querySelector(".problem") === null);
}
document.querySelector(".problem")?.closest("form").querySelector("input:not([type=hidden])")?.focus();
