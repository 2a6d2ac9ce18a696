// Makes pictures with the network in this page, on this device. The page's data lie in its script elements.

const MANY_PIXELS = 128 * 128; // of a picture, from which fewer are shown at first
const SHARP = 128; // pixels of a side up to which a picture is enlarged with sharp edges
const LONGEST = [256, 512, 768, 1024]; // sides to choose from, of sources
const FIRST_LONGEST = 512;

const $ = (id) => document.getElementById(id);
const about = JSON.parse($("about").textContent);
const [channels, height, width] = about.shape;
const status = $("status");
let ort, session;

function say(text, bad = false) {
  status.textContent = text;
  status.classList.toggle("bad", bad);
}

// Lets the browser draw: the network runs in the page's own thread.
const drawn = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));

// Bytes of a script element: base64 of gzip.
async function unpacked(id) {
  const coded = $(id).textContent, parts = [], step = 2 ** 20;
  for (let at = 0; at < coded.length; at += step) {
    parts.push(Uint8Array.from(atob(coded.slice(at, at + step)), (letter) => letter.charCodeAt(0)));
  }
  $(id).remove();
  const stream = new Blob(parts).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

const moduleUrl = (code) => URL.createObjectURL(new Blob([code], { type: "text/javascript" }));

async function load() {
  ort = await import(moduleUrl(await unpacked("library")));
  // What starts the WebAssembly looks for its file beside itself, where there is none, unless it is told a place; it is
  // given the bytes, so that it does not look there.
  const glue = `import start from "${moduleUrl(await unpacked("glue"))}";
    export default (settings) => start({ locateFile: (name) => name, ...settings });`;
  ort.env.logLevel = "error";
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = { mjs: moduleUrl(glue) };
  ort.env.wasm.wasmBinary = (await unpacked("binary")).buffer;
  session = await ort.InferenceSession.create(await unpacked("model"), { executionProviders: ["wasm"] });
}

async function run(inputs) {
  const samples = (await session.run(inputs)).samples;
  return { data: samples.data, height: samples.dims[2], width: samples.dims[3] };
}

// (C, H, W) in [-1, 1], the upper left `rows` x `columns`, onto a canvas of that size.
function show(canvas, made, rows = made.height, columns = made.width) {
  [canvas.width, canvas.height] = [columns, rows];
  canvas.classList.toggle("pixelated", Math.max(columns, rows) <= SHARP);
  canvas.getContext("2d").putImageData(levelsOf(made, rows, columns), 0, 0);
}

// The same as levels: round((x + 1) * 127.5).
function levelsOf(made, rows, columns) {
  const image = new ImageData(columns, rows), plane = made.height * made.width;
  const level = (channel, place) => 127.5 * made.data[channel * plane + place] + 127.5; // ImageData rounds and clamps
  for (let row = 0, to = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++, to += 4) {
      const place = row * made.width + column;
      for (let colour = 0; colour < 3; colour++) image.data[to + colour] = level(channels === 1 ? 0 : colour, place);
      image.data[to + 3] = channels === 4 ? level(3, place) : 255;
    }
  }
  return image;
}

const CRC = Uint32Array.from({ length: 256 }, (_, number) => {
  for (let bit = 0; bit < 8; bit++) number = number & 1 ? 0xedb88320 ^ (number >>> 1) : number >>> 1;
  return number;
});

// A chunk of text in a PNG: length, kind, key, no compression and no language, text in UTF-8, checksum.
function textChunk(key, text) {
  const content = new TextEncoder().encode(`iTXt${key}\0\0\0\0\0${text}`), chunk = new Uint8Array(content.length + 8);
  const view = new DataView(chunk.buffer);
  let sum = 0xffffffff;
  for (const byte of content) sum = CRC[(sum ^ byte) & 255] ^ (sum >>> 8);
  view.setUint32(0, content.length - 4);
  chunk.set(content, 4);
  view.setUint32(content.length + 4, (sum ^ 0xffffffff) >>> 0);
  return chunk;
}

