"use strict";
// One figure at a time: a phone stays usable while the others are still to be drawn.
(function () {
  const config = { responsive: true, displayModeBar: false, displaylogo: false, scrollZoom: false, doubleClick: false };

  function isShown(trace, chosen) {
    return Object.entries(trace.meta || {}).every(([name, options]) => options.includes(chosen[name]));
  }

  function press(box, name, value) {
    for (const button of box.querySelectorAll(`button[data-control="${name}"]`)) {
      button.setAttribute("aria-pressed", String(button.dataset.value === value));
    }
  }

  async function draw(box) {
    const place = box.querySelector(".plot");
    const content = JSON.parse(box.querySelector("script").textContent);
    const chosen = Object.fromEntries(content.controls.map((control) => [control.name, control.chosen]));
    await Plotly.newPlot(place, content.data, content.layout, config);
    async function choose(name, value) {
      chosen[name] = value;
      press(box, name, value);
      const control = content.controls.find((one) => one.name === name);
      const visible = content.data.map((trace) => isShown(trace, chosen));
      delete box.dataset.drawn;
      await Plotly.update(place, { visible }, control.layouts[value] || {});
      box.dataset.chosen = JSON.stringify(chosen);
      box.dataset.shown = String(visible.filter(Boolean).length);
      box.dataset.drawn = "yes";
    }
    for (const button of box.querySelectorAll("button[data-control]")) {
      button.addEventListener("click", () => choose(button.dataset.control, button.dataset.value));
    }
    for (const menu of box.querySelectorAll("select[data-control]")) {
      menu.addEventListener("change", () => choose(menu.dataset.control, menu.value));
    }
    box.dataset.drawn = "yes";
  }

  (async function () {
    for (const box of document.querySelectorAll(".figure")) {
      await draw(box);
      await new Promise((next) => setTimeout(next));
    }
    document.body.dataset.drawn = "all";
  })();
})();
