// Draws a page of the explorer wherever it runs. What a page shows is decided in Python; here are
// its controls, its blocks, and three ways to ask for them: a server, a notebook's kernel, and
// answers recorded in the document.
//
// An asker is an async generator function (request, signal) of messages, as `answer` in page.py
// yields them; a request is {page, values, seed, width, started}.

/** Milliseconds that an answer may take before a newer request ends it. */
const PATIENCE = 150;
/** Milliseconds that an answer may take before what is shown from an earlier one fades. */
const SLOW = 500;
/** Milliseconds of rest before what is typed is asked for. */
const REST = 250;
/** Letters that a box of options shows. */
const ROOM = 26;

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
  let old = false; // whether controls have moved since the button asked for what is shown
  let impatience = 0;
  let typing = 0;

  const start = page.start && make("button", { type: "button", class: "start" }, page.start);
  const refresh = page.refresh && make("button", { type: "button", class: "refresh" }, page.refresh);
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
    let since = performance.now();
    while (wanted !== null) {
      const request = { page: page.name, values: values(), seed, width: width(), started: wanted };
      writing = wanted && Boolean(start);
      wanted = null;
      if (start) start.textContent = writing ? "Stop" : page.start;
      const { signal } = (running = new AbortController());
      await follow(request, signal, since);
      if (!signal.aborted) since = performance.now();
      clearTimeout(impatience);
      running = null;
    }
    writing = false;
    if (start) start.textContent = page.start;
    status.textContent = "";
    fade(old);
    root.dataset.state = "ready";
    root.dataset.answers = Number(root.dataset.answers ?? 0) + 1;
  }

  async function follow(request, signal, since) {
    const seen = new Set();
    const late = () => {
      status.textContent = "Working…";
      if (!start || writing) fade(true, seen);
    };
    const slow = setTimeout(late, since + SLOW - performance.now());
    try {
      for await (const message of ask(request, signal)) {
        if (signal.aborted) return;
        if (message.kind === "controls") {
          // Where the reader has moved on, the controls of this answer would move things back.
          if (wanted === null) lay(message.controls);
        } else if (message.kind === "refused") {
          refuse(message, seen);
        } else if (message.kind === "done") {
          accept();
          keep(seen);
        } else {
          show(message, !seen.has(message.name));
          seen.add(message.name);
        }
      }
      const shown = [...controls].filter(([, control]) => control.element.isConnected);
      changed(values(shown), request.seed);
    } catch (error) {
      if (!signal.aborted) refuse({ name: "", message: error.message }, seen);
    } finally {
      clearTimeout(slow);
    }
  }

  // ---------------------------------------------------------------------------- controls

  function moved(typed = false) {
    clearTimeout(typing);
    const react = () => {
      if (start) fade((old = true));
      update();
    };
    if (typed) typing = setTimeout(react, REST);
    else react();
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

  function refuse({ name, message }, seen) {
    accept();
    const control = controls.get(name);
    // Beside a text that is being written the last figure stays, elsewhere it would be another's.
    if (!control?.typed) keep(seen);
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
    let block = blocks.querySelector(`:scope > * > [data-block="${message.name}"]`);
    if (!block) {
      const tag = message.kind === "figure" ? "figure" : "div";
      block = make(tag, { class: message.kind, "data-block": message.name });
      blocks.append(make("div", { class: "block" }, block));
    }
    if (first) {
      if (start) old = false;
      block.parentElement.classList.remove("old");
    }
    BLOCKS[message.kind](block, message, first);
    if (message.kind === "figure") equip(block.parentElement, message, `${page.name}-`);
  }

  /** Whether the blocks are drawn faintly, as what controls no longer say; not those of `names`. */
  function fade(whether, names = new Set()) {
    for (const place of blocks.children) {
      const shown = place.firstElementChild.dataset.block;
      if (!names.has(shown)) place.classList.toggle("old", whether);
    }
  }

  /** Only the blocks of these names. */
  function keep(names) {
    for (const { firstElementChild: block } of [...blocks.children]) {
      if (!names.has(block.dataset.block)) block.parentElement.remove();
    }
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
  update(Boolean(page.start));
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
  const parts = spec.label.split(/_(\w)\b/).map((part, i) => (i % 2 ? make("sub", {}, part) : part));
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
    const whole = make("p", { class: "hint" }); // what the box has no room for
    input.after(whole);
    let options = "";
    const tell = () => {
      const text = input.selectedOptions[0]?.text ?? "";
      whole.textContent = text.length > ROOM ? text : "";
    };
    input.addEventListener("change", () => {
      tell();
      changed();
    });
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
        tell();
      },
    };
  },

  several(id, spec, changed) {
    const input = make("div", { role: "group", "aria-labelledby": `${id}-label` });
    const made = field(id, spec, input);
    const label = made.element.querySelector("label");
    label.replaceWith(make("span", { class: "label", id: `${id}-label` }, ...label.childNodes));
    let options = "";
    let most = spec.most;
    const boxes = () => [...input.querySelectorAll("input")];
    const value = () => boxes().filter((box) => box.checked).map((box) => box.value);
    const limit = () => {
      const full = value().length >= most;
      for (const box of boxes()) box.disabled = full && !box.checked;
    };
    input.addEventListener("change", () => {
      limit();
      changed();
    });
    return {
      ...made,
      value,
      set(next) {
        most = next.most;
        if (options !== JSON.stringify(next.options)) {
          options = JSON.stringify(next.options);
          input.replaceChildren(
            ...next.options.map(([value, text], place) => {
              const box = make("input", { type: "checkbox", id: `${id}-${place}`, value });
              return make("label", { for: box.id }, box, make("span", {}, text));
            }),
          );
        }
        for (const box of boxes()) box.checked = next.value.includes(box.value);
        limit();
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
      typed: true,
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

  table(block, { columns, rows, colours }) {
    const cell = (kind, text) => make(kind, {}, ...breakable(text));
    const line = (kind, cells) => make("tr", {}, ...cells.map((text) => cell(kind, text)));
    const body = rows.map((row) => line("td", row));
    body.forEach((row, place) => {
      if (colours[place]) row.firstElementChild.prepend(swatch(colours[place]));
    });
    const head = make("thead", {}, line("th", columns));
    block.replaceChildren(make("table", {}, head, make("tbody", {}, ...body)));
  },
};

// ------------------------------------------------------- what can be done with a figure

/**
 * Beside the figure in `place`: buttons that save it, and, over its curves, their values where the
 * reader points. `message` is a figure's; files are called by `prefix` and its name.
 */
function equip(place, { name, svg, panels = [] }, prefix = "") {
  place.querySelectorAll(".tools, .tip, .cursor").forEach((old) => old.remove());
  const button = (text, label, type, content) => {
    const one = make("button", { type: "button", "aria-label": label }, text);
    one.addEventListener("click", () => {
      save(`${prefix}${name}.${text.toLowerCase()}`, type, content());
    });
    return one;
  };
  const tools = make("div", { class: "tools" });
  tools.append(button("SVG", "Save as SVG", "image/svg+xml", () => printed(svg, place)));
  if (panels.length) {
    tools.append(button("CSV", "Save as CSV", "text/csv", () => table(panels)));
  }
  place.append(tools);
  if (panels.length) point(place, panels);
}

/** Tell the values of the curves where the reader points at the figure in `place`. */
function point(place, panels) {
  const drawing = place.querySelector("svg");
  const [cursor, tip] = ["cursor", "tip"].map((kind) => make("div", { class: kind, hidden: "" }));
  place.append(cursor, tip);
  const hide = () => (cursor.hidden = tip.hidden = true);
  drawing.onpointerleave = hide;
  drawing.onpointermove = drawing.onpointerdown = (event) => {
    const frame = drawing.getBoundingClientRect();
    const outer = place.getBoundingClientRect();
    const x = (event.clientX - frame.left) / frame.width;
    const y = (event.clientY - frame.top) / frame.height;
    const inside = ({ box }) => box[0] <= x && x <= box[2] && box[1] <= y && y <= box[3];
    const panel = panels.find(inside);
    if (!panel) return hide();
    const scale = panel.log ? Math.log : Number;
    const [left, top, right, bottom] = panel.box;
    const [low, high] = panel.limits.map(scale);
    const across = (value) => left + ((scale(value) - low) / (high - low)) * (right - left);
    const at = nearest(panel.lines.flatMap((line) => line.x), x, across);
    const values = panel.lines
      .map((line) => [line, nearest(line.x, across(at), across)])
      .filter(([line, own]) => line.x.length && Math.abs(across(own) - across(at)) < 0.01)
      .map(([line, own]) => [line, line.y[line.x.indexOf(own)]]);
    tip.replaceChildren(
      make("p", {}, `${panel.x} ${shortly(at)}`),
      ...values.map(([{ label, colour }, value]) =>
        make("p", {}, swatch(colour), `${label} `, make("b", {}, shortly(value))),
      ),
    );
    cursor.hidden = tip.hidden = false;
    const [dx, dy] = [frame.left - outer.left, frame.top - outer.top];
    const middle = dx + across(at) * frame.width;
    cursor.style.cssText = `left: ${middle}px; top: ${dy + top * frame.height}px;
      height: ${(bottom - top) * frame.height}px`;
    const beside = middle + 12 + tip.offsetWidth > outer.width;
    const start = beside ? Math.max(0, middle - 12 - tip.offsetWidth) : middle + 12;
    tip.style.cssText = `left: ${start}px; top: ${dy + top * frame.height}px`;
  };
}

/** That of the `values` whose place `across` lies nearest to `x`. */
function nearest(values, x, across) {
  const distance = (value) => Math.abs(across(value) - x);
  return values.reduce((best, one) => (distance(one) < distance(best) ? one : best), values[0]);
}

const shortly = (value) =>
  value === null ? "not finite" : String(Number(value.toPrecision(4))).replace("-", "−");

const swatch = (colour) => make("span", { class: "swatch", style: `background: ${colour}` });

/** The figure as a file of its own: light, and with the styles that the page lends it. */
function printed(svg, place) {
  const lent = "*{stroke-linejoin:round;stroke-linecap:butt}text{font-family:sans-serif}";
  const light = (_, name) => {
    const value = getComputedStyle(place).getPropertyValue(name);
    return value.match(/light-dark\(([^,]+),/)?.[1] ?? value;
  };
  return svg
    .replace(/var\((--\w+)\)/g, light)
    .replaceAll("currentColor", "#000000")
    .replace(/<svg[^>]*>/, (start) => `${start}<style>${lent}</style>`);
}

/** The curves as comma-separated values: a line for each place on the axis, blank where none is. */
function table(panels) {
  const lines = panels.flatMap((panel) => panel.lines);
  const columns = lines.map((line) => new Map(line.x.map((x, place) => [x, line.y[place]])));
  const places = [...new Set(lines.flatMap((line) => line.x))].sort((a, b) => a - b);
  const quoted = (text) => (/[",]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const head = [panels[0].x, ...lines.map((line) => line.label)].map(quoted);
  const rows = places.map((x) => [x, ...columns.map((column) => column.get(x) ?? "")]);
  return [head, ...rows].map((row) => `${row.join(",")}\n`).join("");
}

/** The parts of a text, so that a line may end after each `_`. */
function breakable(text) {
  const [first, ...rest] = text.split(/(?<=_)/);
  return [first ?? "", ...rest.flatMap((part) => [make("wbr", {}), part])];
}

function save(name, type, text) {
  const href = URL.createObjectURL(new Blob([text], { type }));
  make("a", { href, download: name }).click();
  URL.revokeObjectURL(href);
}

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

for (const place of document.querySelectorAll("[data-figure]")) {
  equip(place, { name: place.dataset.figure, svg: place.querySelector("svg").outerHTML });
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
