// Draws the figures whose numbers stand in the page. Everything readable is there before this runs.
"use strict";
(() => {
  const page = document.documentElement;
  let packed = {}; // figures by id, the looks they share, and light colours to dark ones
  const plots = [...document.querySelectorAll(".plot[data-figure]")];
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const config = { displayModeBar: false, responsive: false };
  let ready = false;

  const turned = (value, dark) => {
    if (!dark) return value;
    if (typeof value === "string") return packed.darkened[value] || value;
    if (Array.isArray(value)) return value.map((v) => turned(v, dark));
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, turned(v, dark)]));
    }
    return value;
  };

  // Width in px: what the box has, but never narrower than the figure can bear.
  const draw = (plot, { dark = system.matches, width = 0 } = {}) => {
    const figure = turned(structuredClone(packed.figures[plot.dataset.figure]), dark);
    figure.layout.template = turned(packed.looks, dark);
    const room = width || plot.parentElement.clientWidth;
    figure.layout.width = Math.max(room, width ? 0 : Number(plot.dataset.least || 0));
    figure.layout.autosize = false;
    const narrow = room < 480 && figure.layout.meta && figure.layout.meta.narrow;
    for (const [axis, change] of Object.entries(narrow || {})) {
      Object.assign(figure.layout[axis], change);
    }
    plot.dataset.width = room;
    // A box that scrolls is a stop of the Tab key: not every browser makes it one.
    if (figure.layout.width > room) plot.parentElement.tabIndex = 0;
    else plot.parentElement.removeAttribute("tabindex");
    return window.Plotly.react(plot, figure.data, figure.layout, config);
  };

  const isDrawn = (plot) => plot.dataset.width !== undefined;
  const nearby = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        nearby.unobserve(entry.target);
        if (!isDrawn(entry.target)) draw(entry.target);
      }
    },
    { rootMargin: "600px" },
  );

  // The rest in idle moments, so that printing and searching find them drawn.
  // A page that paints nothing may never be idle to its browser: hence a limit to the waiting.
  const idle = window.requestIdleCallback
    ? (work) => window.requestIdleCallback(work, { timeout: 500 })
    : (work) => setTimeout(work, 30);
  const drawRest = () => {
    const next = plots.find((plot) => !isDrawn(plot));
    if (!next) {
      page.dataset.figures = "drawn";
      return;
    }
    draw(next);
    idle(drawRest);
  };

  const redraw = (settings) => plots.filter(isDrawn).forEach((plot) => draw(plot, settings));
  const onPaper = (plot) => {
    // A4 less its margins is 718 px wide; a figure keeps its share of the row.
    const row = plot.closest(".row");
    const across = row ? Number(row.dataset.across) : 1;
    return Math.floor((718 - 24 * (across - 1)) / across);
  };

  const start = () => {
    ready = true;
    plots.forEach((plot) => nearby.observe(plot));
    idle(drawRest);
    let waiting = 0;
    new ResizeObserver(() => {
      clearTimeout(waiting);
      waiting = setTimeout(() => {
        for (const plot of plots.filter(isDrawn)) {
          if (Number(plot.dataset.width) !== plot.parentElement.clientWidth) draw(plot);
        }
      }, 100);
    }).observe(document.body);
    system.addEventListener("change", () => redraw({}));
    window.addEventListener("beforeprint", () => {
      page.dataset.figures = "drawn";
      for (const plot of plots) draw(plot, { dark: false, width: onPaper(plot) });
    });
    window.addEventListener("afterprint", () => redraw({}));
  };

  const tablesOnly = (reason) => {
    page.dataset.figures = "none";
    for (const details of document.querySelectorAll("details.behind")) details.open = true;
    const note = document.getElementById("no-figures");
    note.textContent = `The figures could not be drawn (${reason}); their tables are open instead.`;
    note.hidden = false;
  };

  const unpacked = async (id) => {
    const text = atob(document.getElementById(id).textContent.trim());
    const bytes = Uint8Array.from(text, (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).text();
  };

  // The policy above allows exactly plotly.js's own text and this one.
  const load = async () => {
    packed = JSON.parse(await unpacked("numbers"));
    const script = document.createElement("script");
    script.textContent = await unpacked("plotly");
    document.head.append(script);
    if (!window.Plotly) throw new Error("the plotting library did not run");
  };

  const run = async () => {
    if (!("DecompressionStream" in window)) return tablesOnly("this browser is too old");
    try {
      await load();
    } catch (error) {
      return tablesOnly(error.message);
    }
    return start();
  };

  page.dataset.figures = "waiting";
  // After the first paint: the words come before the figures.
  requestAnimationFrame(() => setTimeout(run, 0));
  window.faceaudit = { drawAll: () => ready && plots.forEach((p) => isDrawn(p) || draw(p)) };
})();
