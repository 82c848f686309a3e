"use strict";
(() => {
  const find = (id) => document.getElementById(id);
  const all = (selector) => [...document.querySelectorAll(selector)];
  const data = JSON.parse(find("page-data").textContent);
  const exposures = data.exposures;
  const WORDS = ["accept", "doubt", "reject"];
  const LEVEL_COLORS = ["#ffb454", "#7ee787", "#d2a8ff", "#ff9bb3", "#f2e863", "#79c0ff", "#ffa198", "#56d4bc"];
  const BALL = { used: "#ffd84d", unused: "#ff7b72", missing: "#c9d1d9" };
  const MAX_ZOOM = 12;
  const KEPT_IMAGES = 24;

  const stage = find("stage");
  const canvas = find("picture");
  const context = canvas.getContext("2d");
  const divider = find("divider");

  const view = {
    index: -1, mode: "real", blinkDrr: false, wipe: 0.5,
    overlays: { edges: true, masks: false, balls: false }, local: true, hiddenLevels: new Set(),
    zoom: 1, panX: 0, panY: 0, pictures: null, failed: "",
  };
  let usedPointer = false;

  // ---- ratings: in this browser at once, in the pipeline after the export ------------------------------------

  const entries = {};
  let reviewer = "";
  let storageWorks = true;

  function readStorage() {
    try {
      return JSON.parse(window.localStorage.getItem(data.storage_key) || "{}");
    } catch (error) {
      storageFailed(error);
      return {};
    }
  }

  function storageFailed(error) {
    storageWorks = false;
    find("warning").textContent =
      `This browser does not keep ratings (${error.name}). Export qc.tsv before you close this page.`;
    find("warning").hidden = false;
  }

  function save() {
    try {
      const last = exposures[view.index] ? exposures[view.index].id : "";
      window.localStorage.setItem(data.storage_key, JSON.stringify({ reviewer, last, entries }));
    } catch (error) {
      storageFailed(error);
    }
  }

  function tellOfEarlierRatings() {
    // The cameras have changed since: what was said of the old ones is kept, but counts no longer.
    const prefix = data.storage_key.slice(0, data.storage_key.lastIndexOf("/") + 1);
    const keys = Object.keys(window.localStorage).filter((key) => key.startsWith(prefix) && key !== data.storage_key);
    const count = keys.reduce((sum, key) => {
      const entriesThere = Object.values(JSON.parse(window.localStorage.getItem(key)).entries || {});
      return sum + entriesThere.filter((entry) => entry.rating).length;
    }, 0);
    if (count) toast(`${count} ratings of an earlier calibration are in this browser. They are not shown: the cameras have changed.`);
  }

  const moment = (entry) => Date.parse(entry.date) || 0;

  function mergeStored(stored) {
    for (const [id, entry] of Object.entries(stored.entries || {})) {
      // What was said last counts: here, in another tab, or in the file that the page was written with.
      if (!entries[id] || moment(entry) >= moment(entries[id])) entries[id] = entry;
    }
    if (stored.reviewer) reviewer = stored.reviewer;
  }

  function entryOf(exposure) {
    return entries[exposure.id] || { rating: "", comment: "", reviewer: "", date: "" };
  }

  function change(exposure, changes) {
    const date = new Date().toISOString().replace(/\.\d+Z$/, "Z");
    entries[exposure.id] = { ...entryOf(exposure), ...changes, reviewer, date };
    save();
    showRatings();
  }

  function rate(word) {
    const exposure = exposures[view.index];
    if (!exposure) return;
    if (!exposure.pair) {
      toast(`${exposure.id} has no pair: nothing to rate.`);
      return;
    }
    const shown = visible();
    const following = shown[shown.indexOf(view.index) + 1];
    change(exposure, { rating: word });
    if (!word) {
      toast(`${exposure.id}: rating taken back. ${progressText()}.`);
    } else if (following === undefined) {
      toast(`${exposure.id}: ${word}. That was the last one of the list. ${progressText()}.`);
    } else {
      show(following);
      toast(`${exposure.id}: ${word}. ${progressText()}.`);
    }
  }

  const ratable = exposures.filter((exposure) => exposure.pair);
  const progressText = () =>
    `${ratable.filter((exposure) => entryOf(exposure).rating).length} of ${ratable.length} rated`;

  function exportRatings() {
    const clean = (text) => String(text).replace(/[\t\r\n]+/g, " ").trim();
    const rows = [data.columns.join("\t")];
    let unnamed = 0;
    let unrated = 0;
    for (const exposure of exposures) {
      const entry = entryOf(exposure);
      if (!entry.rating) {
        unrated += entry.comment ? 1 : 0;
        continue;
      }
      const name = entry.reviewer || reviewer;
      unnamed += name ? 0 : 1;
      const record = { ...entry, exposure_id: exposure.id, reviewer: name };
      rows.push(data.columns.map((column) => clean(record[column])).join("\t"));
    }
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([rows.join("\n") + "\n"], { type: "text/tab-separated-values" }));
    link.download = data.file_name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    const remarks = [`${rows.length - 1} ratings in ${data.file_name}`];
    if (unnamed) remarks.push(`${unnamed} without a reviewer's name`);
    if (unrated) remarks.push(`${unrated} comments without a rating are not in the file`);
    toast(remarks.join("; ") + ".");
  }

  // ---- the list ---------------------------------------------------------------------------------------------

  const list = find("list");
  const buttons = [];
  for (const button of list.querySelectorAll("button")) buttons[Number(button.dataset.index)] = button;

  function order() {
    const indices = exposures.map((_, index) => index);
    if (find("order").value === "worst") {
      // Without a camera is worse than any error.
      const badness = (exposure) =>
        exposure.status === "fail" || exposure.target_error_mm === null ? Infinity : exposure.target_error_mm;
      indices.sort((a, b) => {
        const [first, second] = [badness(exposures[a]), badness(exposures[b])];
        return first === second ? a - b : first < second ? 1 : -1;
      });
    }
    return indices;
  }

  function matches(exposure) {
    const status = find("filter-status").value;
    const wanted = find("filter-rating").value;
    const rating = entryOf(exposure).rating;
    const asWanted = wanted === "" || (wanted === "none" ? exposure.pair && !rating : rating === wanted);
    return (!status || exposure.status === status) && asWanted;
  }

  const visible = () => order().filter((index) => matches(exposures[index]));

  function showList() {
    let shown = 0;
    for (const index of order()) {
      const item = buttons[index].parentElement;
      const keep = matches(exposures[index]);
      item.hidden = !keep;
      shown += keep ? 1 : 0;
      list.append(item);
    }
    find("count").textContent = shown ? `${shown} of ${exposures.length} shown` : "No exposure matches.";
  }

  function filterChanged() {
    showList();
    const shown = visible();
    if (shown.length && !shown.includes(view.index)) show(shown[0]);
    else scrollToCurrent();
  }

  function scrollToCurrent() {
    const button = buttons[view.index];
    if (!button || button.parentElement.hidden) return;
    // Only the list scrolls, never the page.
    const item = button.getBoundingClientRect();
    const box = list.getBoundingClientRect();
    if (item.top < box.top) list.scrollTop += item.top - box.top - 8;
    if (item.bottom > box.bottom) list.scrollTop += item.bottom - box.bottom + 8;
    if (item.left < box.left) list.scrollLeft += item.left - box.left - 8;
    if (item.right > box.right) list.scrollLeft += item.right - box.right + 8;
  }

  function step(by) {
    const shown = visible();
    if (!shown.length) return;
    const place = shown.indexOf(view.index);
    show(place < 0 ? shown[0] : shown[Math.min(Math.max(place + by, 0), shown.length - 1)]);
  }

  function showRatings() {
    exposures.forEach((exposure, index) => {
      const word = entryOf(exposure).rating;
      buttons[index].dataset.rating = word;
      buttons[index].querySelector(".rated").textContent = word;
    });
    find("progress").textContent = progressText();
    find("bar").max = Math.max(ratable.length, 1);
    find("bar").value = ratable.filter((exposure) => entryOf(exposure).rating).length;
    showList();
    showJudgment();
  }

  function showJudgment() {
    const exposure = exposures[view.index];
    if (!exposure) return;
    const entry = entryOf(exposure);
    for (const button of all("button[data-rating][aria-pressed]")) {
      button.setAttribute("aria-pressed", String(button.dataset.rating === entry.rating));
      button.disabled = !exposure.pair;
    }
    if (document.activeElement !== find("comment")) find("comment").value = entry.comment;
    find("training").textContent = trainingText(exposure, entry.rating);
  }

  function trainingText(exposure, rating) {
    if (!exposure.pair) return "Not in training: no pair.";
    if (rating === "reject") return "Kept out of training: rejected.";
    if (exposure.status === "pass") return "In training, unless it is rejected.";
    return rating === "accept" ? "In training: accepted in spite of the warning." : "Not in training, unless it is accepted.";
  }

  // ---- images: decoded when they are looked at ---------------------------------------------------------------

  const parsed = new Promise((resolve) => {
    if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", resolve, { once: true });
    else resolve();
  });
  const cache = new Map();

  async function decode(kind, index) {
    let element = find(`image-${kind}-${index}`);
    // While the file is still being read, an element without a successor may be half there.
    if (!element || !element.nextElementSibling) {
      await parsed;
      element = find(`image-${kind}-${index}`);
    }
    if (!element) throw new Error(`no ${kind} image in the page`);
    const image = new Image();
    image.src = `data:image/${kind === "edges" ? "png" : "webp"};base64,${element.textContent}`;
    await image.decode();
    return image;
  }

  function picture(kind, index) {
    const name = `${kind} ${index}`;
    const loading = cache.get(name) || decode(kind, index);
    cache.delete(name);
    cache.set(name, loading);
    for (const old of [...cache.keys()].slice(0, -KEPT_IMAGES)) cache.delete(old);
    return loading;
  }

  async function pictures(index) {
    // Only what is looked at is decoded: with local contrast or without; the balls are a layer upon it.
    const local = view.local ? "_local" : "";
    const kinds = [`real${local}`, "drr_bone", "edges"];
    if (view.overlays.balls) kinds.push(`balls${local}`);
    const [real, drr, edges, balls] = await Promise.all(kinds.map((kind) => picture(kind, index)));
    return { real, drr, edges, balls };
  }

  async function show(index) {
    if (!exposures[index]) return;
    leaveComment();
    if (view.index >= 0) buttons[view.index].removeAttribute("aria-current");
    view.index = index;
    view.pictures = null;
    view.failed = "";
    buttons[index].setAttribute("aria-current", "true");
    const exposure = exposures[index];
    find("title").textContent = exposure.id;
    showNumbers(exposure);
    showJudgment();
    showLevels(exposure);
    showNoPair(exposure);
    scrollToCurrent();
    markPlots(exposure.id);
    save();
    await load();
    const shown = visible();
    for (const near of [shown[shown.indexOf(index) + 1], shown[shown.indexOf(index) + 2]]) {
      // A failure is told when the exposure is looked at.
      if (near !== undefined && exposures[near].pair) pictures(near).catch(() => {});
    }
  }

  let loads = 0;

  async function load() {
    const exposure = exposures[view.index];
    const mine = ++loads;
    if (exposure.pair) {
      try {
        const loaded = await pictures(view.index);
        if (mine !== loads) return;
        view.pictures = loaded;
      } catch (error) {
        if (mine !== loads) return;
        view.failed = `The images of this exposure cannot be shown: ${error.message}`;
      }
    }
    showNoPair(exposure);
    draw();
    stage.dataset.shown = exposure.id;
  }

  function showNoPair(exposure) {
    find("no-pair").hidden = Boolean(exposure.pair) && !view.failed;
    find("no-pair-reason").textContent = view.failed || exposure.reason || "The folder of pairs has none of this exposure.";
  }

  // ---- drawing ------------------------------------------------------------------------------------------------

  function place() {
    // Where the image lies on the stage, in CSS pixels: (u, v) is at (left + (u + 0.5) * scale, ...).
    const { width, height } = exposures[view.index].pair;
    const fit = Math.min(stage.clientWidth / width, stage.clientHeight / height);
    const scale = fit * view.zoom;
    return {
      fit, scale, width, height,
      left: (stage.clientWidth - width * scale) / 2 + view.panX,
      top: (stage.clientHeight - height * scale) / 2 + view.panY,
    };
  }

  const wipeX = (at) => (stage.clientWidth - at.width * at.fit) / 2 + view.wipe * at.width * at.fit;

  function draw() {
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [stage.clientWidth, stage.clientHeight];
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const exposure = exposures[view.index];
    const ready = Boolean(exposure && exposure.pair && view.pictures);
    divider.hidden = !(ready && view.mode === "wipe");
    showTags(ready);
    canvas.setAttribute("aria-label", exposure ? describe(exposure, ready) : "");
    if (!ready) {
      find("legend").textContent = "";
      return;
    }
    const at = place();
    const showsDrr = view.mode === "drr" || (view.mode === "blink" && view.blinkDrr);
    stage.dataset.image = view.mode === "wipe" ? "wipe" : showsDrr ? "drr" : "real";
    const split = view.mode === "wipe" ? wipeX(at) : showsDrr ? 0 : width;
    context.imageSmoothingEnabled = at.scale * ratio < 4;
    clipped(0, split, height, () => {
      paint(view.pictures.real, at, true);
      if (view.pictures.balls) paint(view.pictures.balls, at, true);
      if (view.overlays.edges) paint(view.pictures.edges, at, false);
    });
    clipped(split, width, height, () => paint(view.pictures.drr, at, true));
    if (view.overlays.masks) drawLevels(exposure, at);
    if (view.overlays.balls) drawBalls(exposure, at);
    if (view.mode === "wipe") {
      divider.style.left = `${split}px`;
      divider.setAttribute("aria-valuenow", String(Math.round(view.wipe * 100)));
    }
    showLegend(exposure);
  }

  function clipped(left, right, height, action) {
    if (right <= left) return;
    context.save();
    context.beginPath();
    context.rect(left, 0, right - left, height);
    context.clip();
    action();
    context.restore();
  }

  function paint(image, at, adjusted) {
    const contrast = Number(find("contrast").value);
    if (adjusted && contrast !== 1) context.filter = `contrast(${contrast})`;
    context.drawImage(image, at.left, at.top, at.width * at.scale, at.height * at.scale);
    context.filter = "none";
  }

  const onStage = (at, [u, v]) => [at.left + (u + 0.5) * at.scale, at.top + (v + 0.5) * at.scale];

  const levelColor = (level) => LEVEL_COLORS[data.levels.indexOf(level) % LEVEL_COLORS.length];

  function drawLevels(exposure, at) {
    context.font = "600 13px system-ui, sans-serif";
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.lineJoin = "round";
    for (const [level, polygons] of Object.entries(exposure.pair.levels)) {
      if (view.hiddenLevels.has(level)) continue;
      let largest = null;
      for (const polygon of polygons) {
        context.beginPath();
        for (let number = 0; number < polygon.length; number += 2) {
          context.lineTo(...onStage(at, [polygon[number], polygon[number + 1]]));
        }
        context.strokeStyle = "rgba(0, 0, 0, 0.55)";
        context.lineWidth = 3.5;
        context.stroke();
        context.strokeStyle = levelColor(level);
        context.lineWidth = 1.6;
        context.stroke();
        if (!largest || polygon.length > largest.length) largest = polygon;
      }
      if (largest) label(level, at, largest);
    }
  }

  function label(level, at, polygon) {
    let [u, v] = [0, 0];
    for (let number = 0; number < polygon.length; number += 2) {
      u += (2 * polygon[number]) / polygon.length;
      v += (2 * polygon[number + 1]) / polygon.length;
    }
    const [x, y] = onStage(at, [u, v]);
    context.strokeStyle = "rgba(0, 0, 0, 0.8)";
    context.lineWidth = 4;
    context.strokeText(level, x, y);
    context.fillStyle = levelColor(level);
    context.fillText(level, x, y);
  }

  function drawBalls(exposure, at) {
    const factor = Number(find("vector-scale").value);
    context.lineCap = "round";
    for (const ball of exposure.pair.balls) {
      const color = ball.detected ? (ball.used ? BALL.used : BALL.unused) : BALL.missing;
      const [x, y] = onStage(at, ball.detected || ball.expected);
      for (const [style, extra] of [["rgba(0, 0, 0, 0.6)", 2], [color, 0]]) {
        context.strokeStyle = style;
        context.fillStyle = style;
        context.lineWidth = 1.6 + extra;
        context.setLineDash(ball.detected ? [] : [3, 4]);
        context.beginPath();
        context.arc(x, y, 9, 0, 2 * Math.PI);
        context.stroke();
        context.setLineDash([]);
        if (!ball.detected) continue;
        const [endX, endY] = onStage(at, ball.expected);
        arrow(x, y, x + factor * (endX - x), y + factor * (endY - y));
      }
    }
  }

  function arrow(x, y, endX, endY) {
    const length = Math.hypot(endX - x, endY - y);
    context.beginPath();
    context.moveTo(x, y);
    context.lineTo(endX, endY);
    if (length > 5) {
      const [du, dv] = [(endX - x) / length, (endY - y) / length];
      const head = Math.min(7, 0.5 * length);
      context.moveTo(endX - head * (du + 0.5 * dv), endY - head * (dv - 0.5 * du));
      context.lineTo(endX, endY);
      context.lineTo(endX - head * (du - 0.5 * dv), endY - head * (dv + 0.5 * du));
    }
    context.stroke();
  }

  function showTags(ready) {
    const [left, right] = [find("tag-left"), find("tag-right")];
    const showsDrr = view.mode === "drr" || (view.mode === "blink" && view.blinkDrr);
    left.textContent = !ready ? "" : showsDrr ? "DRR" : "REAL";
    right.textContent = ready && view.mode === "wipe" ? "DRR" : "";
  }

  function describe(exposure, ready) {
    if (!ready) return `${exposure.id}: no image`;
    const names = { real: "real image", drr: "DRR", blink: "real image and DRR in turn", wipe: "real image left, DRR right" };
    const overlays = Object.keys(view.overlays).filter((name) => view.overlays[name]);
    return `${exposure.id}: ${names[view.mode]}${overlays.length ? `, with ${overlays.join(", ")}` : ""}`;
  }

  function showLegend(exposure) {
    const legend = find("legend");
    if (!view.overlays.balls) {
      legend.textContent = "";
      return;
    }
    const balls = exposure.pair.balls;
    const factor = Number(find("vector-scale").value);
    const count = (keep) => balls.filter(keep).length;
    const used = balls.filter((ball) => ball.used && ball.residual_px !== null);
    const worst = used.reduce((a, b) => (a && a.residual_px >= b.residual_px ? a : b), null);
    legend.replaceChildren(
      `Arrows × ${factor}: detected → ${balls.some((ball) => ball.left_out) ? "left out" : "reprojected"}. `,
      scaleBar(exposure, factor), " ",
      chip("used", BALL.used, `${count((ball) => ball.used)} used`), " ",
      chip("unused", BALL.unused, `${count((ball) => ball.detected && !ball.used)} not used`), " ",
      chip("missing", BALL.missing, `${count((ball) => !ball.detected)} not found`), " ",
      worst ? `Largest: ${worst.residual_px.toFixed(2)} px (${worst.id}).` : "",
    );
  }

  function scaleBar(exposure, factor) {
    const perPx = exposure.pair.page_px_per_px * place().scale * factor;
    const length_px = [5, 2, 1, 0.5, 0.2, 0.1].find((length) => length * perPx <= 130) || 0.1;
    const bar = document.createElement("span");
    bar.className = "scale-bar";
    bar.style.setProperty("--length", `${(length_px * perPx).toFixed(1)}px`);
    const mm = exposure.rms_px ? `, ${((length_px * exposure.rms_mm) / exposure.rms_px).toFixed(2)} mm` : "";
    bar.textContent = `${length_px} px${mm}`;
    return bar;
  }

  function chip(name, color, text) {
    const element = document.createElement("span");
    element.className = `ball-chip ${name}`;
    element.style.setProperty("--color", color);
    element.textContent = text;
    return element;
  }

  function showLevels(exposure) {
    const names = exposure.pair ? Object.keys(exposure.pair.levels) : [];
    find("levels").replaceChildren(...names.map((level) => {
      const button = document.createElement("button");
      button.textContent = level;
      button.style.setProperty("--color", levelColor(level));
      button.setAttribute("aria-pressed", String(!view.hiddenLevels.has(level)));
      button.addEventListener("click", () => {
        if (!view.hiddenLevels.delete(level)) view.hiddenLevels.add(level);
        button.setAttribute("aria-pressed", String(!view.hiddenLevels.has(level)));
        draw();
      });
      return button;
    }));
    showOptions();
  }

  function showOptions() {
    const hasLevels = Boolean(find("levels").children.length);
    find("levels").hidden = !view.overlays.masks || !hasLevels;
    find("vector-option").hidden = !view.overlays.balls;
    find("rate-option").hidden = view.mode !== "blink";
  }

  function showNumbers(exposure) {
    const unit = (value, digits, name) => (value === null ? "–" : `${value.toFixed(digits)} ${name}`);
    const degrees = (value, digits) => `${value.toFixed(digits).replace("-", "−")}°`;
    const angle = (number) => {
      const told = exposure.nominal_angles_deg[number];
      if (!exposure.angles_deg) return `${degrees(told, 1)} in the header`;
      const found = exposure.angles_deg[number];
      const moved = ((found - told + 540) % 360) - 180;
      return `${degrees(told, 1)} → ${degrees(found, 2)} (${moved >= 0 ? "+" : ""}${degrees(moved, 2)})`;
    };
    const moved = exposure.angles_deg ? "header → calibrated" : "";
    const rows = [
      ["Status", exposure.status, `status ${exposure.status}`],
      ["Reason", exposure.reason || "–"],
      ["Target error", unit(exposure.target_error_mm, 3, "mm"), "", exposure.target_error_mm === null ? "" : "leave-one-ball-out, in-plane, median"],
      ["Balls", `${exposure.balls_used} used of ${exposure.balls_found} found`],
      ["RMS of balls", exposure.rms_px === null ? "–" : `${unit(exposure.rms_px, 3, "px")} · ${unit(exposure.rms_mm, 3, "mm")}`],
      ["Sigma in-plane", unit(exposure.sigma_in_plane_mm, 3, "mm")],
      ["Sigma along ray", unit(exposure.sigma_along_ray_mm, 2, "mm")],
      ["Sigma rotation", unit(exposure.sigma_rotation_deg, 3, "°").replace(" °", "°")],
      ["Primary angle", angle(0), "", moved],
      ["Secondary angle", angle(1), "", moved],
    ];
    find("numbers").replaceChildren(...rows.map(([name, text, style, note]) => {
      const [row, term, value] = ["div", "dt", "dd"].map((tag) => document.createElement(tag));
      term.textContent = name;
      value.textContent = text;
      if (style) value.className = style;
      if (note) {
        const small = document.createElement("small");
        small.textContent = note;
        value.append(small);
      }
      row.append(term, value);
      return row;
    }));
  }

  // ---- how it is looked at -------------------------------------------------------------------------------------

  let blinking = null;

  function setMode(mode) {
    view.mode = mode;
    view.blinkDrr = false;
    for (const button of all("[data-mode]")) button.setAttribute("aria-pressed", String(button.dataset.mode === mode));
    restartBlinking();
    showOptions();
    draw();
  }

  function restartBlinking() {
    clearInterval(blinking);
    const rate = Number(find("rate").value);
    find("rate-text").textContent = `${rate} changes / s`;
    if (view.mode === "blink") {
      blinking = setInterval(() => {
        view.blinkDrr = !view.blinkDrr;
        draw();
      }, 1000 / rate);
    }
  }

  function toggleOverlay(name) {
    view.overlays[name] = !view.overlays[name];
    find("stage").dataset[name] = String(view.overlays[name]);
    all(`[data-overlay="${name}"]`)[0].setAttribute("aria-pressed", String(view.overlays[name]));
    showOptions();
    if (name === "balls") load();
    else draw();
  }

  function toggleLocal() {
    view.local = !view.local;
    find("local").setAttribute("aria-pressed", String(view.local));
    load();
  }

  function moveWipe(to) {
    view.wipe = Math.min(Math.max(to, 0), 1);
    draw();
  }

  function setZoom(zoom, x = stage.clientWidth / 2, y = stage.clientHeight / 2) {
    if (!exposures[view.index].pair) return;
    const before = place();
    view.zoom = Math.min(Math.max(zoom, 1), MAX_ZOOM);
    if (view.zoom === 1) {
      [view.panX, view.panY] = [0, 0];
    } else {
      // The point under the pointer stays where it is.
      const [u, v] = [(x - before.left) / before.scale, (y - before.top) / before.scale];
      const after = place();
      view.panX += x - (after.left + u * after.scale);
      view.panY += y - (after.top + v * after.scale);
    }
    draw();
  }

  function wipeTo(event) {
    const at = place();
    const left = stage.getBoundingClientRect().left + (stage.clientWidth - at.width * at.fit) / 2;
    moveWipe((event.clientX - left) / (at.width * at.fit));
  }

  let drag = null;
  stage.addEventListener("pointerdown", (event) => {
    if (!exposures[view.index].pair || event.button > 0) return;
    if (view.mode === "wipe" && !event.shiftKey) {
      drag = { kind: "wipe" };
      wipeTo(event);
    } else if (view.zoom > 1) {
      drag = { kind: "pan", x: event.clientX - view.panX, y: event.clientY - view.panY };
    } else {
      return;
    }
    stage.setPointerCapture(event.pointerId);
    event.preventDefault();
  });
  stage.addEventListener("pointermove", (event) => {
    if (!drag) return;
    if (drag.kind === "wipe") {
      wipeTo(event);
    } else {
      [view.panX, view.panY] = [event.clientX - drag.x, event.clientY - drag.y];
      draw();
    }
  });
  for (const name of ["pointerup", "pointercancel"]) stage.addEventListener(name, () => { drag = null; });
  stage.addEventListener("wheel", (event) => {
    // In the narrow layout a plain wheel scrolls the page.
    if (!event.ctrlKey && !window.matchMedia("(min-width: 1000px)").matches) return;
    event.preventDefault();
    const box = stage.getBoundingClientRect();
    setZoom(view.zoom * Math.exp(-event.deltaY / 400), event.clientX - box.left, event.clientY - box.top);
  }, { passive: false });

  // ---- session: plots and orbit ---------------------------------------------------------------------------------

  function markPlots(id) {
    for (const mark of all(".mark.current")) mark.classList.remove("current");
    for (const mark of all(".mark")) mark.classList.toggle("current", mark.dataset.exposure === id);
    if (!find("session").hidden) drawOrbit();
  }

  const orbit = find("orbit");
  const turn = { yaw: 0.5, pitch: 0.8 };

  function showPage(name) {
    find("review").hidden = name !== "review";
    find("session").hidden = name !== "session";
    find("to-review").setAttribute("aria-pressed", String(name === "review"));
    find("to-session").setAttribute("aria-pressed", String(name === "session"));
    if (name === "session") drawOrbit();
    else draw();
  }

  function orbitPoints() {
    const { views, balls } = data.orbit;
    const points = [...balls, ...views.flatMap((one) => [one.source, one.detector])];
    if (!points.length) return null;
    const anchor = balls.length ? balls : points;
    const center = [0, 1, 2].map((axis) => anchor.reduce((sum, point) => sum + point[axis], 0) / anchor.length);
    const reach = Math.max(...points.map((point) => Math.hypot(...point.map((value, axis) => value - center[axis]))), 1);
    return { center, reach };
  }

  const extent = orbitPoints();

  function project(point, size) {
    // World is LPS: x left, y back, z head. Seen from the front, head up, turned by yaw and pitch.
    const [x, y, z] = point.map((value, axis) => (value - extent.center[axis]) / extent.reach);
    const [cosY, sinY, cosP, sinP] = [Math.cos(turn.yaw), Math.sin(turn.yaw), Math.cos(turn.pitch), Math.sin(turn.pitch)];
    const [right, away] = [x * cosY - y * sinY, x * sinY + y * cosY];
    const scale = 0.46 * Math.min(size.width, size.height);
    const up = z * cosP + away * sinP;
    return [size.width / 2 + right * scale, size.height / 2 - up * scale, away * cosP - z * sinP];
  }

  function drawOrbit() {
    const ratio = window.devicePixelRatio || 1;
    const size = { width: orbit.clientWidth, height: orbit.clientHeight };
    orbit.width = Math.round(size.width * ratio);
    orbit.height = Math.round(size.height * ratio);
    const pen = orbit.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    const { views, balls } = data.orbit;
    const missing = exposures.length - views.length;
    find("orbit-text").textContent =
      `${views.length} exposures, ${balls.length} balls${missing ? `; ${missing} without a camera are missing` : ""}`;
    if (!extent) return;
    const current = exposures[view.index] ? exposures[view.index].id : "";
    const fade = (depth) => Math.min(Math.max(0.85 - 0.45 * depth, 0.25), 1);
    const dot = (point, radius, color, hollow) => {
      const [x, y, depth] = project(point, size);
      pen.globalAlpha = fade(depth);
      pen.beginPath();
      pen.arc(x, y, radius, 0, 2 * Math.PI);
      pen.fillStyle = pen.strokeStyle = color;
      pen.lineWidth = 1.4;
      if (hollow) pen.stroke();
      else pen.fill();
      return [x, y];
    };
    orbit.dots = [];
    for (const one of [...views].sort((a, b) => project(b.source, size)[2] - project(a.source, size)[2])) {
      const chosen = one.id === current;
      const [start, end] = [project(one.source, size), project(one.detector, size)];
      pen.globalAlpha = chosen ? 1 : 0.13;
      pen.strokeStyle = chosen ? "#ffffff" : "#9fb3c8";
      pen.lineWidth = chosen ? 1.6 : 1;
      pen.beginPath();
      pen.moveTo(start[0], start[1]);
      pen.lineTo(end[0], end[1]);
      pen.stroke();
      const color = chosen ? "#ffffff" : one.status === "warn" ? "#f2c14e" : "#6fd08c";
      orbit.dots.push({ id: one.id, at: [dot(one.source, chosen ? 5 : 3.6, color, false), dot(one.detector, chosen ? 5 : 3.4, chosen ? color : "#79c0ff", true)] });
    }
    for (const ball of balls) dot(ball, 2.2, "#ffd84d", false);
    pen.globalAlpha = 1;
    pen.font = "600 12px system-ui, sans-serif";
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    for (const [axis, letters] of [[0, ["L", "R"]], [1, ["P", "A"]], [2, ["H", "F"]]]) {
      letters.forEach((letter, number) => {
        const tip = extent.center.map((value, other) => value + (other === axis ? (number ? -0.32 : 0.32) * extent.reach : 0));
        const [x, y] = project(tip, size);
        const [x0, y0] = project(extent.center, size);
        pen.strokeStyle = "rgba(159, 179, 200, 0.35)";
        pen.beginPath();
        pen.moveTo(x0, y0);
        pen.lineTo(x0 + (x - x0) * 0.85, y0 + (y - y0) * 0.85);
        pen.stroke();
        pen.fillStyle = "#c9d1d9";
        pen.fillText(letter, x, y);
      });
    }
  }

  let orbitDrag = null;
  orbit.addEventListener("pointerdown", (event) => {
    orbitDrag = { x: event.clientX, y: event.clientY, moved: false };
    orbit.setPointerCapture(event.pointerId);
  });
  orbit.addEventListener("pointermove", (event) => {
    if (!orbitDrag) return;
    const [dx, dy] = [event.clientX - orbitDrag.x, event.clientY - orbitDrag.y];
    if (!orbitDrag.moved && Math.hypot(dx, dy) < 4) return;
    turnOrbit(dx * 0.008, dy * 0.008);
    orbitDrag = { x: event.clientX, y: event.clientY, moved: true };
  });
  orbit.addEventListener("pointerup", (event) => {
    const moved = orbitDrag && orbitDrag.moved;
    orbitDrag = null;
    if (moved || !orbit.dots) return;
    const box = orbit.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const distance = (one) => Math.min(...one.at.map((at) => Math.hypot(at[0] - x, at[1] - y)));
    const nearest = orbit.dots.reduce((a, b) => (a && distance(a) <= distance(b) ? a : b), null);
    if (nearest && distance(nearest) < 12) openExposure(nearest.id);
  });
  orbit.addEventListener("pointercancel", () => { orbitDrag = null; });

  function turnOrbit(yaw, pitch) {
    turn.yaw += yaw;
    turn.pitch = Math.min(Math.max(turn.pitch + pitch, -1.57), 1.57);
    orbit.dataset.turned = `${turn.yaw.toFixed(3)} ${turn.pitch.toFixed(3)}`;
    drawOrbit();
  }

  function openExposure(id) {
    showPage("review");
    show(exposures.findIndex((exposure) => exposure.id === id));
  }

  for (const plot of all(".plot")) {
    plot.addEventListener("click", (event) => {
      const mark = event.target.closest("[data-exposure]");
      if (mark) openExposure(mark.dataset.exposure);
    });
  }

  // ---- keys ---------------------------------------------------------------------------------------------------

  let toastTimer = null;
  function toast(text) {
    find("toast").textContent = text;
    find("toast").classList.add("on");
    clearTimeout(toastTimer);
    toastTimer = setTimeout(() => find("toast").classList.remove("on"), 3500);
  }

  function leaveComment() {
    if (document.activeElement === find("comment")) find("comment").blur();
  }

  const KEYS = {
    1: () => rate(WORDS[0]), 2: () => rate(WORDS[1]), 3: () => rate(WORDS[2]),
    Backspace: () => rate(""), Delete: () => rate(""),
    j: () => step(1), ArrowRight: () => step(1), ArrowDown: () => step(1),
    k: () => step(-1), ArrowLeft: () => step(-1), ArrowUp: () => step(-1),
    " ": () => setMode(view.mode === "blink" ? "real" : "blink"),
    d: () => setMode(view.mode === "drr" ? "real" : "drr"),
    s: () => setMode(view.mode === "wipe" ? "real" : "wipe"),
    e: () => toggleOverlay("edges"), m: () => toggleOverlay("masks"), b: () => toggleOverlay("balls"),
    l: toggleLocal,
    "[": () => moveWipe(view.wipe - 0.02), "]": () => moveWipe(view.wipe + 0.02),
    "+": () => setZoom(view.zoom * 1.4), "=": () => setZoom(view.zoom * 1.4),
    "-": () => setZoom(view.zoom / 1.4), z: () => setZoom(1),
    c: () => find("comment").focus(),
    v: () => showPage(find("session").hidden ? "session" : "review"),
    "?": () => find("help").showModal(),
  };
  const NATIVE = new Set([" ", "Enter"]);
  const ARROWS = new Set(["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"]);

  function takenBy(element, key) {
    // Keys that mean something to the focused control stay with it.
    if (element.matches("textarea, input:not([type=range])")) return true;
    if (element.matches("select")) return !/^[123]$/.test(key);
    if (element.matches("input[type=range], #divider, #orbit")) return ARROWS.has(key);
    if (element.matches("button, summary, a")) return NATIVE.has(key);
    return false;
  }

  document.addEventListener("keydown", (event) => {
    usedPointer = false;
    if (event.ctrlKey || event.metaKey || event.altKey || find("help").open) return;
    if (takenBy(event.target, event.key)) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const action = KEYS[key];
    if (!action) return;
    event.preventDefault();
    // Ratings and image keys belong to the exposure that is on screen.
    if (!find("session").hidden && !["v", "?"].includes(key)) return;
    action();
  });
  document.addEventListener("pointerdown", () => { usedPointer = true; }, true);
  document.addEventListener("click", (event) => {
    // After a click the keys go on working; who came by Tab keeps the focus.
    const button = event.target.closest("button");
    if (button && usedPointer && !find("help").open) button.blur();
  });

  divider.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: -0.02, ArrowDown: -0.02, ArrowRight: 0.02, ArrowUp: 0.02, PageDown: -0.1, PageUp: 0.1, Home: -1, End: 1 };
    if (!(event.key in steps) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    moveWipe(view.wipe + steps[event.key]);
  });
  orbit.addEventListener("keydown", (event) => {
    const turns = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, -0.1], ArrowDown: [0, 0.1] };
    if (!(event.key in turns) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    turnOrbit(...turns[event.key]);
  });

  // ---- controls -----------------------------------------------------------------------------------------------

  list.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) show(Number(button.dataset.index));
  });
  for (const button of all("[data-mode]")) button.addEventListener("click", () => setMode(button.dataset.mode));
  for (const button of all("[data-overlay]")) button.addEventListener("click", () => toggleOverlay(button.dataset.overlay));
  for (const button of all(".rates button")) button.addEventListener("click", () => rate(button.dataset.rating));
  find("local").addEventListener("click", toggleLocal);
  find("previous").addEventListener("click", () => step(-1));
  find("next").addEventListener("click", () => step(1));
  find("zoom-in").addEventListener("click", () => setZoom(view.zoom * 1.4));
  find("zoom-out").addEventListener("click", () => setZoom(view.zoom / 1.4));
  find("zoom-reset").addEventListener("click", () => setZoom(1));
  find("export").addEventListener("click", exportRatings);
  find("help-open").addEventListener("click", () => find("help").showModal());
  find("to-review").addEventListener("click", () => showPage("review"));
  find("to-session").addEventListener("click", () => showPage("session"));
  for (const id of ["filter-status", "filter-rating", "order"]) {
    find(id).addEventListener("change", () => {
      filterChanged();
      if (usedPointer) find(id).blur();
    });
  }
  find("vector-scale").addEventListener("change", () => {
    draw();
    if (usedPointer) find("vector-scale").blur();
  });
  find("rate").addEventListener("input", restartBlinking);
  const showContrast = () => { find("contrast-text").textContent = `× ${Number(find("contrast").value).toFixed(1)}`; };
  find("contrast").addEventListener("input", () => {
    showContrast();
    draw();
  });
  for (const id of ["rate", "contrast"]) {
    find(id).addEventListener("change", () => { if (usedPointer) find(id).blur(); });
  }
  find("comment").addEventListener("input", () => {
    change(exposures[view.index], { comment: find("comment").value.replace(/[\t\r\n]+/g, " ") });
  });
  find("comment").addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === "Escape") {
      event.preventDefault();
      find("comment").blur();
    }
  });
  find("reviewer").addEventListener("input", () => {
    reviewer = find("reviewer").value.replace(/[\t\r\n]+/g, " ").trim();
    save();
  });
  find("reviewer").addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === "Escape") find("reviewer").blur();
  });
  window.addEventListener("beforeunload", (event) => {
    if (!storageWorks && Object.keys(entries).length) event.preventDefault();
  });
  window.addEventListener("storage", (event) => {
    if (event.key !== data.storage_key) return;
    mergeStored(readStorage());
    showRatings();
  });
  new ResizeObserver(() => {
    if (!find("review").hidden) draw();
    if (!find("session").hidden) drawOrbit();
  }).observe(document.body);
  new ResizeObserver(() => draw()).observe(stage);

  // ---- start ----------------------------------------------------------------------------------------------------

  for (const [id, rating] of Object.entries(data.ratings)) entries[id] = rating;
  const stored = readStorage();
  mergeStored(stored);
  find("reviewer").value = reviewer;
  const last = exposures.findIndex((exposure) => exposure.id === stored.last);
  showContrast();
  restartBlinking();
  showRatings();
  show(Math.max(last, 0));
  if (storageWorks) tellOfEarlierRatings();
})();
