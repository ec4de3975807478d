"use strict";
document.documentElement.classList.add("scripted");
document.addEventListener("DOMContentLoaded", () => {
  const viewer = document.querySelector(".viewer");
  if (viewer) startGallery(viewer);
  document.querySelectorAll("table.sortable").forEach(startSorting);
});

function startGallery(viewer) {
  const cases = [...viewer.querySelectorAll("figure.case")];
  const thumbs = new Map([...viewer.querySelectorAll("[data-case]")].map((b) => [Number(b.dataset.case), b]));
  const sliders = [...viewer.querySelectorAll("input[type=range]")];
  let current = 0;

  function show(index, announce = true) {
    current = Math.max(0, Math.min(cases.length - 1, index));
    cases.forEach((figure, i) => figure.classList.toggle("current", i === current));
    thumbs.forEach((button, i) => {
      if (i === current) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
    });
    const button = thumbs.get(current), strip = viewer.querySelector(".thumbs");
    strip.scrollLeft += button.getBoundingClientRect().left + button.offsetWidth / 2
      - strip.getBoundingClientRect().left - strip.clientWidth / 2;
    viewer.querySelectorAll("[data-step]").forEach((step) => {
      step.disabled = current + Number(step.dataset.step) < 0 || current + Number(step.dataset.step) >= cases.length;
    });
    if (announce) {
      const figure = cases[current];
      viewer.querySelector("#said").textContent =
        `${figure.querySelector("h3").textContent}, ${figure.querySelector("figcaption p").textContent}`;
    }
  }

  function wipe(percent) {
    const value = Math.max(0, Math.min(100, Math.round(percent)));
    viewer.style.setProperty("--shown", `${value}%`);
    viewer.classList.toggle("wiped", value < 100);
    sliders.forEach((slider) => { slider.value = value; });
  }

  viewer.addEventListener("click", (event) => {
    const thumb = event.target.closest("[data-case]"), step = event.target.closest("[data-step]");
    if (thumb) show(Number(thumb.dataset.case));
    if (step) {
      show(current + Number(step.dataset.step));
      const twin = cases[current].querySelector(`[data-step="${step.dataset.step}"]`);
      (twin.disabled ? viewer : twin).focus({ preventScroll: true });
    }
  });
  viewer.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step || event.target.type === "range" || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    show(current + step);
    const figure = document.activeElement.closest("figure.case");
    if (document.activeElement.dataset.case) thumbs.get(current).focus({ preventScroll: true });
    else if (figure) viewer.focus({ preventScroll: true });
  });
  sliders.forEach((slider) => slider.addEventListener("input", () => wipe(slider.valueAsNumber)));
  viewer.querySelectorAll(".picture").forEach((picture) => {
    const follow = (event) => {
      const box = picture.getBoundingClientRect();
      wipe(100 * (event.clientX - box.left) / box.width);
    };
    picture.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      picture.setPointerCapture(event.pointerId);
      follow(event);
    });
    picture.addEventListener("pointermove", (event) => { if (picture.hasPointerCapture(event.pointerId)) follow(event); });
  });
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#shown-']");
    if (!link) return;
    event.preventDefault();
    show(Number(link.hash.slice("#shown-".length)));
    viewer.scrollIntoView();
    viewer.focus({ preventScroll: true });
  });
  wipe(100);
  show(0, false);
}

function startSorting(table) {
  const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
  const body = table.tBodies[0];
  const words = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    head.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const before = head.getAttribute("aria-sort");
      const first = head.dataset.first || "ascending";
      const order = before === "none" ? first : before === "ascending" ? "descending" : "ascending";
      heads.forEach((other) => other.setAttribute("aria-sort", other === head ? order : "none"));
      const sign = order === "ascending" ? 1 : -1;
      const isNumber = head.classList.contains("number");
      const value = (row) => isNumber ? Number(row.cells[column].dataset.value) : row.cells[column].textContent.trim();
      const compare = (a, b) => {
        if (!isNumber) return sign * words.compare(a.value, b.value);
        const lost = Number.isNaN(a.value) - Number.isNaN(b.value);
        return Number.isNaN(a.value) || Number.isNaN(b.value) ? lost : sign * (a.value - b.value);
      };
      const rows = [...body.rows].map((row) => ({ row, value: value(row) })).sort(compare);
      body.append(...rows.map((entry) => entry.row));
    });
  });
}