const AFTER_HEADER = 33; // bytes of a PNG's signature and first chunk

// Saves a PNG that says what made it, and `texts` besides.
function save(canvas, name, texts = {}) {
  canvas.toBlob((blob) => {
    const chunks = Object.entries({ ...about.texts, ...texts }).map(([key, text]) => textChunk(key, text));
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([blob.slice(0, AFTER_HEADER), ...chunks, blob.slice(AFTER_HEADER)], { type: "image/png" }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  }, "image/png");
}

const seconds = (since) => `${((performance.now() - since) / 1000).toFixed(1)} s`;

// A generator of latents -----------------------------------------------------------------------------------------

// Uniform on [0, 1): mulberry32, of the seed and the number of the picture.
function uniforms(seed, number) {
  let state = (Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(number + 1, 0xc2b2ae35)) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const codeLength = () => about.categorical.reduce((sum, size) => sum + size, 0) + about.continuous;

// Latents and label of a picture whose seed is not in the page: noise, categorical codes, continuous ones.
function drawnHere(seed, number) {
  const uniform = uniforms(seed, number), latents = new Float32Array(about.latent_dim);
  const noise = about.latent_dim - codeLength();
  for (let i = 0; i < noise; i++) {
    const normal = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
    latents[i] = about.distribution === "normal" ? normal() : 2 * uniform() - 1;
  }
  let at = noise;
  for (const size of about.categorical) {
    latents[at + Math.floor(uniform() * size)] = 1;
    at += size;
  }
  for (; at < about.latent_dim; at++) latents[at] = 2 * uniform() - 1;
  return { latents, label: Math.floor(uniform() * about.classes) };
}

function startGenerator(stored) {
  const { seeds, pictures, latent_dim: dim } = about;
  const seed = $("seed"), count = $("count"), label = $("class"), truncation = $("truncation");
  const sliders = [...document.querySelectorAll(".slider")];
  let newest = 0, working = Promise.resolve();

  function drawnOf(number) {
    const wanted = Number(seed.value);
    const place = wanted * pictures + number;
    const found = wanted < seeds
      ? { latents: stored.slice(place * dim, (place + 1) * dim), label: about.labels?.[wanted][number] }
      : drawnHere(wanted, number);
    if (!label || label.value === "") return found;
    found.label = Number(label.value);
    if (about.categorical.length) {
      const first = dim - codeLength();
      found.latents.fill(0, first, first + about.categorical[0]);
      found.latents[first + found.label] = 1;
    }
    return found;
  }

  function inputsOf(number) {
    const { latents, label } = drawnOf(number), inputs = {};
    const offset = about.styles && new Float32Array(about.styles[0] * about.styles[1]);
    sliders.forEach((slider, index) => {
      const { column, step, layers } = about.sliders[index], strength = Number(slider.value);
      if (strength === 0) return;
      if (column !== undefined) latents[column] += strength;
      else if (!offset) step.forEach((value, i) => { latents[i] += strength * value; });
      else {
        const [first, end] = layers ?? [0, about.styles[0]];
        for (let layer = first; layer < end; layer++) {
          step.forEach((value, i) => { offset[layer * step.length + i] += strength * value; });
        }
      }
    });
    inputs.latents = new ort.Tensor("float32", latents, [1, dim]);
    if (about.labels) inputs.labels = new ort.Tensor("int64", BigInt64Array.of(BigInt(label)), [1]);
    if (offset) {
      inputs.truncation = new ort.Tensor("float32", Float32Array.of(Number(truncation.value)), [1]);
      inputs.offset = new ort.Tensor("float32", offset, about.styles);
    }
    return inputs;
  }

  // Of seeds that this page draws itself, the other tools of gan_lab make other pictures.
  const seedText = () => ({ [Number(seed.value) < seeds ? "gan_lab.seed" : "gan_lab.page_seed"]: seed.value });

  function sound() {
    const wanted = Number(seed.value);
    return seed.value !== "" && Number.isInteger(wanted) && wanted >= 0 && wanted < 2 ** 32;
  }

  function frames(total) {
    const grid = $("pictures");
    grid.style.setProperty("--columns", Math.ceil(Math.sqrt(total)));
    while (grid.children.length > total) grid.lastChild.remove();
    while (grid.children.length < total) {
      const figure = document.createElement("figure"), button = document.createElement("button");
      const canvas = document.createElement("canvas"), number = grid.children.length;
      [canvas.width, canvas.height] = [width, height];
      button.type = "button";
      button.title = "Save this picture as PNG";
      button.setAttribute("aria-label", `Picture ${number + 1}: save as PNG`);
      button.addEventListener("click", () => save(canvas, `seed${seed.value}_${number}.png`, seedText()));
      button.append(canvas);
      figure.append(button);
      grid.append(figure);
    }
    return [...grid.querySelectorAll("canvas")];
  }

  async function make(turn) {
    const since = performance.now(), canvases = frames(Number(count.value));
    for (const canvas of canvases) canvas.classList.add("old");
    for (const [number, canvas] of canvases.entries()) {
      say(`Making picture ${number + 1} of ${canvases.length}…`);
      await drawn();
      if (turn !== newest) return;
      show(canvas, await run(inputsOf(number)));
      canvas.classList.remove("old");
    }
    $("save").disabled = false;
    say(`${canvases.length === 1 ? "1 picture" : `${canvases.length} pictures`} of seed ${seed.value}, in ${seconds(since)}`);
  }

  // One after the other, as the network takes one call at a time; of those that wait, the last one alone is made.
  function remake() {
    for (const input of document.querySelectorAll("input[type=range]")) {
      document.querySelector(`output[for=${input.id}]`).textContent = Number(input.value).toFixed(input === truncation ? 2 : 1);
    }
    const turn = ++newest;
    $("save").disabled = true;
    if (!sound()) return say(`The seed must be a whole number from 0 to ${2 ** 32 - 1}.`, true);
    working = working.then(() => turn === newest && make(turn)).catch((error) => say(`No picture: ${error.message}`, true));
  }

  function saveAll() {
    const canvases = [...document.querySelectorAll("#pictures canvas")], side = Math.ceil(Math.sqrt(canvases.length));
    const sheet = document.createElement("canvas"), context = sheet.getContext("2d");
    [sheet.width, sheet.height] = [side * width, Math.ceil(canvases.length / side) * height];
    canvases.forEach((canvas, i) => context.drawImage(canvas, (i % side) * width, Math.floor(i / side) * height));
    save(sheet, `seed${seed.value}.png`, seedText());
  }

  count.value = String(width * height > 4 * MANY_PIXELS ? 1 : width * height > MANY_PIXELS ? 4 : pictures);
  for (const input of document.querySelectorAll("input, select")) input.addEventListener("input", remake);
  $("new").addEventListener("click", () => {
    seed.value = crypto.getRandomValues(new Uint32Array(1))[0] % 1_000_000;
    remake();
  });
  $("reset").addEventListener("click", () => {
    for (const slider of sliders) slider.value = 0;
    remake();
  });
  $("save").addEventListener("click", saveAll);
  remake();
}

// A translator ----------------------------------------------------------------------------------------------------

// The place within `side` that a picture mirrored at its border, which is not repeated, has at `place`.
function mirrored(place, side) {
  const around = place % Math.max(1, 2 * (side - 1));
  return Math.min(around, 2 * (side - 1) - around);
}

// A hole that is drawn over the picture; `changed` is called when there is more of it.
function startHole(changed) {
  const canvas = $("hole"), context = canvas.getContext("2d", { willReadFrequently: true });
  let last = null;

  function reached(event) {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left) * (canvas.width / box.width), (event.clientY - box.top) * (canvas.height / box.height)];
  }

  function draw(event) {
    const here = reached(event);
    context.lineWidth = Math.max(1, (Number($("brush").value) / 100) * Math.max(canvas.width, canvas.height));
    context.beginPath();
    context.moveTo(...(last ?? here));
    context.lineTo(...here);
    context.stroke();
    last = here;
    changed();
  }

  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    draw(event);
  });
  canvas.addEventListener("pointermove", (event) => last && draw(event));
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { last = null; });
  return {
    // Of a picture's transparent pixels, of which half and more are nothing.
    begin({ data, width: columns, height: rows }) {
      [canvas.width, canvas.height] = [columns, rows];
      const seen = context.createImageData(columns, rows);
      for (let at = 0; at < data.length; at += 4) if (data[at + 3] < 128) seen.data.set([255, 45, 149, 255], at);
      context.putImageData(seen, 0, 0);
      [context.strokeStyle, context.lineCap, context.lineJoin] = ["#ff2d95", "round", "round"];
      last = null;
    },
    // 1 or 0 of each pixel; what the soft edge of a line touches is within.
    inside() {
      const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
      return Uint8Array.from({ length: data.length / 4 }, (_, place) => Number(data[4 * place + 3] > 0));
    },
  };
}

