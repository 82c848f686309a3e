"use strict";
// A figure is drawn when it comes near the window: a phone need not draw those that nobody looks at.
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

  function start(box) {
    watcher.unobserve(box);
    if (!box.dataset.begun) {
      box.dataset.begun = "yes";
      draw(box);
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

  const boxes = [...document.querySelectorAll(".figure")];
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting) {
        start(entry.target);
      }
    }
  }, { rootMargin: "400px 0px" });
  boxes.forEach((box) => watcher.observe(box));
  // Paper has no scrolling.
  window.addEventListener("beforeprint", () => boxes.forEach(start));
})();
