// Draws a page of the explorer wherever it runs. What a page shows is decided in Python; here are
// its controls, its blocks, and three ways to ask for them: a server, a notebook's kernel, and
// answers recorded in the document.
//
// An asker is an async generator function (request, signal) of messages, as `answer` in page.py
// yields them; a request is {page, values, seed, width, started}.

/** Milliseconds that an answer may take before a newer request ends it. */
const PATIENCE = 150;
/** Milliseconds of rest before what is typed is asked for. */
const REST = 250;

let mounted = 0;

/**
 * Put up `page` (as `described` in page.py gives it) in `root`. Options: `seed`, and `changed`,
 * called with the values and the seed of each answer.
 */
export function mount(root, page, ask, { seed = 1, changed = () => {} } = {}) {
  const prefix = `explorer-${mounted++}`;
  // name -> {element, set, value}; those that the page does not show now keep what the reader set
  const controls = new Map();
  const form = make("form", { class: "controls", "aria-label": `${page.title}: controls` });
  const buttons = make("div", { class: "buttons" });
  const problem = make("p", { class: "problem", role: "alert" });
  const blocks = make("div", { class: "blocks" });
  const status = make("p", { class: "status", role: "status" });
  root.classList.add("explorer");
  const shown = make("div", { class: "shown" }, status, blocks);
  root.replaceChildren(make("div", { class: "explorer-page" }, form, shown));
  form.addEventListener("submit", (event) => event.preventDefault());

  let running = null; // the AbortController of the answer under way
  let wanted = null; // whether the next answer is to be started by its button; null: none wanted
  let writing = false; // whether the answer under way was started by the button
  let impatience = 0;
  let typing = 0;

  const start = page.start && make("button", { type: "button", class: "start" }, page.start);
  const refresh = page.refresh && make("button", { type: "button", class: "refresh" }, "Refresh");
  if (start) start.addEventListener("click", () => (writing ? stop() : update(true)));
  if (refresh) {
    refresh.addEventListener("click", () => {
      seed += 1;
      update(Boolean(start));
    });
  }
  buttons.append(...[start, refresh].filter(Boolean), problem);

  function values(among = [...controls]) {
    return Object.fromEntries(among.map(([name, control]) => [name, control.value()]));
  }

  function stop() {
    wanted = null;
    running?.abort();
  }

  async function update(started = false) {
    wanted = started || wanted || false;
    if (running) {
      const late = running;
      clearTimeout(impatience);
      if (writing) late.abort();
      else impatience = setTimeout(() => late.abort(), PATIENCE);
      return;
    }
    root.dataset.state = "busy";
    while (wanted !== null) {
      const request = { page: page.name, values: values(), seed, width: width(), started: wanted };
      writing = wanted && Boolean(start);
      wanted = null;
      if (start) start.textContent = writing ? "Stop" : page.start;
      await follow(request, (running = new AbortController()).signal);
      clearTimeout(impatience);
      running = null;
    }
    writing = false;
    if (start) start.textContent = page.start;
    status.textContent = "";
    root.dataset.state = "ready";
    root.dataset.answers = Number(root.dataset.answers ?? 0) + 1;
  }

  async function follow(request, signal) {
    const seen = new Set();
    const slow = setTimeout(() => (status.textContent = "Working…"), 500);
    try {
      for await (const message of ask(request, signal)) {
        if (signal.aborted) return;
        if (message.kind === "controls") {
          // Where the reader has moved on, the controls of this answer would move things back.
          if (wanted === null) lay(message.controls);
        } else if (message.kind === "refused") {
          refuse(message);
        } else if (message.kind === "done") {
          accept();
          for (const child of [...blocks.children]) {
            if (!seen.has(child.dataset.block)) child.remove();
          }
        } else {
          show(message, !seen.has(message.name));
          seen.add(message.name);
        }
      }
      const shown = [...controls].filter(([, control]) => control.element.isConnected);
      changed(values(shown), request.seed);
    } catch (error) {
      if (!signal.aborted) refuse({ name: "", message: error.message });
    } finally {
      clearTimeout(slow);
    }
  }

  // ---------------------------------------------------------------------------- controls

  function moved(typed = false) {
    clearTimeout(typing);
    if (typed) typing = setTimeout(update, REST);
    else update();
  }

  function lay(specs) {
    const order = specs.map((spec) => {
      const id = `${prefix}-${spec.name}`;
      const control = controls.get(spec.name) ?? KINDS[spec.kind](id, spec, moved);
      controls.set(spec.name, control);
      control.set(spec);
      return control.element;
    });
    for (const { element } of controls.values()) if (!order.includes(element)) element.remove();
    [...order, buttons].forEach((element, place) => {
      // Moving an element takes the focus away from it, so only what is out of place is moved.
      if (form.children[place] !== element) form.insertBefore(element, form.children[place]);
    });
  }

  function refuse({ name, message }) {
    accept();
    const control = controls.get(name);
    (control ? control.problem : problem).textContent = message;
    control?.input.setAttribute("aria-invalid", "true");
  }

  function accept() {
    problem.textContent = "";
    for (const { input, problem: beside } of controls.values()) {
      beside.textContent = "";
      input.removeAttribute("aria-invalid");
    }
  }

  // ------------------------------------------------------------------------------ blocks

  function show(message, first) {
    let block = [...blocks.children].find((child) => child.dataset.block === message.name);
    if (!block) {
      const tag = message.kind === "figure" ? "figure" : "div";
      block = make(tag, { class: message.kind, "data-block": message.name });
      blocks.append(block);
    }
    BLOCKS[message.kind](block, message, first);
  }

  function width() {
    // Steps of 20 px, so that a scroll bar that comes and goes asks for no new figure.
    return Math.max(280, Math.min(1200, Math.floor(blocks.clientWidth / 20) * 20));
  }

  lay(page.controls);
  let drawn = width();
  const observer = new ResizeObserver(() => {
    if (drawn === width() || !blocks.clientWidth) return;
    drawn = width();
    if (!writing) update();
  });
  observer.observe(blocks);
  update();
  return () => {
    observer.disconnect();
    stop();
  };
}