function startTranslator() {
  const [given, ownHeight, ownWidth] = about.condition, before = $("before"), after = $("after");
  const context = before.getContext("2d", { willReadFrequently: true });
  let file = null, newest = 0, working = Promise.resolve();
  const hole = about.masked && startHole(() => { $("go").disabled = false; });

  const taken = (side) => Math.max(about.smallest, Math.ceil(side / about.multiple) * about.multiple);

  // Draws the picture onto `before` at the size at which the network sees it; returns what to say of that.
  function draw(picture) {
    let [rows, columns] = [picture.height, picture.width], said = "";
    if (about.own_size_alone) [rows, columns] = [ownHeight, ownWidth];
    else {
      const factor = Math.min(1, Number($("longest").value) / Math.max(rows, columns));
      [rows, columns] = [rows, columns].map((side) => Math.max(1, Math.round(factor * side)));
    }
    if (rows !== picture.height || columns !== picture.width) said = `, resized from ${picture.width}x${picture.height}`;
    [before.width, before.height] = [columns, rows];
    context.imageSmoothingQuality = "high";
    context.drawImage(picture, 0, 0, columns, rows);
    if (hole) hole.begin(context.getImageData(0, 0, columns, rows));
    context.globalCompositeOperation = "destination-over"; // white where nothing is to be seen
    context.fillStyle = "#fff";
    context.fillRect(0, 0, columns, rows);
    context.globalCompositeOperation = "source-over";
    before.classList.toggle("pixelated", Math.max(columns, rows) <= SHARP);
    return `before: ${columns}x${rows} pixels${said}`;
  }

  // What the network is given: (1, C', H, W) in [-1, 1] of what `before` shows, mirrored up to a size that it takes; and
  // (1, 1, H, W) of the hole, in which the picture has the level of training.
  function inputs() {
    const { data, width: columns, height: rows } = context.getImageData(0, 0, before.width, before.height);
    const [tall, wide] = about.own_size_alone ? [rows, columns] : [taken(rows), taken(columns)];
    const values = new Float32Array(given * tall * wide), mask = hole && new Float32Array(tall * wide);
    const inside = hole && hole.inside();
    for (let row = 0, to = 0; row < tall; row++) {
      for (let column = 0; column < wide; column++, to++) {
        const place = mirrored(row, rows) * columns + mirrored(column, columns), from = 4 * place;
        if (inside?.[place]) mask[to] = 1;
        const luma = (19595 * data[from] + 38470 * data[from + 1] + 7471 * data[from + 2] + 32768) >> 16;
        for (let channel = 0; channel < given; channel++) {
          const level = inside?.[place] ? about.fill : given === 1 ? luma : data[from + channel];
          values[channel * tall * wide + to] = level / 127.5 - 1;
        }
      }
    }
    const made = { condition: new ort.Tensor("float32", values, [1, given, tall, wide]) };
    if (hole) made.mask = new ort.Tensor("float32", mask, [1, 1, tall, wide]);
    return made;
  }

  // Beside the hole, the picture's own levels; as grey where the network knows no other.
  function keepKnown() {
    const made = after.getContext("2d").getImageData(0, 0, after.width, after.height), inside = hole.inside();
    const { data } = context.getImageData(0, 0, before.width, before.height);
    inside.forEach((filled, place) => {
      if (filled) return;
      const from = 4 * place;
      const luma = (19595 * data[from] + 38470 * data[from + 1] + 7471 * data[from + 2] + 32768) >> 16;
      for (let colour = 0; colour < 3; colour++) made.data[from + colour] = given === 1 ? luma : data[from + colour];
    });
    after.getContext("2d").putImageData(made, 0, 0);
  }

  // Shows the picture that was chosen; returns whether there is one.
  async function take() {
    const picture = await createImageBitmap(file).catch(() => null);
    if (!picture) {
      say(`${file.name} is no picture that this browser reads; try a PNG or JPEG.`, true);
      return false;
    }
    $("before-caption").textContent = draw(picture);
    $("pair").hidden = false;
    return true;
  }

  async function translate(turn) {
    if (!hole && !(await take())) return;
    const since = performance.now();
    after.classList.add("old");
    say("Making the picture…");
    await drawn();
    if (turn !== newest) return;
    show(after, await run(inputs()), about.factor * before.height, about.factor * before.width);
    if (about.keeps_known) keepKnown();
    after.classList.remove("old");
    $("after-figure").hidden = false;
    $("after-caption").textContent = `after: ${after.width}x${after.height} pixels`;
    $("save").disabled = false;
    say(`Made in ${seconds(since)}`);
  }

  function next(step) {
    const turn = ++newest;
    $("save").disabled = true;
    if (!file) return;
    working = working.then(() => turn === newest && step(turn)).catch((error) => {
      say(`No picture: ${error.message}; a smaller longest side may do.`, true);
    });
  }

  // Shows the picture of which a hole is to be filled, without what was drawn or made before.
  async function lay() {
    $("after-figure").hidden = true;
    if (!(await take())) return;
    $("go").disabled = !hole.inside().includes(1);
    say($("go").disabled ? "Draw over what is to be made anew." : "Its transparent part is the hole; draw over more, or fill it.");
  }

  const remake = () => next(hole ? lay : translate);

  function choose(chosen) {
    if (!chosen) return;
    file = chosen;
    remake();
  }

  if (hole) {
    $("go").addEventListener("click", () => next(translate));
    $("clear").addEventListener("click", remake);
    const told = () => { document.querySelector("output[for=brush]").textContent = `${$("brush").value} %`; };
    $("brush").addEventListener("input", told);
    told();
  }

  if ($("longest")) {
    for (const side of LONGEST) $("longest").add(new Option(`${side} pixels`, side, side === FIRST_LONGEST, side === FIRST_LONGEST));
    $("longest").addEventListener("input", remake);
  }
  $("file").addEventListener("change", () => choose($("file").files[0]));
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    $("drop").classList.add("over");
  });
  document.addEventListener("dragleave", () => $("drop").classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    $("drop").classList.remove("over");
    choose(event.dataTransfer.files[0]);
  });
  $("save").addEventListener("click", () => save(after, `${file.name.replace(/\.[^.]*$/, "")}_translated.png`));
  say("Ready: choose a picture.");
  choose($("file").files[0]); // chosen while this was loading
}

try {
  await drawn();
  await load();
  if (about.condition) startTranslator();
  else startGenerator(new Float32Array((await unpacked("latents")).buffer));
} catch (error) {
  say(`The generator could not be started: ${error.message}. A recent Chromium, Firefox or Safari is needed.`, true);
}