// ------------------------------------------------------------------------ kinds of controls

// Each maker returns {element, input, problem, value(), set(spec)}; `set` keeps what the reader is
// typing, and follows what the page says about everything else.

function field(id, spec, input, ...more) {
  const problem = make("p", { class: "problem", id: `${id}-problem`, role: "alert" });
  input.id = id;
  input.setAttribute("aria-describedby", problem.id);
  // `h_x` in a label is h with the index x.
  const parts = spec.label.split(/_(\w)/).map((part, i) => (i % 2 ? make("sub", {}, part) : part));
  const label = make("label", { for: id }, ...parts);
  const element = make("div", { class: `control ${spec.kind}`, "data-control": spec.name });
  element.append(label, ...more, input, problem);
  return { element, input, problem };
}

const KINDS = {
  slider(id, spec, changed) {
    const input = make("input", { type: "range" });
    const output = make("output", { for: id });
    const made = field(id, spec, input, output);
    let now = spec;
    const ticks = 200; // positions of a logarithmic slider
    const span = () => Math.log(now.maximum / now.minimum);
    const read = () => {
      const place = Number(input.value);
      if (!now.log) return place;
      return Number((now.minimum * Math.exp((place / ticks) * span())).toPrecision(3));
    };
    const tell = () => {
      const number = String(Number(read().toPrecision(6))).replace("-", "−");
      const text = now.unit ? `${number} ${now.unit}` : number;
      output.textContent = text;
      input.setAttribute("aria-valuetext", text);
    };
    input.addEventListener("input", () => {
      tell();
      changed();
    });
    return {
      ...made,
      value: read,
      set(next) {
        now = next;
        input.min = now.log ? 0 : now.minimum;
        input.max = now.log ? ticks : now.maximum;
        input.step = now.log ? 1 : now.step;
        input.value = now.log
          ? Math.round((ticks * Math.log(now.value / now.minimum)) / span())
          : now.value;
        tell();
      },
    };
  },

  choice(id, spec, changed) {
    const input = make("select", {});
    const made = field(id, spec, input);
    let options = "";
    input.addEventListener("change", () => changed());
    return {
      ...made,
      value: () => input.value,
      set(next) {
        if (options !== JSON.stringify(next.options)) {
          options = JSON.stringify(next.options);
          input.replaceChildren(
            ...next.options.map(([value, text]) => make("option", { value }, text)),
          );
        }
        input.value = next.value;
      },
    };
  },

  textbox(id, spec, changed) {
    const input = make("textarea", { rows: spec.rows, spellcheck: "false" });
    const made = field(id, spec, input);
    if (spec.hint) {
      const hint = make("p", { class: "hint", id: `${id}-hint` }, spec.hint);
      input.after(hint);
      input.setAttribute("aria-describedby", `${hint.id} ${made.problem.id}`);
    }
    input.addEventListener("input", () => changed(true));
    input.value = spec.value;
    return {
      ...made,
      value: () => input.value,
      set() {}, // what the reader typed is theirs
    };
  },
};

// -------------------------------------------------------------------------- kinds of blocks

const BLOCKS = {
  figure(block, { svg, description, name }) {
    block.setAttribute("role", "img");
    block.setAttribute("aria-label", description);
    // Two figures of one document must not share the names inside them.
    block.innerHTML = svg.replace(/ id="|url\(#|href="#/g, (found) => `${found}${name}-`);
    block.firstElementChild.setAttribute("aria-hidden", "true"); // the label says it all
  },

  note(block, { text }) {
    block.textContent = text;
  },

  writing(block, { text }, first) {
    if (first) block.replaceChildren();
    block.append(text);
  },

  table(block, { columns, rows }) {
    const isNumber = (text) => /^[−+-]?[\d.,]+(e[−+-]?\d+)?%?$/.test(text);
    const cell = (kind) => (text) => make(kind, isNumber(text) ? { class: "number" } : {}, text);
    block.replaceChildren(
      make(
        "table",
        {},
        make("thead", {}, make("tr", {}, ...columns.map((text) => make("th", {}, text)))),
        make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map(cell("td"))))),
      ),
    );
  },
};

function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// ------------------------------------------------------------------------------- who is asked

/** Ask the server that this page came from: one message a line. */
export async function* server(request, signal) {
  const response = await fetch("/update", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(request),
    signal,
  }).catch((error) => {
    throw signal.aborted ? error : new Error("No answer: scripts/explore.py has been stopped.");
  });
  if (!response.ok) throw new Error((await response.text()).trim());
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = ""; ; ) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    yield* lines.map((line) => JSON.parse(line));
  }
}

/** Ask the kernel of a notebook, through the model of an anywidget. */
export function kernel(model) {
  return async function* (request, signal) {
    const id = crypto.randomUUID();
    const waiting = [];
    let wake = () => {};
    const receive = ({ answer, message }) => {
      if (answer === id) waiting.push(message);
      wake();
    };
    model.on("msg:custom", receive);
    signal.addEventListener("abort", () => {
      model.send({ stop: id });
      wake();
    });
    model.send({ ask: id, request });
    try {
      // null ends an answer
      while (!signal.aborted && waiting[0] !== null) {
        if (waiting.length) yield waiting.shift();
        else await new Promise((done) => (wake = done));
      }
    } finally {
      model.off("msg:custom", receive);
    }
  };
}

/**
 * Answers recorded in the document: JSON, by gzip, in base64. Each has the values that it is for; a
 * request that lacks some of them, as their controls were not there, gets the first that fits.
 */
export function recorded(packed) {
  const bytes = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const answers = new Response(stream).json();
  return async function* ({ values }) {
    const fits = (answer) =>
      Object.entries(answer.values).every(([name, value]) => (values[name] ?? value) === value);
    yield* (await answers).find(fits)?.messages ?? [];
  };
}

/** What anywidget calls. */
export default {
  render({ model, el }) {
    const head = make("div", { class: "explorer-about" });
    const root = make("div", {});
    const page = model.get("page");
    head.innerHTML = `<h2>${page.title}</h2><p>${page.about}</p>`;
    el.classList.add("explorer-widget");
    el.replaceChildren(head, root);
    return mount(root, page, kernel(model));
  },
};

// ------------------------------------------------------------------------------ documents

// <div data-explorer> is filled at once; its page, as JSON, and its recorded answers where there are
// any are the texts of the <script> elements inside it.
for (const root of document.querySelectorAll("[data-explorer]")) {
  const [page, answers] = [...root.querySelectorAll("script")].map((script) => script.text);
  const seed = Number(new URLSearchParams(location.search).get("seed")) || 1;
  const changed = (values, now) => {
    const query = new URLSearchParams({ ...values, seed: now });
    history.replaceState(null, "", `?${query}`);
  };
  const ask = answers ? recorded(answers) : server;
  mount(root, JSON.parse(page), ask, answers ? {} : { seed, changed });
}

// The switch between light and dark, remembered; the reader's system decides until it is used.
const theme = document.querySelector("[data-theme-switch]");
if (theme) {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (localStorage.theme ? localStorage.theme === "dark" : system.matches);
  const follow = () => {
    if (localStorage.theme) document.documentElement.dataset.theme = localStorage.theme;
    theme.textContent = isDark() ? "Light" : "Dark";
  };
  theme.addEventListener("click", () => {
    localStorage.theme = isDark() ? "light" : "dark";
    follow();
  });
  system.addEventListener("change", follow);
  follow();
}
